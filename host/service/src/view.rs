//! What pages and programs are shown of the running host. The server fills these in; they hold no secret.

use stampmill_engine::config::CodebaseDefault;
use stampmill_engine::form::Form;
pub use stampmill_engine::output::SchedulerNow;
use stampmill_model::{
    BuildId, BuilderName, ChangeSourceName, Digest, Grant, Halt, Milliseconds, SchedulerName, Tier, Wall, WorkerInfo,
    WorkerName,
};

/// What the configuration in force defines, in the order of the file.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Catalogue {
    /// What the operator calls this host; on every page.
    pub title: String,
    /// Builders.
    pub builders: Vec<BuilderView>,
    /// Schedulers.
    pub schedulers: Vec<SchedulerView>,
    /// Plugins that are installed, used or not.
    pub plugins: Vec<PluginView>,
    /// Names of change sources that are hooks.
    pub hooks: Vec<ChangeSourceName>,
    /// Names of all change sources.
    pub change_sources: Vec<ChangeSourceName>,
    /// The largest body of a request, in bytes, that the operator accepts.
    pub body_bytes_max: usize,
    /// Version of this program.
    pub version: String,
}

impl Catalogue {
    /// The builder of this name.
    #[must_use]
    pub fn builder(&self, name: &str) -> Option<&BuilderView> {
        self.builders.iter().find(|builder| builder.name.as_str() == name)
    }
}

/// A builder.
#[derive(Clone, PartialEq, Debug)]
pub struct BuilderView {
    /// Its name.
    pub name: BuilderName,
    /// Its project, or empty.
    pub project: String,
    /// For people, may be empty.
    pub description: String,
    /// Whom each of its builds interests, beside the blamelist.
    pub interested: Vec<String>,
    /// Tags that its workers must have.
    pub worker_tags: Vec<String>,
    /// Workers that it names; empty means any.
    pub worker_names: Vec<WorkerName>,
    /// The least isolation that it accepts.
    pub tier: Tier,
    /// Name of its job.
    pub job: String,
    /// Steps of the job in order.
    pub steps: Vec<StepOfJob>,
}

/// A step of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepOfJob {
    /// Its name.
    pub name: String,
    /// Name of the plugin that runs it.
    pub plugin: String,
}

/// A scheduler.
#[derive(Clone, PartialEq, Debug)]
pub struct SchedulerView {
    /// Its name.
    pub name: SchedulerName,
    /// As in the configuration: `single-branch`, `any-branch`, `periodic`, `nightly`, `dependent`, `try`, `force`.
    pub kind: String,
    /// When it starts builds, in words for people.
    pub when: String,
    /// What it builds on.
    pub builders: Vec<BuilderName>,
    /// What its builds need; a force form offers these to change.
    pub codebases: Vec<CodebaseDefault>,
    /// Names of its filter plugins in order.
    pub filters: Vec<String>,
    /// What it asks of people, when it is a force scheduler.
    pub form: Option<Form>,
}

impl SchedulerView {
    /// Whether people may force builds through it.
    #[must_use]
    pub const fn is_force(&self) -> bool {
        self.form.is_some()
    }
}

/// A change source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeSourceView {
    /// Its name.
    pub name: ChangeSourceName,
    /// Name of its plugin.
    pub plugin: String,
    /// Polled or called.
    pub kind: ChangeSourceKind,
    /// Whether the operator trusts what it reports with secrets.
    pub trusted: bool,
    /// The last error, if the last poll failed.
    pub trouble: Option<String>,
}

/// How a change source gets its changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeSourceKind {
    /// Asked every so often.
    Poller {
        /// From the end of one poll to the start of the next.
        every: Milliseconds,
        /// When it is asked next; `None` while it is being asked.
        next_poll_in: Option<Milliseconds>,
    },
    /// Told by the forge at `/hooks/NAME`.
    Hook,
}

/// A worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkerView {
    /// Its name.
    pub name: WorkerName,
    /// What builders choose by.
    pub tags: Vec<String>,
    /// The operator's limit of builds at once; `None` leaves it to the worker.
    pub max_builds: Option<u32>,
    /// Builds that it has.
    pub running: Vec<BuildId>,
    /// Who paused it, if somebody has.
    pub paused: Option<Halt>,
    /// Whether it is there.
    pub state: WorkerState,
}

/// Whether a worker is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorkerState {
    /// Not connected since the host started.
    NeverSeen,
    /// It was connected.
    Away {
        /// Since when.
        since: Wall,
        /// What it last said of itself.
        info: WorkerInfo,
    },
    /// It is connected.
    Connected {
        /// Since when.
        since: Wall,
        /// What it says of itself.
        info: WorkerInfo,
    },
}

impl WorkerState {
    /// What the worker says, or last said, of itself.
    #[must_use]
    pub const fn info(&self) -> Option<&WorkerInfo> {
        match self {
            Self::NeverSeen => None,
            Self::Away { info, .. } | Self::Connected { info, .. } => Some(info),
        }
    }

    /// The word, as in the API and on pages.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NeverSeen => "never-seen",
            Self::Away { .. } => "away",
            Self::Connected { .. } => "connected",
        }
    }
}

/// A plugin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluginView {
    /// Name in the configuration.
    pub name: String,
    /// As in its manifest: `change-source`, `codebase`, `filter`, `step`, `reporter`.
    pub kind: String,
    /// Its version.
    pub version: String,
    /// Its bytes.
    pub digest: Digest,
    /// One line for people.
    pub summary: String,
    /// Permissions that its manifest asks for.
    pub asks: Vec<String>,
    /// Interfaces that the component imports: what it could call at all.
    pub imports: Vec<String>,
    /// Each place of the configuration that uses it.
    pub uses: Vec<PluginUse>,
}

/// One use of a plugin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluginUse {
    /// Where, such as `change source app` or `step compile of job c-project`.
    pub place: String,
    /// What the operator granted to this use.
    pub grant: Grant,
}
