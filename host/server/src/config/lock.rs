//! `stampmill.lock`: which bytes each plugin name stands for, and what those asked for. It lies beside the configuration and belongs under
//! version control with it. Other bytes under a pinned name get nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::limits;

/// Its name, beside the configuration.
pub(crate) const LOCK_FILE: &str = "stampmill.lock";

const HEADING: &str = "\
# Written by stampmill: the bytes that each plugin name stands for, and the permissions that they asked for.
# Keep it with the configuration. To approve other bytes for a plugin, remove its entry.
";

/// Why the pins can't be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// The file is there and can't be read.
    #[error("the pins of plugins in {path} can't be read: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no lock file.
    #[error(
        "the pins of plugins in {path} can't be understood: {why}; take the file back from version control, or remove it to pin every plugin anew"
    )]
    Malformed {
        /// Which file.
        path: String,
        /// What is wrong, with line and column.
        why: String,
    },
    /// A later release wrote it.
    #[error("{path} has version {found}, and this release reads version 1: run the release that wrote it")]
    Version {
        /// Which file.
        path: String,
        /// Its version.
        found: u32,
    },
    /// The file can't be written.
    #[error(
        "the pins of plugins can't be written to {path}: {source}; its folder must be writable when a plugin is pinned for the first time"
    )]
    Write {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// What a name is pinned to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    /// SHA-256 of the component.
    pub(crate) sha256: String,
    /// What its manifest asked for.
    pub(crate) permissions: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default)]
    plugin: BTreeMap<String, Pin>,
}

/// The pins of one configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    pins: BTreeMap<String, Pin>,
}

/// A pin that is not in the file yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NewPin {
    /// The plugin's name in the configuration.
    pub(crate) name: String,
    /// What it is pinned to.
    pub(crate) pin: Pin,
    /// Whether the name was pinned to other bytes before: a bundled plugin of another release.
    pub(crate) replaces: bool,
}

impl fmt::Display for NewPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = if self.replaces { "pinned anew" } else { "pinned" };
        let asks = if self.pin.permissions.is_empty() { "nothing".to_owned() } else { self.pin.permissions.join(", ") };
        write!(f, "plugin `{}` {again} to sha256 {}…; it asks for {asks}", self.name, short(&self.pin.sha256))
    }
}

/// The beginning of a digest, enough to compare by eye.
pub(crate) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// What the pins say of a plugin's bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// These are the pinned bytes.
    Same,
    /// They are taken and have to be written down.
    Pin(NewPin),
    /// Other bytes than the pinned ones.
    Other {
        /// The pinned digest.
        pinned: String,
    },
    /// A bundled plugin that asks for more than its earlier release.
    AsksMore {
        /// What it asks for in addition.
        added: Vec<String>,
    },
}

impl Lock {
    /// No pins at all.
    pub(super) fn empty(config: &Path) -> Self {
        Self { path: config.with_file_name(LOCK_FILE), pins: BTreeMap::new() }
    }

    /// Reads the file beside a configuration; a missing one has no pins.
    pub(crate) fn beside(config: &Path) -> Result<Self, LockError> {
        let path = config.with_file_name(LOCK_FILE);
        let shown = path.display().to_string();
        let read = |source| LockError::Read { path: shown.clone(), source };
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::empty(config));
            }
            Err(error) => return Err(read(error)),
            Ok(meta) if meta.len() > limits::LOCK_BYTES_MAX => {
                return Err(LockError::Malformed { path: shown, why: format!("it has {} bytes", meta.len()) });
            }
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(&path).map_err(read)?;
        let document: Document = toml::from_str(&text).map_err(|error| LockError::Malformed {
            path: shown.clone(),
            why: error.to_string().trim_end().to_owned(),
        })?;
        if document.version != 1 {
            return Err(LockError::Version { path: shown, found: document.version });
        }
        Ok(Self { path, pins: document.plugin })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Compares a plugin's bytes with its pin.
    pub(crate) fn judge(&self, name: &str, digest: &str, permissions: &[String], bundled: bool) -> Verdict {
        let pin = Pin { sha256: digest.to_owned(), permissions: permissions.to_vec() };
        let Some(pinned) = self.pins.get(name) else {
            return Verdict::Pin(NewPin { name: name.to_owned(), pin, replaces: false });
        };
        if pinned.sha256 == digest {
            return Verdict::Same;
        }
        if !bundled {
            return Verdict::Other { pinned: pinned.sha256.clone() };
        }
        let added: Vec<String> =
            permissions.iter().filter(|permission| !pinned.permissions.contains(permission)).cloned().collect();
        if added.is_empty() {
            Verdict::Pin(NewPin { name: name.to_owned(), pin, replaces: true })
        } else {
            Verdict::AsksMore { added }
        }
    }

    /// Writes the file with these pins added: a new file beside it, made durable, renamed over it.
    pub(crate) fn write(&self, pins: &[NewPin]) -> Result<(), LockError> {
        if pins.is_empty() {
            return Ok(());
        }
        let mut plugin = self.pins.clone();
        plugin.extend(pins.iter().map(|new| (new.name.clone(), new.pin.clone())));
        let write = |source| LockError::Write { path: self.path.display().to_string(), source };
        let text =
            toml::to_string(&Document { version: 1, plugin }).map_err(|error| write(std::io::Error::other(error)))?;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(write)?;
        file.write_all(format!("{HEADING}{text}").as_bytes()).map_err(write)?;
        set_readable(file.as_file()).map_err(write)?;
        file.as_file().sync_all().map_err(write)?;
        file.persist(&self.path).map_err(|error| write(error.error))?;
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(write)
    }
}

/// A temporary file is private; the pins are no secret and the host may run as another user than whoever checks.
fn set_readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    fn pinned(name: &str, digest: &str, permissions: &[&str]) -> (tempfile::TempDir, Lock) {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("stampmill.toml");
        let empty = Lock::beside(&config).unwrap();
        let Verdict::Pin(pin) = empty.judge(name, digest, &words(permissions), false) else { panic!("not pinned") };
        empty.write(&[pin]).unwrap();
        let lock = Lock::beside(&config).unwrap();
        (dir, lock)
    }

    #[test]
    fn a_pin_is_written_and_holds_for_the_same_bytes_only() {
        let (_dir, lock) = pinned("lint", "aa", &["command"]);
        assert_eq!(lock.judge("lint", "aa", &words(&["command"]), false), Verdict::Same);
        assert_eq!(lock.judge("lint", "bb", &words(&["command"]), false), Verdict::Other { pinned: "aa".to_owned() });
        assert!(matches!(lock.judge("other", "bb", &[], false), Verdict::Pin(_)));
    }

    #[test]
    fn a_bundled_plugin_is_pinned_anew_unless_it_asks_for_more() {
        let (_dir, lock) = pinned("git", "aa", &["command", "workspace"]);
        let Verdict::Pin(pin) = lock.judge("git", "bb", &words(&["command"]), true) else { panic!("not pinned anew") };
        assert!(pin.replaces);
        assert_eq!(
            lock.judge("git", "bb", &words(&["command", "http"]), true),
            Verdict::AsksMore { added: words(&["http"]) }
        );
    }

    #[test]
    fn a_broken_or_later_lock_file_is_refused_and_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("stampmill.toml");
        let path = dir.path().join(LOCK_FILE);
        for (text, part) in [("plugin = 3", "version"), ("version = 2", "version 2"), ("version = 1\nx = 1", "line 2")]
        {
            std::fs::write(&path, text).unwrap();
            let error = Lock::beside(&config).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn other_pins_stay_when_one_is_added() {
        let (_dir, lock) = pinned("lint", "aa", &[]);
        let Verdict::Pin(pin) = lock.judge("git", "cc", &words(&["command"]), true) else { panic!("not pinned") };
        lock.write(&[pin]).unwrap();
        let config = lock.path().with_file_name("stampmill.toml");
        let both = Lock::beside(&config).unwrap();
        assert_eq!(both.judge("lint", "aa", &[], false), Verdict::Same);
        assert_eq!(both.judge("git", "cc", &[], true), Verdict::Same);
    }
}
