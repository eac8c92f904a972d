//! A secret's value, for a plugin that was granted its name.

use crate::bindings::stampmill::host::secret::Host;
use crate::bindings::types;
use crate::host::{HostSide, answer, not_offered};
use crate::records::Fault;

impl Host for HostSide {
    async fn reveal(&mut self, name: String) -> wasmtime::Result<Result<String, types::Fault>> {
        Ok(answer(self.reveal_granted(&name).await))
    }
}

impl HostSide {
    async fn reveal_granted(&mut self, name: &str) -> Result<String, Fault> {
        self.grant.allows_secret(name)?;
        let secrets = self.surroundings.secrets.clone().ok_or_else(|| not_offered("secret"))?;
        self.patience().wait("secret.reveal", secrets.reveal(name)).await
    }
}
