//! Properties of the build.

use serde_json::Value;

use crate::bindings::stampmill::host::properties::Host;
use crate::bindings::types;
use crate::host::{HostSide, answer, not_offered, too_large};
use crate::limits;
use crate::records::Fault;

impl Host for HostSide {
    async fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        // A property that can't exist isn't there.
        let Some(properties) = self.surroundings.properties.clone().filter(|_| name.len() <= limits::NAME_BYTES_MAX)
        else {
            return Ok(None);
        };
        let value = self.patience().wait_or_stop("properties.get", properties.get(&name)).await?;
        Ok(value.map(|value| value.to_string()))
    }

    async fn set(&mut self, name: String, value: String) -> wasmtime::Result<Result<(), types::Fault>> {
        Ok(answer(self.set_property(&name, &value).await))
    }
}

impl HostSide {
    async fn set_property(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let value = checked(name, value)?;
        let properties = self.surroundings.properties.clone().ok_or_else(|| not_offered("properties"))?;
        self.patience().wait("properties.set", properties.set(name, value)).await
    }
}

/// The value of a property that a guest gives, if name and value can be one's.
pub(crate) fn checked(name: &str, value: &str) -> Result<Value, Fault> {
    if name.is_empty() || name.len() > limits::NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let limit = limits::NAME_BYTES_MAX;
        return Err(Fault::Refused(format!(
            "the name of a property is one line of 1 to {limit} bytes, and not {:?}",
            super::log::cut(name, 80)
        )));
    }
    if value.len() > limits::PROPERTY_BYTES_MAX {
        return Err(too_large("bytes of one property", value.len() as u64, limits::PROPERTY_BYTES_MAX as u64));
    }
    serde_json::from_str(value)
        .map_err(|error| Fault::Broken(format!("the value of property `{name}` is not JSON: {error}")))
}
