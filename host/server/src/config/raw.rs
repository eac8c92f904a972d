//! The file as written: every key read into its type, nothing looked up yet. Sections in the order in which data flows through them.

mod building;
mod form;
mod intake;
mod surroundings;

use std::collections::BTreeMap;

use serde_json::Value;
use stampmill_engine::form::{Entry, Parameter, SourceField};
use stampmill_model::{LockAccess, LockScope, Milliseconds, Tier};
use toml::de::DeTable;

use super::finding::{Problem, Sink, Span};
use super::reader::{At, NamedTexts, Table};
use super::value::ConfigValue;
use super::{StepLimits, limits};

/// The whole file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) listen: Option<At<String>>,
    pub(super) public_url: Option<At<String>>,
    pub(super) title: Option<At<String>>,
    pub(super) data: Option<At<String>>,
    pub(super) change_sources: Vec<ChangeSource>,
    pub(super) codebases: Option<Use>,
    pub(super) schedulers: Vec<Scheduler>,
    pub(super) jobs: Vec<Job>,
    pub(super) builders: Vec<Builder>,
    pub(super) locks: Vec<Lock>,
    pub(super) projects: Vec<Project>,
    pub(super) workers: Vec<Worker>,
    pub(super) reporters: Vec<Reporter>,
    pub(super) secrets: Vec<Secret>,
    pub(super) limits: Limits,
    pub(super) properties: BTreeMap<String, Value>,
    pub(super) plugins: Vec<PluginPath>,
}

/// One use of a plugin.
#[derive(Clone, Debug)]
pub(super) struct Use {
    /// Such as "change source `app`".
    pub(super) what: String,
    pub(super) plugin: At<String>,
    pub(super) config: ConfigValue,
    pub(super) grant: Grant,
    pub(super) limits: UseLimits,
}

/// What one use of a plugin may use up.
#[derive(Clone, Debug, Default)]
pub(super) struct UseLimits {
    pub(super) memory: Option<At<u64>>,
    pub(super) time: Option<At<Milliseconds>>,
    pub(super) compute: Option<At<Milliseconds>>,
    pub(super) host_call: Option<At<Milliseconds>>,
}

/// The keys of a grant that are there, even when they are empty: an empty list is an answer too.
#[derive(Clone, Debug, Default)]
pub(super) struct Grant {
    /// The whole, if there is one.
    pub(super) span: Option<Span>,
    /// Key, its place, its items.
    pub(super) keys: Vec<(&'static str, Span, Vec<At<String>>)>,
    /// The place of `credential`, if it is there.
    pub(super) credential: Option<Span>,
    /// Under `credential`: a secret and the origins that get to see it.
    pub(super) credentials: Vec<NamedTexts>,
}

#[derive(Debug)]
pub(super) struct ChangeSource {
    pub(super) name: At<String>,
    pub(super) usage: Use,
    pub(super) every: Option<At<Milliseconds>>,
    pub(super) trusted: bool,
    pub(super) project: String,
}

/// When a scheduler starts builds, as the file says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SchedulerKind {
    SingleBranch,
    AnyBranch,
    Periodic,
    Nightly,
    Dependent,
    Pinged,
    Try,
    Triggerable,
    Force,
}

#[derive(Debug)]
pub(super) struct Scheduler {
    pub(super) name: At<String>,
    pub(super) kind: At<SchedulerKind>,
    pub(super) branch: Option<At<String>>,
    pub(super) branches: Option<At<Vec<At<String>>>>,
    pub(super) stable_for: Option<At<Milliseconds>>,
    pub(super) every: Option<At<Milliseconds>>,
    pub(super) at: Option<At<String>>,
    pub(super) time_zone: Option<At<String>>,
    pub(super) only_if_changed: bool,
    pub(super) force_at: Option<At<String>>,
    pub(super) upstream: Option<At<String>>,
    pub(super) trusted: bool,
    pub(super) codebases: Vec<Codebase>,
    pub(super) absolute_source_stamps: bool,
    pub(super) filters: Vec<Use>,
    pub(super) builders: Vec<At<String>>,
    pub(super) on_every_worker: bool,
    pub(super) priority: i32,
    pub(super) properties: BTreeMap<String, Value>,
    pub(super) approve_untrusted: bool,
    pub(super) cancel_superseded: bool,
    pub(super) cancel_on_failure: bool,
    /// The place of `pings`, if it is true.
    pub(super) pings: Option<Span>,
    pub(super) reason: String,
    /// What a force scheduler asks of people.
    pub(super) entries: Vec<Entry>,
    pub(super) reason_required: bool,
    pub(super) span: Span,
}

#[derive(Debug)]
pub(super) struct Codebase {
    pub(super) name: At<String>,
    pub(super) repository: String,
    pub(super) branch: Option<String>,
    pub(super) revision: Option<String>,
    /// What people may choose of it.
    pub(super) ask: Option<At<Vec<SourceField>>>,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) name: At<String>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: At<String>,
    /// Whether the name is the plugin's, because the step has none.
    pub(super) unnamed: bool,
    pub(super) usage: Use,
    pub(super) when: Option<At<String>>,
    pub(super) halt_on_failure: bool,
    pub(super) flunk_on_failure: bool,
    pub(super) warn_on_failure: bool,
    pub(super) flunk_on_warnings: bool,
    pub(super) warn_on_warnings: bool,
    pub(super) always_run: bool,
    pub(super) locks: Vec<LockUse>,
    pub(super) timeout: Milliseconds,
}

#[derive(Debug)]
pub(super) struct Builder {
    pub(super) name: At<String>,
    pub(super) job: At<String>,
    /// What it gives to the parameters of its job; at the place of the job's name where it gives nothing.
    pub(super) with: ConfigValue,
    pub(super) project: String,
    pub(super) worker_names: Vec<At<String>>,
    pub(super) worker_tags: Vec<At<String>>,
    pub(super) max_builds: Option<u32>,
    pub(super) merge: Option<At<bool>>,
    /// The plugin that says more of it.
    pub(super) merge_by: Option<Use>,
    pub(super) locks: Vec<LockUse>,
    pub(super) retry: stampmill_engine::config::Retry,
    pub(super) tier: Tier,
    pub(super) properties: BTreeMap<String, Value>,
    pub(super) description: Option<String>,
    pub(super) interested: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Project {
    pub(super) name: At<String>,
    pub(super) shares: Option<u32>,
    pub(super) max_builds: Option<u32>,
    pub(super) depends_on: Vec<At<String>>,
}

#[derive(Debug)]
pub(super) struct Lock {
    pub(super) name: At<String>,
    pub(super) count: u32,
    pub(super) scope: LockScope,
}

#[derive(Debug)]
pub(super) struct LockUse {
    pub(super) name: At<String>,
    pub(super) access: LockAccess,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) name: At<String>,
    pub(super) tags: Vec<String>,
    pub(super) max_builds: Option<u32>,
    pub(super) properties: BTreeMap<String, Value>,
}

#[derive(Debug)]
pub(super) struct Reporter {
    pub(super) name: At<String>,
    pub(super) unnamed: bool,
    pub(super) usage: Use,
    pub(super) on: Vec<stampmill_engine::config::OccasionKind>,
    pub(super) builders: Vec<At<String>>,
}

#[derive(Debug)]
pub(super) struct Secret {
    pub(super) name: At<String>,
    pub(super) from: SecretFrom,
}

#[derive(Debug)]
pub(super) enum SecretFrom {
    File(At<String>),
    Env(At<String>),
}

#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) body_bytes: Option<u64>,
    pub(super) local_worker_alone: Option<Milliseconds>,
    pub(super) worker_lost_after: Option<Milliseconds>,
    pub(super) build_attempts: Option<u32>,
    pub(super) report_attempts: Option<u32>,
    pub(super) retry_pause_most: Option<Milliseconds>,
    pub(super) declined_for: Option<Milliseconds>,
    pub(super) trigger_depth: Option<u32>,
    pub(super) plugin_memory: Option<u64>,
    pub(super) plugin_time: Option<Milliseconds>,
    pub(super) plugin_compute: Option<Milliseconds>,
    pub(super) plugin_host_call: Option<Milliseconds>,
    pub(super) steps: StepLimits,
}

#[derive(Debug)]
pub(super) struct PluginPath {
    pub(super) name: At<String>,
    pub(super) file: At<String>,
}

/// Reads the whole file.
pub(super) fn read<'a>(root: &'a DeTable<'a>, sink: &'a Sink) -> File {
    // The place of what the file as a whole lacks is its first character.
    let root = Table::new("the configuration".to_owned(), 0..0, root, sink);
    let file = File {
        listen: root.text("listen"),
        public_url: root.text("public-url"),
        title: root.text("title"),
        data: root.text("data"),
        change_sources: each(&root, "change-source", "a change source", intake::change_source),
        codebases: root.table("codebases", "`codebases`").and_then(|table| {
            let usage = usage(&table, "the codebase generator");
            table.finish();
            usage
        }),
        schedulers: each(&root, "scheduler", "a scheduler", intake::scheduler),
        jobs: each(&root, "job", "a job", building::job),
        builders: each(&root, "builder", "a builder", building::builder),
        locks: each(&root, "lock", "a lock", building::lock),
        projects: each(&root, "project", "a project", building::project),
        workers: each(&root, "worker", "a worker", building::worker),
        reporters: each(&root, "reporter", "a reporter", surroundings::reporter),
        secrets: surroundings::secrets(&root),
        limits: surroundings::limits(&root),
        properties: properties(&root),
        plugins: surroundings::plugins(&root),
    };
    root.finish();
    file
}

fn each<'a, T>(root: &Table<'a>, key: &'static str, what: &str, read: impl Fn(&mut Table<'a>) -> Option<T>) -> Vec<T> {
    let mut items = Vec::new();
    for mut table in root.tables(key, what) {
        items.extend(read(&mut table));
        table.finish();
    }
    items
}

/// The name of a table, which also becomes the word for it in messages.
fn name(table: &mut Table<'_>, word: &str, example: &str) -> Option<At<String>> {
    let name = table.required_text("name", &format!("name = \"{example}\""))?;
    table.what = format!("{word} `{}`", name.value);
    check_name(word, &name, table.sink());
    Some(name)
}

/// Names become parts of URLs and directories.
fn check_name(word: &str, name: &At<String>, sink: &Sink) {
    let text = &name.value;
    let why = if text.trim() != text || text.is_empty() {
        "is empty or begins or ends with a space"
    } else if text.chars().any(|c| c.is_control() || c == '/') {
        "has a slash or a control character"
    } else if text.starts_with('.') {
        "begins with a dot"
    } else if text.chars().count() > limits::NAME_CHARS_MAX {
        "is longer than 100 characters"
    } else {
        return;
    };
    let problem = Problem::error(name.span.clone(), format!("the name {text:?} of a {word} {why}"));
    sink.report(
        problem.label("not a name").mend("names become parts of addresses: use letters, digits, `-`, `_` and spaces"),
    );
}

/// `plugin`, `config`, `grant` and `limits` of a table.
fn usage(table: &Table<'_>, what: &str) -> Option<Use> {
    let plugin = table.required_text("plugin", "plugin = \"NAME\"; `stampmill plugin list` shows them");
    let config = table.json("config");
    let grant = table.table("grant", format!("the grant of {what}")).map(grant).unwrap_or_default();
    let limits = table.table("limits", format!("the limits of {what}")).map(use_limits).unwrap_or_default();
    let plugin = plugin?;
    let config = config.unwrap_or_else(|| ConfigValue::empty(plugin.span.clone()));
    Some(Use { what: what.to_owned(), plugin, config, grant, limits })
}

fn use_limits(table: Table<'_>) -> UseLimits {
    let limits = UseLimits {
        memory: table.bytes("memory", limits::PLUGIN_MEMORY_MAX),
        time: table.duration("time", limits::PLUGIN_TIME_LEAST),
        compute: table.duration("compute", limits::PLUGIN_TIME_LEAST),
        host_call: table.duration("host-call", limits::PLUGIN_TIME_LEAST),
    };
    table.finish();
    limits
}

fn grant(table: Table<'_>) -> Grant {
    let mut grant = Grant { span: Some(table.span.clone()), ..Grant::default() };
    for key in ["command", "net", "read", "write", "http", "secret", "trigger"] {
        if let Some(items) = table.texts(key) {
            let place = table.key_span(key).unwrap_or(items.span);
            grant.keys.push((key, place, items.value));
        }
    }
    grant.credential = table.key_span("credential");
    grant.credentials = table.named_texts("credential", "credential = { NAME = [\"https://host\"] }");
    table.finish();
    grant
}

fn properties(table: &Table<'_>) -> BTreeMap<String, Value> {
    let Some(properties) = table.json("properties") else { return BTreeMap::new() };
    match properties.value {
        Value::Object(object) => object.into_iter().collect(),
        _ => {
            let problem = Problem::error(properties.span, format!("`properties` of {} is no table", table.what));
            table.sink().report(problem.mend("write `properties = { name = \"value\" }`"));
            BTreeMap::new()
        }
    }
}

/// The values that a table gives to parameters, if it gives any.
fn with(table: &Table<'_>) -> Option<ConfigValue> {
    let with = table.json("with")?;
    if with.value.is_object() {
        return Some(with);
    }
    let problem = Problem::error(with.span, format!("`with` of {} is no table", table.what));
    table.sink().report(problem.mend("write `with = { name = \"value\" }`"));
    None
}

/// A flag with a default.
fn flag(table: &Table<'_>, key: &'static str, default: bool) -> bool {
    table.flag(key).map_or(default, |at| at.value)
}

/// A text that may be missing.
fn optional(table: &Table<'_>, key: &'static str) -> Option<String> {
    table.text(key).map(|at| at.value)
}

/// A number of things, at least one.
fn count(table: &Table<'_>, key: &'static str) -> Option<u32> {
    let number = table.number(key, 1, i64::from(u32::MAX))?;
    u32::try_from(number.value).ok()
}
