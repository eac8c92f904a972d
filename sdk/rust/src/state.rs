//! A small store of this use of the plugin, with a quota. Permission: `state`.

use crate::Fault;
use crate::bindings::capabilities::stampmill::host::state as wit;

/// What is stored under the key.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Fault> {
    Ok(wit::get(key)?)
}

/// Stores it.
pub fn set(key: &str, value: &[u8]) -> Result<(), Fault> {
    Ok(wit::set(key, value)?)
}

/// Forgets it; what is not there is forgotten already.
pub fn delete(key: &str) -> Result<(), Fault> {
    Ok(wit::delete(key)?)
}
