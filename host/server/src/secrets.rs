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

/// The value of one secret.
fn read(name: &str, source: &SecretSource) -> Result<String, SecretError> {
    match source {
        SecretSource::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| SecretError::File {
                name: name.to_owned(),
                path: path.display().to_string(),
                error,
            })?;
            Ok(value_in(&text).to_owned())
        }
        SecretSource::Env(variable) => std::env::var(variable).map_err(|error| SecretError::Env {
            name: name.to_owned(),
            variable: variable.clone(),
            error,
        }),
    }
}

/// A file of one line holds a word, and its line end is the editor's. Of more lines it belongs to the value: OpenSSH reads no private key
/// without the last one.
fn value_in(text: &str) -> &str {
    match text.split_once('\n') {
        Some((line, "")) => line.strip_suffix('\r').unwrap_or(line),
        _ => text,
    }
}

/// The secrets that one use of a plugin on the host was granted.
pub(crate) struct ConfigSecrets {
    granted: BTreeMap<String, SecretSource>,
}

impl ConfigSecrets {
    /// Those that the grant names; the runtime keeps those under `credential` from the plugin.
    pub(crate) fn new(loaded: &Loaded, grant: &Grant) -> Self {
        let source = |name: &String| Some((name.clone(), loaded.secrets.get(name)?.clone()));
        Self { granted: grant.secrets().filter_map(source).collect() }
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
    let names: BTreeSet<&String> = order.job.steps.iter().flat_map(|step| step.grant.secrets()).collect();
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use stampmill_model::{Build, BuildId, BuildState, BuildsetId, Properties, RequestId, SourceStamp, Wall};

    use super::*;
    use crate::config;

    const CONFIG: &str = r#"
[secret.deploy-key]
file = "deploy.key"
[secret.other-key]
file = "other.key"
[secret.lost-key]
file = "nowhere"
[[job]]
name = "deploy"
[[job.step]]
plugin = "shell"
config = { command = ["true"] }
grant = { command = ["true"], secret = ["deploy-key", "lost-key"] }
[[builder]]
name = "linux"
job = "deploy"
[[worker]]
name = "local"
"#;

    fn loaded(directory: &Path) -> Loaded {
        std::fs::write(directory.join("deploy.key"), "open sesame\r\n").unwrap();
        std::fs::write(directory.join("other.key"), "not granted").unwrap();
        let path = directory.join("stampmill.toml");
        std::fs::write(&path, CONFIG).unwrap();
        config::load(&path).unwrap()
    }

    /// An order for a build of these stamps, by whether each is trusted.
    fn order(loaded: &Loaded, trusted: &[bool]) -> BuildOrder {
        let stamp = |trusted: &bool| SourceStamp {
            codebase: String::new(),
            repository: "/r".to_owned(),
            project: String::new(),
            branch: None,
            revision: None,
            patch: None,
            trusted: *trusted,
            changes: Vec::new(),
        };
        let build = Build {
            id: BuildId(1),
            number: 1,
            builder: "linux".into(),
            project: String::new(),
            request: RequestId(1),
            buildset: BuildsetId(1),
            merged: Vec::new(),
            locks: Vec::new(),
            triggers: Vec::new(),
            attempt: 1,
            worker: "local".into(),
            reason: String::new(),
            owner: None,
            stamps: trusted.iter().map(stamp).collect(),
            blamelist: Vec::new(),
            properties: Properties::new(),
            steps: Vec::new(),
            started_at: Wall(0),
            state: BuildState::Dispatched,
        };
        BuildOrder { build, changes: Vec::new(), job: Arc::clone(&loaded.jobs["deploy"]) }
    }

    #[test]
    fn the_line_end_of_a_word_is_left_out_and_that_of_a_private_key_is_kept() {
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNza\n-----END OPENSSH PRIVATE KEY-----\n";
        let texts = [
            ("word\n", "word"),
            ("word\r\n", "word"),
            ("word", "word"),
            ("", ""),
            ("\n", ""),
            ("\n\n", "\n\n"),
            (key, key),
        ];
        for (text, value) in texts {
            assert_eq!(value_in(text), value, "{text:?}");
        }
    }

    fn given(loaded: &Loaded, trusted: &[bool]) -> Vec<(String, String)> {
        let secrets = of_build(loaded, &order(loaded, trusted));
        secrets.into_iter().map(|secret| (secret.name, secret.value.reveal().to_owned())).collect()
    }

    #[test]
    fn an_untrusted_build_gets_no_secret_and_a_trusted_one_those_that_its_steps_are_granted() {
        let directory = tempfile::tempdir().unwrap();
        let loaded = loaded(directory.path());
        let granted = [("deploy-key".to_owned(), "open sesame".to_owned())];
        assert_eq!(given(&loaded, &[true]), granted, "neither what no step names nor what can't be read");
        assert_eq!(given(&loaded, &[true, true]), granted);
        assert_eq!(given(&loaded, &[]), granted, "a build without sources has none that could be strange");
        for untrusted in [&[false][..], &[true, false], &[false, true], &[false, false]] {
            assert_eq!(given(&loaded, untrusted), [], "{untrusted:?}");
        }
    }
}
