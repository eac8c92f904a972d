//! A secret's value itself. Permission: `secret`, the strongest there is: prefer [`crate::command::CommandLine::secret_environment`] and
//! [`crate::http::Request::credential`], which show the plugin nothing.

use crate::Fault;
use crate::bindings::capabilities::stampmill::host::secret as wit;

/// The value of the secret of this name. Never log it, never put it into a fault.
pub fn reveal(name: &str) -> Result<String, Fault> {
    Ok(wit::reveal(name)?)
}
