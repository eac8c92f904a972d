//! The small store of one use of a plugin, with its quota.

use std::sync::Arc;

use crate::bindings::stampmill::host::state::Host;
use crate::bindings::types;
use crate::host::{HostSide, answer, not_offered, too_large};
use crate::limits;
use crate::records::Fault;
use crate::surroundings::StateStore;

impl Host for HostSide {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, types::Fault>> {
        let found = match self.store(&key) {
            Ok(store) => self.patience().wait("state.get", store.get(&key)).await,
            Err(fault) => Err(fault),
        };
        Ok(answer(found))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), types::Fault>> {
        let done = match self.store(&key) {
            Ok(store) => self.patience().wait("state.set", set(store.as_ref(), &key, value)).await,
            Err(fault) => Err(fault),
        };
        Ok(answer(done))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), types::Fault>> {
        let done = match self.store(&key) {
            Ok(store) => self.patience().wait("state.delete", store.delete(&key)).await,
            Err(fault) => Err(fault),
        };
        Ok(answer(done))
    }
}

impl HostSide {
    fn store(&self, key: &str) -> Result<Arc<dyn StateStore>, Fault> {
        if key.is_empty() || key.len() > limits::STATE_KEY_BYTES_MAX {
            let limit = limits::STATE_KEY_BYTES_MAX;
            return Err(Fault::Refused(format!("a key of the state has 1 to {limit} bytes, this one {}", key.len())));
        }
        self.surroundings.state.clone().ok_or_else(|| not_offered("state"))
    }
}

async fn set(store: &dyn StateStore, key: &str, value: Vec<u8>) -> Result<(), Fault> {
    if value.len() > limits::STATE_VALUE_BYTES_MAX {
        return Err(too_large(
            "bytes of one value of the state",
            value.len() as u64,
            limits::STATE_VALUE_BYTES_MAX as u64,
        ));
    }
    let old = store.get(key).await?;
    let usage = store.usage().await?;
    let old_bytes = old.as_ref().map_or(0, |old| key.len() + old.len()) as u64;
    let entries = usage.entries + u64::from(old.is_none());
    let bytes = usage.bytes.saturating_sub(old_bytes) + (key.len() + value.len()) as u64;
    if entries > limits::STATE_ENTRIES_MAX {
        return Err(too_large("entries of the state", entries, limits::STATE_ENTRIES_MAX));
    }
    if bytes > limits::STATE_BYTES_MAX {
        return Err(too_large("bytes of the state", bytes, limits::STATE_BYTES_MAX));
    }
    store.set(key, value).await
}
