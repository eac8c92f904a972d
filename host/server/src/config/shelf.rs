//! The plugins that a configuration can name: those in the binary, and the operator's own files.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stampmill_runtime::{Inspection, Kind};

use super::PluginFile;
use super::finding::{Problem, Sink, Span};
use super::lock::{Lock, NewPin, Verdict, short};
use super::nearest::{did_you_mean, quoted};
use super::raw::PluginPath;
use super::reader::At;

/// A component in the binary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bundled {
    /// Its name.
    pub(crate) name: &'static str,
    /// The component.
    pub(crate) bytes: &'static [u8],
}

/// Finds plugins by name and holds each to its pin.
#[derive(Debug)]
pub(super) struct Shelf<'a> {
    bundled: &'a [Bundled],
    own: BTreeMap<String, At<PathBuf>>,
    lock: &'a Lock,
    sink: &'a Sink,
    found: RefCell<BTreeMap<String, Option<Arc<PluginFile>>>>,
    pins: RefCell<Vec<NewPin>>,
}

impl<'a> Shelf<'a> {
    /// `folder` is what the paths of the operator's own plugins are relative to.
    pub(super) fn new(
        bundled: &'a [Bundled],
        own: &[PluginPath],
        folder: &Path,
        lock: &'a Lock,
        sink: &'a Sink,
    ) -> Self {
        let path = |plugin: &PluginPath| (plugin.name.value.clone(), plugin.file.with(folder.join(&plugin.file.value)));
        let own = own.iter().map(path).collect();
        Self { bundled, own, lock, sink, found: RefCell::default(), pins: RefCell::default() }
    }

    /// The plugin of this name, read, inspected and compared with its pin. What is wrong with it is reported once, where it is used first.
    pub(super) fn find(&self, name: &At<String>, what: &str) -> Option<Arc<PluginFile>> {
        if let Some(found) = self.found.borrow().get(&name.value) {
            return found.clone();
        }
        let plugin = match (self.own.get(&name.value), self.bundled.iter().find(|plugin| plugin.name == name.value)) {
            (Some(path), _) => self.read_own(&name.value, path),
            (None, Some(bundled)) => self.inspect(name, Arc::from(bundled.bytes), true),
            // Every use of an unknown name is an error of its own.
            (None, None) => {
                self.unknown(name, what);
                return None;
            }
        };
        // A file of the operator's own is held at the line that names the file.
        let place = self.own.get(&name.value).map_or(&name.span, |path| &path.span);
        let plugin = plugin.filter(|plugin| self.held_to_pin(place, plugin)).map(Arc::new);
        self.found.borrow_mut().insert(name.value.clone(), plugin.clone());
        plugin
    }

    fn unknown(&self, name: &At<String>, what: &str) {
        let names = self.names();
        let nearest = did_you_mean(&name.value, "plugins", names.iter().map(String::as_str));
        let mend = if nearest.ends_with('?') {
            nearest
        } else {
            format!("{nearest}; a file of your own is named with `[plugin.{}]` and `file = \"…\"`", name.value)
        };
        let problem = Problem::error(name.span.clone(), format!("unknown plugin `{}` in {what}", name.value));
        self.sink.report(problem.label("no such plugin").mend(mend));
    }

    fn names(&self) -> Vec<String> {
        let bundled = self.bundled.iter().map(|plugin| plugin.name.to_owned());
        self.own.keys().cloned().chain(bundled).collect()
    }

    /// Bundled plugins of some kinds, for mends.
    pub(super) fn bundled_of(&self, kinds: &[Kind]) -> String {
        let inspected = self
            .bundled
            .iter()
            .filter_map(|plugin| Some((plugin.name, stampmill_runtime::inspect(plugin.bytes).ok()?)));
        let names: Vec<&str> = inspected
            .filter(|(_, inspection)| kinds.contains(&inspection.manifest.kind))
            .map(|(name, _)| name)
            .collect();
        quoted(&names)
    }

    fn read_own(&self, name: &str, path: &At<PathBuf>) -> Option<PluginFile> {
        match read_component(&path.value) {
            Ok(bytes) => self.inspect(&path.with(name.to_owned()), bytes.into(), false),
            Err(why) => {
                let message = format!("the file of plugin `{name}` can't be read: {}: {why}", path.value.display());
                let problem = Problem::error(path.span.clone(), message);
                self.sink.report(problem.mend("the path is relative to the folder of the configuration"));
                None
            }
        }
    }

    fn inspect(&self, name: &At<String>, bytes: Arc<[u8]>, bundled: bool) -> Option<PluginFile> {
        match stampmill_runtime::inspect(&bytes) {
            Ok(inspection) => Some(PluginFile::new(name.value.clone(), bytes, inspection, bundled)),
            Err(error) => {
                let message = format!("plugin `{}` can't be used: {error}", name.value);
                self.sink.report(Problem::error(name.span.clone(), message));
                None
            }
        }
    }

    fn held_to_pin(&self, place: &Span, plugin: &PluginFile) -> bool {
        let permissions = permission_names(&plugin.inspection);
        let file = self.lock.path().display();
        match self.lock.judge(&plugin.name, &plugin.digest.0, &permissions, plugin.bundled) {
            Verdict::Same => true,
            Verdict::Pin(pin) => {
                self.pins.borrow_mut().push(pin);
                true
            }
            Verdict::Other { pinned } => {
                let message = format!(
                    "plugin `{}` is pinned to sha256 {}… and the file has {}…",
                    plugin.name,
                    short(&pinned),
                    short(&plugin.digest.0)
                );
                let mend = format!(
                    "if the new bytes are what you want, remove [plugin.{}] from {file}; the pinned digest is {pinned}, the file's is {}",
                    plugin.name, plugin.digest.0
                );
                self.sink.report(Problem::error(place.clone(), message).label("other bytes than pinned").mend(mend));
                false
            }
            Verdict::AsksMore { added } => {
                let message =
                    format!("the bundled plugin `{}` of this release asks for {} as well", plugin.name, quoted(&added));
                let mend =
                    format!("to approve it, remove [plugin.{}] from {file} and grant what it needs", plugin.name);
                self.sink.report(Problem::error(place.clone(), message).label("held until approved").mend(mend));
                false
            }
        }
    }

    /// Every plugin that was found, and the pins that are not written yet.
    pub(super) fn into_found(self) -> (BTreeMap<String, Arc<PluginFile>>, Vec<NewPin>) {
        let found = self.found.into_inner();
        let plugins = found.into_iter().filter_map(|(name, plugin)| Some((name, plugin?))).collect();
        let mut pins = self.pins.into_inner();
        pins.sort_by(|a, b| a.name.cmp(&b.name));
        (plugins, pins)
    }
}

/// What a plugin asks for, as the lock file has it.
pub(crate) fn permission_names(inspection: &Inspection) -> Vec<String> {
    inspection.manifest.permissions.iter().map(ToString::to_string).collect()
}

/// Reads a component file, no more of it than a component can have.
pub(crate) fn read_component(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let most = stampmill_runtime::limits::COMPONENT_BYTES_MAX as u64;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    // One byte more, so that the inspection sees that it is too large.
    file.take(most + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
