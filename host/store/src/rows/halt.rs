//! The row of a halt, inside of the rows of what was halted.

use serde::{Deserialize, Serialize};

use super::blank;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct HaltRow {
    pub(crate) by: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) reason: String,
    pub(crate) at: u64,
}
