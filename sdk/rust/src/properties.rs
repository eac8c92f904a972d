//! The build's properties: any JSON value under a name. Permission: `properties`.

use crate::Fault;
use crate::bindings::capabilities::stampmill::host::properties as wit;
use serde_json::Value;

/// The value of a property, if it is set.
pub fn get(name: &str) -> Result<Option<Value>, Fault> {
    Ok(wit::get(name).map(|text| serde_json::from_str(&text)).transpose()?)
}

/// Sets a property; later steps see it.
pub fn set(name: &str, value: &Value) -> Result<(), Fault> {
    Ok(wit::set(name, &value.to_string())?)
}
