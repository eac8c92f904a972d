//! The engine that all plugins of a process share: compiling, caching, and the clock that interrupts guests.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::SystemTime;

use tokio::sync::Semaphore;
use wasmtime::component::Component;
use wasmtime::{Config, Engine, EngineWeak, OptLevel};

use crate::cache::Cache;
use crate::digest::Digest;
use crate::host::http;
use crate::inspect::{LoadError, inspect_with_schema};
use crate::limits;
use crate::plugin::Plugin;

/// How a runtime is set up.
#[derive(Clone, Debug, Default)]
pub struct RuntimeOptions {
    /// Directory for compiled components, made with mode 0700; without one they are compiled at each start.
    pub cache: Option<PathBuf>,
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// This machine can't run compiled WebAssembly.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// The cache directory can't be used.
    #[error(
        "the directory `{path}` can't hold compiled components: {source}; give a directory that belongs to this user alone"
    )]
    Cache {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
}

/// Loads plugins. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    cache: Option<Cache>,
    http: Arc<http::Client>,
    compiling: Semaphore,
    /// Plugins that somebody still holds.
    loaded: Mutex<HashMap<Digest, Weak<Plugin>>>,
}

impl Runtime {
    /// Starts the engine and its clock.
    pub fn new(options: RuntimeOptions) -> Result<Runtime, RuntimeError> {
        let failed = |error: wasmtime::Error| RuntimeError::Engine(error.root_cause().to_string());
        let engine = Engine::new(&config()).map_err(failed)?;
        let open = |path: PathBuf| Cache::open(&path, &engine).map_err(|source| RuntimeError::Cache { path, source });
        let cache = options.cache.map(open).transpose()?;
        start_clock(engine.weak()).map_err(|error| RuntimeError::Engine(error.to_string()))?;
        Ok(Runtime {
            inner: Arc::new(Inner {
                engine,
                cache,
                http: Arc::default(),
                compiling: Semaphore::new(limits::COMPILATIONS_AT_ONCE),
                loaded: Mutex::default(),
            }),
        })
    }

    /// Checks a component, and compiles it or maps what was compiled before. The same bytes give the same plugin as long as somebody holds it.
    pub async fn load(&self, bytes: &[u8]) -> Result<Arc<Plugin>, LoadError> {
        let digest = Digest::of(bytes);
        if let Some(plugin) = self.inner.known(&digest) {
            return Ok(plugin);
        }
        let (inspection, schema) = inspect_with_schema(bytes)?;
        let id = inspection.manifest.id.clone();
        let internal = |why: String| LoadError::Internal { plugin: id.clone(), why };
        let turn = self.inner.compiling.acquire().await.map_err(|error| internal(error.to_string()))?;
        // Somebody may have loaded it while we waited for our turn.
        if let Some(plugin) = self.inner.known(&digest) {
            return Ok(plugin);
        }
        let (inner, copy) = (self.inner.clone(), bytes.to_vec());
        let compiled = tokio::task::spawn_blocking(move || inner.compile(&digest, &copy));
        let component = compiled.await.map_err(|error| internal(error.to_string()))?;
        let component = component.map_err(|why| LoadError::Invalid { plugin: id.clone(), why })?;
        let plugin =
            Arc::new(Plugin::new(&self.inner.engine, &component, inspection, schema, self.inner.http.clone())?);
        let mut loaded = self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, plugin| plugin.strong_count() > 0);
        loaded.insert(digest, Arc::downgrade(&plugin));
        drop(turn);
        Ok(plugin)
    }
}

impl Runtime {
    /// Drops from the cache what nobody has used for [`limits::COMPILED_UNUSED`], whichever release compiled it, on a thread of its own. What
    /// is loaded now stays.
    pub fn drop_unused(&self) {
        let Some(cache) = self.inner.cache.clone() else { return };
        let loaded = self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: Vec<Digest> =
            loaded.iter().filter(|(_, plugin)| plugin.strong_count() > 0).map(|(digest, _)| *digest).collect();
        drop(loaded);
        let drop_files = move || cache.drop_unused(&kept, SystemTime::now());
        if let Err(error) = thread::Builder::new().name("stampmill-cache".to_owned()).spawn(drop_files) {
            tracing::warn!(%error, "compiled components that nobody uses are not looked for");
        }
    }
}

impl Inner {
    fn known(&self, digest: &Digest) -> Option<Arc<Plugin>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(digest)?.upgrade()
    }

    fn compile(&self, digest: &Digest, bytes: &[u8]) -> Result<Component, String> {
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, digest)) {
            return Ok(component);
        }
        let why = |error: wasmtime::Error| error.root_cause().to_string();
        let component = Component::from_binary(&self.engine, bytes).map_err(why)?;
        if let Some(cache) = &self.cache {
            cache.store(digest, &component.serialize().map_err(why)?);
        }
        Ok(component)
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(limits::WASM_STACK_BYTES)
        .async_stack_size(limits::FIBER_STACK_BYTES)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(limits::BACKTRACE_FRAMES_MAX));
    config
}

/// Ticks as long as the engine lives.
fn start_clock(engine: EngineWeak) -> std::io::Result<()> {
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(limits::EPOCH);
        }
    };
    thread::Builder::new().name("stampmill-epoch".to_owned()).spawn(tick).map(drop)
}
