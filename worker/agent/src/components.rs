//! Plugins by digest: from memory, from the cache on disk, or from the host. Bytes are checked against the digest wherever they come from, and
//! are compiled here; machine code never comes over the network.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use stampmill_model::Digest;
use stampmill_runtime::{Plugin, Runtime, RuntimeOptions};
use tokio::sync::{Notify, OnceCell, watch};

use crate::limits::PLUGINS_IN_MEMORY;

/// Why a plugin cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ComponentError {
    #[error("the host has no component {digest}: {reason}")]
    Absent { digest: String, reason: String },
    #[error("component {0} is not what its digest says")]
    Forged(String),
    #[error("`{0}` is no digest; 64 lower-case hexadecimal digits are expected")]
    BadDigest(String),
    #[error("component {digest} cannot be loaded: {why}")]
    Unloadable { digest: String, why: String },
}

type Arrival = Result<Arc<Vec<u8>>, ComponentError>;

/// The plugins of a worker.
pub(crate) struct Components {
    directory: PathBuf,
    compiled: PathBuf,
    /// Made when the first step runs: a worker that waits holds no engine.
    runtime: OnceCell<Runtime>,
    state: Mutex<State>,
    /// Told when something is to be asked of the host.
    outbox: Arc<Notify>,
}

#[derive(Default)]
struct State {
    loaded: BTreeMap<String, Arc<Plugin>>,
    /// What is asked of the host.
    asked: BTreeMap<String, Asked>,
    /// The number of the last question.
    questions: u64,
}

struct Asked {
    question: u64,
    /// For all who wait for it.
    answer: watch::Sender<Option<Arrival>>,
}

/// A question for the host, and the digest that it asks for. Numbers tell one that was asked from one that came after its answer.
pub(crate) type Question = (u64, String);

impl Components {
    pub(crate) fn new(state_directory: &Path, outbox: Arc<Notify>) -> std::io::Result<Self> {
        let directory = state_directory.join("components");
        std::fs::create_dir_all(&directory)?;
        Ok(Self {
            directory,
            compiled: state_directory.join("compiled"),
            runtime: OnceCell::new(),
            state: Mutex::new(State::default()),
            outbox,
        })
    }

    /// The plugin of a digest. Waits for the host while it is away.
    pub(crate) async fn plugin(&self, digest: &Digest) -> Result<Arc<Plugin>, ComponentError> {
        let name = digest.0.as_ref();
        if name.len() != 64 || !name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ComponentError::BadDigest(name.chars().take(80).collect()));
        }
        if let Some(plugin) = self.lock().loaded.get(name) {
            return Ok(Arc::clone(plugin));
        }
        let bytes = match self.cached(name) {
            Some(bytes) => Arc::new(bytes),
            None => self.fetch(name).await?,
        };
        let unloadable = |why: String| ComponentError::Unloadable { digest: name.to_owned(), why };
        let options = || RuntimeOptions { cache: Some(self.compiled.clone()) };
        let runtime = self
            .runtime
            .get_or_try_init(|| async { Runtime::new(options()) })
            .await
            .map_err(|error| unloadable(error.to_string()))?;
        let plugin = runtime.load(&bytes).await.map_err(|error| unloadable(error.to_string()))?;
        if self.lock().loaded.is_empty() {
            runtime.drop_unused();
        }
        let mut state = self.lock();
        if state.loaded.len() >= PLUGINS_IN_MEMORY {
            state.loaded.clear();
        }
        state.loaded.insert(name.to_owned(), Arc::clone(&plugin));
        Ok(plugin)
    }

    /// What must be asked of the host; all of it again after a reconnection.
    pub(crate) fn wanted(&self) -> Vec<Question> {
        self.lock().asked.iter().map(|(digest, asked)| (asked.question, digest.clone())).collect()
    }

    /// The host's answer.
    pub(crate) fn arrived(&self, digest: &str, answer: Result<Vec<u8>, String>) {
        let Some(asked) = self.lock().asked.remove(digest) else {
            return;
        };
        let arrival = match answer {
            Ok(bytes) if hex::encode(Sha256::digest(&bytes)) == digest => {
                self.keep(digest, &bytes);
                Ok(Arc::new(bytes))
            }
            Ok(_) => Err(ComponentError::Forged(digest.to_owned())),
            Err(reason) => Err(ComponentError::Absent { digest: digest.to_owned(), reason }),
        };
        // Whoever asked may have been cancelled meanwhile.
        let _ = asked.answer.send(Some(arrival));
    }

    async fn fetch(&self, digest: &str) -> Arrival {
        let mut answer = {
            let mut state = self.lock();
            let State { asked, questions, .. } = &mut *state;
            let asked = asked.entry(digest.to_owned()).or_insert_with(|| {
                *questions += 1;
                Asked { question: *questions, answer: watch::channel(None).0 }
            });
            asked.answer.subscribe()
        };
        self.outbox.notify_one();
        let absent = || ComponentError::Absent { digest: digest.to_owned(), reason: "the worker is ending".to_owned() };
        let arrived = answer.wait_for(Option::is_some).await.map_err(|_| absent())?;
        arrived.clone().unwrap_or_else(|| Err(absent()))
    }

    fn cached(&self, digest: &str) -> Option<Vec<u8>> {
        let path = self.path(digest);
        let bytes = std::fs::read(&path).ok()?;
        if hex::encode(Sha256::digest(&bytes)) != digest {
            tracing::warn!(path = %path.display(), "a cached component is not what its digest says and is fetched anew");
            return None;
        }
        // The time of the file is when the component was last used; `remove_unused` goes by it.
        let file = std::fs::OpenOptions::new().write(true).open(&path);
        if let Err(error) = file.and_then(|file| file.set_modified(SystemTime::now())) {
            tracing::debug!(path = %path.display(), %error, "the use of a component is not recorded");
        }
        Some(bytes)
    }

    /// Keeps a component for the next time; when the disk is full the next time fetches it again.
    fn keep(&self, digest: &str, bytes: &[u8]) {
        let path = self.path(digest);
        let begun = path.with_extension("new");
        let write = || -> std::io::Result<()> {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&begun)?;
            file.write_all(bytes)?;
            std::fs::rename(&begun, &path)
        };
        if let Err(error) = write() {
            tracing::warn!(path = %path.display(), %error, "a component cannot be kept");
        }
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{digest}.wasm"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::UNUSED_AGE;
    use crate::workdir::remove_unused;

    fn age(path: &Path) {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - UNUSED_AGE).unwrap();
    }

    #[tokio::test]
    async fn a_component_that_is_wanted_again_before_the_answer_is_kept_is_asked_for_again() {
        let directory = tempfile::tempdir().unwrap();
        let components = Components::new(directory.path(), Arc::default()).unwrap();
        let digest = hex::encode(Sha256::digest(b"wanted"));
        let mut questions = Vec::new();
        for _ in 0..2 {
            let answered = async {
                tokio::task::yield_now().await;
                questions.extend(components.wanted());
                components.arrived(&digest, Err("not now".to_owned()));
            };
            let (arrived, ()) = tokio::join!(components.fetch(&digest), answered);
            assert!(arrived.is_err());
        }
        assert_eq!(questions, [(1, digest.clone()), (2, digest)]);
    }

    #[test]
    fn a_component_that_no_build_needed_for_long_goes_and_a_used_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        let components = Components::new(directory.path(), Arc::default()).unwrap();
        let [unused, used] = [b"unused".as_slice(), b"used"].map(|bytes| {
            let digest = hex::encode(Sha256::digest(bytes));
            components.keep(&digest, bytes);
            age(&components.path(&digest));
            digest
        });
        assert_eq!(components.cached(&used).as_deref(), Some(b"used".as_slice()));
        remove_unused(directory.path());
        assert!(!components.path(&unused).exists());
        assert!(components.path(&used).exists());
    }
}
