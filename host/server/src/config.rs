//! The configuration: one TOML file, read and checked as a whole, with the place and the mend of everything that is wrong.
//!
//! Nothing here starts a plugin or writes a file. In reading order: [`reader`] and [`value`] walk the parsed text, [`raw`] is the file as
//! written, [`shelf`] finds plugins and holds them to their pins in [`lock`], [`uses`] and [`schema`] check each use of one, [`resolve`] looks
//! names up and makes what the host works with. [`finding`] is how problems are gathered and shown.

mod finding;
mod limits;
mod lock;
mod nearest;
mod raw;
mod reader;
mod remark;
mod resolve;
mod schema;
mod shelf;
mod units;
mod uses;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stampmill_engine::form::Parameter;
use stampmill_model::{
    BuilderName, ChangeSourceName, Digest, Grant, Job, Milliseconds, PluginLimits, ReporterName, SchedulerName,
};
use stampmill_runtime::Inspection;
use toml::de::DeTable;

pub(crate) use finding::{ConfigError, Finding};
use finding::{Problem, Sink, Source, Span};
pub(crate) use limits::PARAMETER_FILE_BYTES_MAX;
use lock::Lock;
pub(crate) use lock::{LockError, NewPin};
pub(crate) use nearest::{did_you_mean, quoted};
pub use remark::{Remark, check_text};
pub(crate) use shelf::{Bundled, permission_names, read_component};

/// A configuration that was taken: every name in it resolves.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The file.
    pub(crate) path: PathBuf,
    /// Address and port.
    pub(crate) listen: String,
    /// Where people reach the host, without a slash at the end.
    pub(crate) public_url: Option<String>,
    /// Of the web pages.
    pub(crate) title: String,
    /// The data directory, absolute: the file's, else `stampmill-data` beside the file.
    pub(crate) data: PathBuf,
    /// What the engine knows of it.
    pub(crate) engine: Arc<stampmill_engine::config::Config>,
    /// Every job, also those that no builder uses.
    pub(crate) jobs: BTreeMap<String, Arc<Job>>,
    /// What each job asks of its builders.
    pub(crate) parameters: BTreeMap<String, Vec<Parameter>>,
    /// Every plugin that is used, and the operator's own, by its name in the configuration.
    pub(crate) plugins: BTreeMap<String, Arc<PluginFile>>,
    /// The plugin of each change source.
    pub(crate) change_sources: BTreeMap<ChangeSourceName, PluginUse>,
    /// The codebase generator.
    pub(crate) codebases: Option<PluginUse>,
    /// The filters of each scheduler that has some, in the order of the file.
    pub(crate) filters: BTreeMap<SchedulerName, Vec<PluginUse>>,
    /// The merge plugins of builders that have one.
    pub(crate) merges: BTreeMap<BuilderName, PluginUse>,
    /// The plugin of each reporter.
    pub(crate) reporters: BTreeMap<ReporterName, PluginUse>,
    /// Every step of every job, with `${{ }}` not filled in.
    pub(crate) steps: Vec<PluginUse>,
    /// Where each secret comes from.
    pub(crate) secrets: BTreeMap<String, SecretSource>,
    /// Limits of the host itself.
    pub(crate) limits: HostLimits,
    /// What builders are for, in words for people.
    pub(crate) descriptions: BTreeMap<BuilderName, String>,
    /// Whom the builds of a builder interest beside their blamelists; builders that name nobody are left out.
    pub(crate) interested: BTreeMap<BuilderName, Vec<String>>,
    /// What is allowed and most likely not meant.
    pub(crate) warnings: Vec<Finding>,
    /// Plugins that are not in the lock file yet, or in it with an earlier release's bytes.
    pub(crate) pins: Vec<NewPin>,
    lock: Lock,
    source: Arc<Source>,
}

/// A plugin that the configuration can name.
#[derive(Debug)]
pub(crate) struct PluginFile {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// The component.
    pub(crate) bytes: Arc<[u8]>,
    /// SHA-256 of the component.
    pub(crate) digest: Digest,
    /// What it says of itself and what it really is.
    pub(crate) inspection: Inspection,
    /// Whether it came with the binary.
    pub(crate) bundled: bool,
}

impl PluginFile {
    fn new(name: String, bytes: Arc<[u8]>, inspection: Inspection, bundled: bool) -> Self {
        let digest = Digest(inspection.digest.to_string().into());
        Self { name, bytes, digest, inspection, bundled }
    }
}

/// One use of a plugin, checked as far as it can be without starting it.
#[derive(Clone, Debug)]
pub(crate) struct PluginUse {
    /// Such as "change source `app`".
    pub(crate) what: String,
    /// The plugin.
    pub(crate) plugin: Arc<PluginFile>,
    /// Its configuration.
    pub(crate) config: serde_json::Value,
    /// What it may do.
    pub(crate) grant: Grant,
    /// What it may use up.
    pub(crate) limits: PluginLimits,
    /// Where the file names the plugin.
    span: Span,
}

/// Where the value of a secret comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum SecretSource {
    /// A file of the host.
    File(PathBuf),
    /// An environment variable of the host.
    Env(String),
}

/// Limits of the host itself; the engine has its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HostLimits {
    /// Largest body of a request.
    pub(crate) body_bytes: u64,
    /// How long the worker process that `up` started goes on without a host.
    pub(crate) local_worker_alone: Milliseconds,
    /// What steps may use up on the worker that `up` starts.
    pub(crate) steps: StepLimits,
}

/// What steps may use up on the worker that `up` starts, by the names of that worker's own configuration; what is not set has the worker's
/// default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct StepLimits(pub(crate) [Option<(&'static str, u64)>; STEP_LIMITS.len()]);

/// The keys of `[limits]`, what they are called by a worker, and whether they are sizes.
pub(crate) const STEP_LIMITS: [(&str, &str, bool); 8] = [
    ("step-memory", "memory-bytes", true),
    ("step-processes", "processes", false),
    ("step-open-files", "open-files", false),
    ("step-file", "file-bytes", true),
    ("step-scratch", "scratch-bytes", true),
    ("step-disk", "work-bytes", true),
    ("step-disk-files", "work-files", false),
    ("step-output", "output-bytes", true),
];

/// The data directory of a configuration that names none, beside it.
pub(crate) const DATA_DIRECTORY: &str = "stampmill-data";

/// Reads and checks a configuration with its lock file and plugins. Writes nothing: [`Loaded::write_lock`] does, when all else is well.
pub(crate) fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let bundled: Vec<Bundled> = bundled().collect();
    load_with(path, &bundled)
}

/// The plugins in the binary.
pub(crate) fn bundled() -> impl Iterator<Item = Bundled> {
    stampmill_bundle::plugins().iter().map(|plugin| Bundled { name: plugin.name, bytes: plugin.bytes })
}

/// As [`load`], with other plugins than those in the binary.
fn load_with(path: &Path, bundled: &[Bundled]) -> Result<Loaded, ConfigError> {
    load_text(path, read_text(path)?, Lock::beside(path)?, bundled)
}

/// As [`load_with`], with a text and pins that were read already.
fn load_text(path: &Path, text: String, lock: Lock, bundled: &[Bundled]) -> Result<Loaded, ConfigError> {
    let source = Arc::new(Source::new(path, text));
    let wrong = |problems: Vec<Problem>| {
        ConfigError::Wrong(problems.into_iter().map(|problem| Finding::new(problem, Arc::clone(&source))).collect())
    };
    let (root, errors) = DeTable::parse_recoverable(source.text());
    if !errors.is_empty() {
        return Err(wrong(errors.iter().map(|error| syntax_problem(error, source.text())).collect()));
    }

    let sink = Sink::default();
    let file = raw::read(root.get_ref(), &sink);
    let folder = absolute_folder(path)?;
    let text_of = |at: &Option<reader::At<String>>| at.as_ref().map(|at| at.value.clone());
    let public_url = file.public_url.as_ref().and_then(|url| public_url(url, &sink));
    let title = text_of(&file.title).unwrap_or_else(|| "Stampmill".to_owned());
    let data = folder.join(text_of(&file.data).unwrap_or_else(|| DATA_DIRECTORY.to_owned()));
    let described = |builder: &raw::Builder| Some((builder.name.value.clone().into(), builder.description.clone()?));
    let descriptions = file.builders.iter().filter_map(described).collect();
    let named = file.builders.iter().filter(|builder| !builder.interested.is_empty());
    let interested = named.map(|builder| (builder.name.value.clone().into(), builder.interested.clone())).collect();
    let resolved = resolve::resolve(file, bundled, &folder, &lock, &sink);
    let (errors, warnings) = sink.into_findings(&source);
    if !errors.is_empty() {
        return Err(ConfigError::Wrong(errors));
    }

    let engine = Arc::new(resolved.engine);
    let source_names = engine.change_sources.iter().map(|source| source.name.clone());
    let scheduler_names = engine.schedulers.iter().map(|scheduler| scheduler.name.clone());
    let reporter_names = engine.reporters.iter().map(|reporter| reporter.name.clone());
    Ok(Loaded {
        path: path.to_owned(),
        listen: resolved.listen,
        public_url,
        title,
        data,
        jobs: resolved.jobs,
        parameters: resolved.parameters,
        plugins: resolved.plugins,
        change_sources: source_names.zip(resolved.change_sources).collect(),
        codebases: resolved.codebases,
        filters: scheduler_names.zip(resolved.filters).filter(|(_, filters)| !filters.is_empty()).collect(),
        merges: resolved.merges,
        reporters: reporter_names.zip(resolved.reporters).collect(),
        steps: resolved.steps,
        secrets: resolved.secrets,
        limits: resolved.limits,
        descriptions,
        interested,
        warnings,
        pins: resolved.pins,
        engine,
        lock,
        source,
    })
}

impl Loaded {
    /// Pins what is not pinned yet. Call it when the deep check is over, and print [`Loaded::pins`].
    pub(crate) fn write_lock(&self) -> Result<(), LockError> {
        self.lock.write(&self.pins)
    }

    /// Every use of a plugin, in the order in which data flows.
    pub(crate) fn uses(&self) -> impl Iterator<Item = &PluginUse> {
        let sources = self.change_sources.values().chain(&self.codebases);
        let filters = self.filters.values().flatten();
        sources.chain(filters).chain(self.merges.values()).chain(&self.steps).chain(self.reporters.values())
    }

    /// An error at the place of a use, such as a plugin that refuses its configuration.
    pub(crate) fn finding(&self, usage: &PluginUse, message: String) -> Finding {
        let problem = Problem::error(usage.span.clone(), message).label(format!("plugin `{}`", usage.plugin.name));
        Finding::new(problem, Arc::clone(&self.source))
    }

    /// These findings as the reason why the configuration is not taken.
    #[expect(clippy::unused_self, reason = "says whose findings they are; others would point into another text")]
    pub(crate) fn error(&self, findings: Vec<Finding>) -> ConfigError {
        ConfigError::Wrong(findings)
    }
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let shown = path.display().to_string();
    let unreadable = |source| ConfigError::Unreadable { path: shown.clone(), source };
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(ConfigError::Missing { path: shown }),
        Err(error) => return Err(unreadable(error)),
    };
    if meta.len() > limits::FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: shown, bytes: meta.len(), limit: limits::FILE_BYTES_MAX });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Absolute, so that a later change of the working directory does not move secrets and plugins.
fn absolute_folder(path: &Path) -> Result<PathBuf, ConfigError> {
    let absolute = std::path::absolute(path)
        .map_err(|source| ConfigError::Unreadable { path: path.display().to_string(), source })?;
    Ok(absolute.parent().unwrap_or(Path::new("/")).to_owned())
}

fn syntax_problem(error: &toml::de::Error, text: &str) -> Problem {
    let span = error.span().unwrap_or(0..0);
    let first_line = error.message().lines().next().unwrap_or("no TOML").to_owned();
    let rest: Vec<&str> = error.message().lines().skip(1).collect();
    let line = text.get(..span.start).map_or(0, |before| before.matches('\n').count());
    let unquoted = text.lines().nth(line).is_some_and(|line| line.contains('=') && !line.contains(['"', '\'']));
    let problem = Problem::error(span, format!("syntax error: {first_line}"));
    match (rest.is_empty(), unquoted) {
        (false, _) => problem.mend(rest.join("; ")),
        (true, true) => problem.mend("texts stand in quotes: `key = \"text\"`"),
        (true, false) => problem.mend("the file is TOML: https://toml.io describes it on one page"),
    }
}

fn public_url(url: &reader::At<String>, sink: &Sink) -> Option<String> {
    let text = url.value.trim_end_matches('/');
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if rest.is_some_and(|rest| !rest.is_empty() && !rest.contains([' ', '?', '#', '@'])) {
        return Some(text.to_owned());
    }
    let problem = Problem::error(url.span.clone(), format!("`public-url` is `{}`, which is no web address", url.value));
    sink.report(problem.label("no web address").mend("write `public-url = \"https://ci.example\"`"));
    None
}
