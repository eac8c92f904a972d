//! Secrets: where they come from, and who gets them. Values are read when they are needed and kept nowhere.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use stampmill_model::{BuildOrder, Grant};
use stampmill_protocol::{Secret, SecretValue};
use stampmill_runtime::{Fault, Secrets};

use crate::config::{Loaded, SecretSource};

/// Why a secret can't be had. The text never holds the value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The file can't be read.
    #[error("secret `{name}` can't be read from `{path}`: {error}")]
    File {
        /// Its name.
        name: String,
        /// Where it should be.
        path: String,
        /// Why not.
        error: std::io::Error,
    },
    /// The variable is not there or not text.
    #[error("secret `{name}` should be in the environment variable `{variable}`: {error}")]
    Env {
        /// Its name.
        name: String,
        /// Where it should be.
        variable: String,
        /// Why not.
        error: std::env::VarError,
    },
}

/// The value of one secret; one line end at the end of a file is not part of it.
fn read(name: &str, source: &SecretSource) -> Result<String, SecretError> {
    match source {
        SecretSource::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| SecretError::File {
                name: name.to_owned(),
                path: path.display().to_string(),
                error,
            })?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
        }
        SecretSource::Env(variable) => std::env::var(variable).map_err(|error| SecretError::Env {
            name: name.to_owned(),
            variable: variable.clone(),
            error,
        }),
    }
}

/// The secrets that one use of a plugin on the host was granted.
pub(crate) struct ConfigSecrets {
    granted: BTreeMap<String, SecretSource>,
}

impl ConfigSecrets {
    /// Those that the grant names.
    pub(crate) fn new(loaded: &Loaded, grant: &Grant) -> Self {
        let source = |name: &String| Some((name.clone(), loaded.secrets.get(name)?.clone()));
        Self { granted: grant.secret.iter().filter_map(source).collect() }
    }
}

#[async_trait]
impl Secrets for ConfigSecrets {
    async fn reveal(&self, name: &str) -> Result<String, Fault> {
        let Some(source) = self.granted.get(name) else {
            return Err(Fault::Refused(format!("secret `{name}` is not granted; add it to `grant.secret`")));
        };
        read(name, source).map_err(|error| Fault::Unavailable { reason: error.to_string(), retry_after: None })
    }
}

/// What a build's worker gets: the secrets that its steps were granted, and none at all when any of its sources is untrusted.
pub(crate) fn of_build(loaded: &Loaded, order: &BuildOrder) -> Vec<Secret> {
    if order.build.stamps.iter().any(|stamp| !stamp.trusted) {
        return Vec::new();
    }
    let names: BTreeSet<&String> = order.job.steps.iter().flat_map(|step| &step.grant.secret).collect();
    let mut secrets = Vec::with_capacity(names.len());
    for name in names {
        let Some(source) = loaded.secrets.get(name) else { continue };
        match read(name, source) {
            Ok(value) => secrets.push(Secret { name: name.clone(), value: SecretValue::new(value) }),
            // The step that needs it will say that it is missing.
            Err(error) => tracing::error!("{error}"),
        }
    }
    secrets
}
