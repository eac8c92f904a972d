//! The row of a person.

use serde::{Deserialize, Serialize};

use super::blank;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct PersonRow {
    pub(crate) id: u64,
    pub(crate) name: String,
    /// Kind and value, in order.
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) since: u64,
}
