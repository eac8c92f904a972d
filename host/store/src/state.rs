//! What plugins keep between calls: keys and bytes, apart for each use of a plugin, within a quota.

use redb::{ReadableTable as _, WriteTransaction};

use crate::tables::{STATE, STATE_USAGE};
use crate::{Store, StoreError};

/// How much one use of a plugin may keep. A key counts with its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateQuota {
    /// Keys at most.
    pub entries: u64,
    /// Bytes of keys and values at most.
    pub bytes: u64,
}

/// How much one use of a plugin keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StateUsage {
    /// Keys.
    pub entries: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// Why a value was not kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The plugin would keep more than it may; nothing has changed.
    #[error(
        "the state of {use_name} would hold {} entries and {} bytes and may hold {} and {}; delete what is no longer needed",
        wanted.entries, wanted.bytes, quota.entries, quota.bytes
    )]
    Full {
        /// Which use of which plugin.
        use_name: String,
        /// What it would come to.
        wanted: StateUsage,
        /// What it may be.
        quota: StateQuota,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Each call is one transaction, durable on return.
impl Store {
    /// The value of a key.
    pub fn state(&self, use_name: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.view(|view| {
            let value = view.transaction.open_table(STATE)?.get((use_name, key))?;
            Ok(value.map(|value| value.value().to_vec()))
        })
    }

    /// Keeps a value if it fits within the quota. One that makes the state smaller is kept in any case.
    pub fn set_state(&self, use_name: &str, key: &str, value: &[u8], quota: StateQuota) -> Result<(), StateError> {
        self.write(|transaction| {
            let old = usage(transaction, use_name)?;
            let replaced = transaction.open_table(STATE)?.get((use_name, key))?.map(|value| size(key, value.value()));
            let wanted = StateUsage {
                entries: old.entries + u64::from(replaced.is_none()),
                bytes: old.bytes.saturating_sub(replaced.unwrap_or(0)) + size(key, value),
            };
            let grows = wanted.entries > old.entries || wanted.bytes > old.bytes;
            if grows && (wanted.entries > quota.entries || wanted.bytes > quota.bytes) {
                return Ok(Err(StateError::Full { use_name: use_name.to_owned(), wanted, quota }));
            }
            transaction.open_table(STATE)?.insert((use_name, key), value)?;
            put_usage(transaction, use_name, wanted)?;
            Ok(Ok(()))
        })?
    }

    /// Forgets a key. Says whether there was one.
    pub fn delete_state(&self, use_name: &str, key: &str) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(STATE)?;
            let Some(bytes) = table.remove((use_name, key))?.map(|value| size(key, value.value())) else {
                return Ok(false);
            };
            let old = usage(transaction, use_name)?;
            let new = StateUsage { entries: old.entries.saturating_sub(1), bytes: old.bytes.saturating_sub(bytes) };
            put_usage(transaction, use_name, new)?;
            Ok(true)
        })
    }

    /// How much there is.
    pub fn state_usage(&self, use_name: &str) -> Result<StateUsage, StoreError> {
        self.view(|view| {
            let row = view.transaction.open_table(STATE_USAGE)?.get(use_name)?;
            Ok(row.map(|row| from_pair(row.value())).unwrap_or_default())
        })
    }

    /// All keys in order.
    pub fn state_keys(&self, use_name: &str) -> Result<Vec<String>, StoreError> {
        self.view(|view| {
            let mut keys = Vec::new();
            for entry in view.transaction.open_table(STATE)?.range((use_name, "")..)? {
                let key = entry?.0;
                let (owner, key) = key.value();
                if owner != use_name {
                    break;
                }
                keys.push(key.to_owned());
            }
            Ok(keys)
        })
    }

    /// Forgets everything, for a plugin that is no longer used.
    pub fn clear_state(&self, use_name: &str) -> Result<(), StoreError> {
        let keys = self.state_keys(use_name)?;
        self.write(|transaction| {
            let mut table = transaction.open_table(STATE)?;
            for key in &keys {
                table.remove((use_name, key.as_str()))?;
            }
            transaction.open_table(STATE_USAGE)?.remove(use_name)?;
            Ok(())
        })
    }
}

fn size(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

fn usage(transaction: &WriteTransaction, use_name: &str) -> Result<StateUsage, StoreError> {
    let table = transaction.open_table(STATE_USAGE)?;
    let row = table.get(use_name)?;
    Ok(row.map(|row| from_pair(row.value())).unwrap_or_default())
}

fn put_usage(transaction: &WriteTransaction, use_name: &str, usage: StateUsage) -> Result<(), StoreError> {
    let mut table = transaction.open_table(STATE_USAGE)?;
    if usage == StateUsage::default() {
        table.remove(use_name)?;
    } else {
        table.insert(use_name, (usage.entries, usage.bytes))?;
    }
    Ok(())
}

const fn from_pair((entries, bytes): (u64, u64)) -> StateUsage {
    StateUsage { entries, bytes }
}

#[cfg(test)]
mod tests;
