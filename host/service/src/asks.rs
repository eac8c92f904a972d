//! What people and programs ask to be done. Each function first asks whether they may.

use std::collections::BTreeMap;

use stampmill_engine::Answer;
use stampmill_engine::input::{Force, Rebuild, SourceChoice, StampChoice, Submission, Try};
use stampmill_model::{
    BuildId, BuilderName, BuildsetId, ChangeId, ChangeSourceName, Patch, Properties, Property, PropertySource,
    RequestId, SchedulerName, SeenChange, SourceStamp, WorkerName,
};

use crate::accounts::TokenView;
use crate::diff;
use crate::door::Service;
use crate::error::{ServiceError, unknown};
use crate::host::{Ask, HookAnswer, HookCall, ReloadError};
use crate::identity::Identity;
use crate::limits::{CHANGE_FILES_MAX, PROPERTIES_MAX, REASON_BYTES_MAX};
use crate::permission::Action;
use crate::secret::Secret;
use crate::view::{ChangeSourceView, WorkerView};

/// A wish to force builds.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ForceAsk {
    /// The builder; without one all builders of the scheduler.
    pub builder: Option<String>,
    /// The force scheduler; found by the builder when there is none here.
    pub scheduler: Option<String>,
    /// Why, in words for people.
    pub reason: String,
    /// For each codebase what differs from the scheduler's defaults.
    pub stamps: BTreeMap<String, SourceChoice>,
    /// What differs for the only codebase of the scheduler, whatever its name.
    pub only: SourceChoice,
    /// Properties of the builds.
    pub properties: BTreeMap<String, serde_json::Value>,
    /// Priority instead of the scheduler's.
    pub priority: Option<i32>,
    /// Only on this worker.
    pub worker: Option<String>,
}

/// A wish to have a patch built.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TryAsk {
    /// The try scheduler; found by the builders when there is none here.
    pub scheduler: Option<String>,
    /// Some of the scheduler's builders; none means all of them.
    pub builders: Vec<String>,
    /// Which codebase is patched; the scheduler's only one when there is none here.
    pub codebase: Option<String>,
    /// What the patch is for; the scheduler's defaults where it says nothing.
    pub base: StampChoice,
    /// The unified diff.
    pub diff: Vec<u8>,
    /// How many leading parts of its paths are to go, as in `patch -p`.
    pub level: u32,
    /// Where in the checkout it is applied.
    pub subdirectory: String,
    /// What the asker says of it.
    pub comment: String,
    /// Properties of the builds.
    pub properties: BTreeMap<String, serde_json::Value>,
}

/// A wish to build these source stamps.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SubmitAsk {
    /// At least one.
    pub builders: Vec<String>,
    /// One for each codebase.
    pub stamps: Vec<SourceStamp>,
    /// Why, in words for people.
    pub reason: String,
    /// Properties of the builds.
    pub properties: BTreeMap<String, serde_json::Value>,
    /// Of its requests.
    pub priority: i32,
    /// The same key twice gives the first answer again while its buildset is open.
    pub external_id: Option<String>,
}

/// A buildset that was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    /// Its id.
    pub buildset: BuildsetId,
    /// Its requests in order.
    pub requests: Vec<RequestId>,
}

impl Service {
    /// Forces builds.
    pub async fn force(&self, who: &Identity, ask: ForceAsk) -> Result<Made, ServiceError> {
        who.require(Action::Force)?;
        let builder = ask.builder.map(|name| self.known_builder(&name)).transpose()?;
        let scheduler = ask.scheduler.map(|name| self.known_force_scheduler(&name)).transpose()?;
        if builder.is_none() && scheduler.is_none() {
            return Err(ServiceError::Invalid("neither builder nor scheduler is named; name one of them".into()));
        }
        let mut stamps = ask.stamps;
        if ask.only != SourceChoice::default() {
            let codebase = self.only_codebase(builder.as_ref(), scheduler.as_ref()).await?;
            stamps.entry(codebase).or_insert(ask.only);
        }
        for choice in stamps.values() {
            check_text("branch", choice.branch.as_deref())?;
            check_text("revision", choice.revision.as_deref())?;
            check_text("repository", choice.repository.as_deref())?;
            check_text("project", choice.project.as_deref())?;
        }
        let worker = match ask.worker {
            Some(name) => Some(self.known_worker(&name).await?),
            None => None,
        };
        let force = Force {
            builder,
            scheduler,
            reason: fit_reason(ask.reason)?,
            owner: who.name().to_owned(),
            stamps,
            properties: forced_properties(ask.properties)?,
            priority: ask.priority,
            worker,
        };
        self.made(Ask::Force(force)).await
    }

    /// Builds a patch.
    pub async fn try_patch(&self, who: &Identity, ask: TryAsk) -> Result<Made, ServiceError> {
        who.require(Action::Try)?;
        diff::check(&ask.diff, ask.level, &ask.subdirectory)
            .map_err(|error| ServiceError::Invalid(error.to_string()))?;
        check_text("branch", ask.base.branch.as_deref())?;
        check_text("revision", ask.base.revision.as_deref())?;
        let comment = fit_reason(ask.comment)?;
        let tried = Try {
            scheduler: ask.scheduler.map(Into::into),
            builders: ask.builders.iter().map(|name| self.known_builder(name)).collect::<Result<_, _>>()?,
            codebase: ask.codebase,
            branch: ask.base.branch,
            revision: ask.base.revision,
            patch: Patch {
                level: ask.level,
                body: ask.diff,
                subdirectory: ask.subdirectory,
                author: who.name().to_owned(),
                comment: comment.clone(),
            },
            reason: comment,
            owner: who.name().to_owned(),
            properties: forced_properties(ask.properties)?,
        };
        self.made(Ask::Try(tried)).await
    }

    /// Builds source stamps of the asker's choice.
    pub async fn submit(&self, who: &Identity, ask: SubmitAsk) -> Result<Made, ServiceError> {
        who.require(Action::Submit)?;
        if ask.builders.is_empty() {
            return Err(ServiceError::Invalid("`builders` is empty; name at least one".into()));
        }
        let builders =
            ask.builders.iter().map(|name| self.known_builder(name)).collect::<Result<Vec<_>, ServiceError>>()?;
        for stamp in &ask.stamps {
            check_text("branch", stamp.branch.as_deref())?;
            check_text("revision", stamp.revision.as_deref())?;
            check_text("repository", Some(&stamp.repository))?;
        }
        let submission = Submission {
            builders,
            stamps: ask.stamps,
            reason: fit_reason(ask.reason)?,
            owner: who.name().to_owned(),
            properties: forced_properties(ask.properties)?,
            priority: ask.priority,
            external_id: ask.external_id,
        };
        self.made(Ask::Submit(submission)).await
    }

    /// Builds again what a build built, with the properties that its buildset had.
    pub async fn rebuild(&self, who: &Identity, build: BuildId) -> Result<Made, ServiceError> {
        who.require(Action::Rebuild)?;
        let (build, properties) = self
            .read(who, move |reading| {
                let build = reading.build(build)?;
                let mut sets: Vec<_> = build.buildsets().collect();
                sets.sort_unstable();
                // As in the build: of several the newest says.
                let mut properties = Properties::new();
                for set in sets {
                    properties.extend(reading.buildset(set)?.properties);
                }
                Ok((build, properties))
            })
            .await?;
        let rebuild = Rebuild {
            build: build.id,
            builder: build.builder,
            stamps: build.stamps,
            blamelist: build.blamelist,
            properties,
            owner: who.name().to_owned(),
        };
        self.made(Ask::Rebuild(rebuild)).await
    }

    /// Ends a build.
    pub async fn cancel_build(&self, who: &Identity, build: BuildId, reason: String) -> Result<(), ServiceError> {
        who.require(Action::Cancel)?;
        self.read(who, move |reading| reading.build(build).map(drop)).await?;
        let reason = by(who, "cancelled", reason)?;
        self.done(Ask::CancelBuild { build, reason }).await
    }

    /// Ends a request, and the build that runs for it.
    pub async fn cancel_request(&self, who: &Identity, request: RequestId, reason: String) -> Result<(), ServiceError> {
        who.require(Action::Cancel)?;
        self.read(who, move |reading| reading.request(request).map(drop)).await?;
        let reason = by(who, "cancelled", reason)?;
        self.done(Ask::CancelRequest { request, reason }).await
    }

    /// Approves or refuses a request that awaits approval.
    pub async fn approve(&self, who: &Identity, request: RequestId, approved: bool) -> Result<(), ServiceError> {
        who.require(Action::Approve)?;
        self.read(who, move |reading| reading.request(request).map(drop)).await?;
        self.done(Ask::Approve { request, approved, by: who.name().to_owned() }).await
    }

    /// Asks a poller to look now.
    pub async fn poll_now(&self, who: &Identity, source: &str) -> Result<(), ServiceError> {
        who.require(Action::PollNow)?;
        let source = self.known_change_source(source)?;
        self.done(Ask::PollNow(source)).await
    }

    /// Takes a change from a person or program.
    pub async fn send_change(
        &self,
        who: &Identity,
        change: SeenChange,
        codebase: Option<String>,
        trusted: bool,
    ) -> Result<Vec<ChangeId>, ServiceError> {
        who.require(Action::SendChange)?;
        if change.files.len() > CHANGE_FILES_MAX {
            return Err(ServiceError::Invalid(format!("a change has {CHANGE_FILES_MAX} files at most")));
        }
        if change.author.trim().is_empty() {
            return Err(ServiceError::Invalid("`author` is missing; say who made the change".into()));
        }
        check_property_names(change.properties.iter().map(|(name, _)| name))?;
        check_text("branch", change.branch.as_deref())?;
        check_text("revision", change.revision.as_deref())?;
        check_text("repository", Some(&change.repository))?;
        match self.ask(Ask::SendChange { change, codebase, trusted }).await? {
            Answer::ChangesTaken(ids) => Ok(ids),
            other => Err(odd(&other)),
        }
    }

    /// Gives a call of a forge to its plugin, which judges the signature; no login needed.
    pub async fn hook(&self, source: &str, call: HookCall) -> Result<HookAnswer, ServiceError> {
        let catalogue = self.catalogue();
        let Some(source) = catalogue.hooks.iter().find(|hook| hook.as_str() == source) else {
            // Whoever may not read is not told which hooks there are.
            return Err(ServiceError::Unknown("there is no hook of this name".into()));
        };
        Ok(self.host.hook(source, call).await?)
    }

    /// Reads the configuration again.
    pub async fn reload(&self, who: &Identity) -> Result<(), ServiceError> {
        who.require(Action::Reload)?;
        self.host.reload().await.map_err(|error| match error {
            ReloadError::Refused(text) => ServiceError::Invalid(text),
            ReloadError::Unavailable(error) => error.into(),
        })
    }

    /// Workers and their connections.
    pub async fn workers(&self, who: &Identity) -> Result<Vec<WorkerView>, ServiceError> {
        who.require(Action::Read)?;
        Ok(self.host.workers().await?)
    }

    /// Makes the token by which a configured worker connects; the worker's earlier tokens end.
    pub async fn add_worker_token(&self, who: &Identity, name: &str) -> Result<(TokenView, Secret), ServiceError> {
        who.require(Action::ManageTokens)?;
        let workers = self.host.workers().await?;
        let Some(worker) = workers.iter().find(|worker| worker.name.as_str() == name) else {
            return Err(unknown("worker", name, workers.iter().map(|worker| worker.name.as_str())));
        };
        let worker = worker.name.clone();
        self.accounts(who, Action::ManageTokens, move |accounts| accounts.add_worker_token(&worker)).await
    }

    /// Change sources and the state of their polls.
    pub async fn change_sources(&self, who: &Identity) -> Result<Vec<ChangeSourceView>, ServiceError> {
        who.require(Action::Read)?;
        Ok(self.host.change_sources().await?)
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, ServiceError> {
        match self.host.submit(ask).await? {
            Answer::Refused(refusal) => Err(refusal.into()),
            answer => Ok(answer),
        }
    }

    async fn made(&self, ask: Ask) -> Result<Made, ServiceError> {
        match self.ask(ask).await? {
            Answer::Buildset { id, requests } => Ok(Made { buildset: id, requests }),
            other => Err(odd(&other)),
        }
    }

    pub(crate) async fn done(&self, ask: Ask) -> Result<(), ServiceError> {
        match self.ask(ask).await? {
            Answer::Done => Ok(()),
            other => Err(odd(&other)),
        }
    }

    fn known_builder(&self, name: &str) -> Result<BuilderName, ServiceError> {
        let catalogue = self.catalogue();
        match catalogue.builder(name) {
            Some(builder) => Ok(builder.name.clone()),
            None => Err(unknown("builder", name, catalogue.builders.iter().map(|builder| builder.name.as_str()))),
        }
    }

    fn known_force_scheduler(&self, name: &str) -> Result<SchedulerName, ServiceError> {
        let catalogue = self.catalogue();
        let mut force = catalogue.schedulers.iter().filter(|scheduler| scheduler.is_force());
        match force.clone().find(|scheduler| scheduler.name.as_str() == name) {
            Some(scheduler) => Ok(scheduler.name.clone()),
            None => Err(unknown("force scheduler", name, force.by_ref().map(|scheduler| scheduler.name.as_str()))),
        }
    }

    /// The only codebase of the force scheduler that a force will go through.
    async fn only_codebase(
        &self,
        builder: Option<&BuilderName>,
        scheduler: Option<&SchedulerName>,
    ) -> Result<String, ServiceError> {
        let now = self.host.schedulers().await?;
        let is_disabled = |name: &SchedulerName| now.iter().any(|now| now.name == *name && now.disabled.is_some());
        let catalogue = self.catalogue();
        let mut fit = catalogue.schedulers.iter().filter(|candidate| {
            candidate.is_force()
                && scheduler.is_none_or(|name| candidate.name == *name)
                && builder.is_none_or(|name| candidate.builders.contains(name))
        });
        let found = fit.clone().find(|candidate| !is_disabled(&candidate.name)).or_else(|| fit.next());
        let codebases = found.map(|scheduler| scheduler.codebases.as_slice()).unwrap_or_default();
        match codebases {
            [only] => Ok(only.codebase.clone()),
            [] => Err(ServiceError::Conflict(
                "no force scheduler lists this builder; add one to the configuration".into(),
            )),
            several => Err(ServiceError::Invalid(format!(
                "branch and revision are not enough: name the codebase, one of {}",
                several.iter().map(|codebase| codebase.codebase.as_str()).collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    fn known_change_source(&self, name: &str) -> Result<ChangeSourceName, ServiceError> {
        let catalogue = self.catalogue();
        match catalogue.change_sources.iter().find(|source| source.as_str() == name) {
            Some(source) => Ok(source.clone()),
            None => Err(unknown("change source", name, catalogue.change_sources.iter().map(|source| source.as_str()))),
        }
    }

    pub(crate) async fn known_worker(&self, name: &str) -> Result<WorkerName, ServiceError> {
        let workers = self.host.workers().await?;
        match workers.iter().find(|worker| worker.name.as_str() == name) {
            Some(worker) => Ok(worker.name.clone()),
            None => Err(unknown("worker", name, workers.iter().map(|worker| worker.name.as_str()))),
        }
    }
}

fn forced_properties(properties: BTreeMap<String, serde_json::Value>) -> Result<Properties, ServiceError> {
    check_property_names(properties.keys())?;
    let forced = |value| Property { value, source: PropertySource::Force };
    Ok(properties.into_iter().map(|(name, value)| (name, forced(value))).collect())
}

/// Of what a person or program brings; there are not too many, and each can be written in an expression and shown on a page.
fn check_property_names<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> Result<(), ServiceError> {
    if names.len() > PROPERTIES_MAX {
        return Err(ServiceError::Invalid(format!("there are {PROPERTIES_MAX} properties at most")));
    }
    match names.into_iter().find(|name| name.is_empty() || name.chars().any(char::is_control)) {
        Some(name) => Err(ServiceError::Invalid(format!("property name {name:?} is empty or has control characters"))),
        None => Ok(()),
    }
}

pub(crate) fn fit_reason(reason: String) -> Result<String, ServiceError> {
    if reason.len() > REASON_BYTES_MAX {
        return Err(ServiceError::Invalid(format!("the reason is longer than {REASON_BYTES_MAX} bytes; shorten it")));
    }
    Ok(reason)
}

fn by(who: &Identity, what: &str, reason: String) -> Result<String, ServiceError> {
    let reason = fit_reason(reason)?;
    let separator = if reason.is_empty() { "" } else { ": " };
    Ok(format!("{what} by {}{separator}{reason}", who.name()))
}

/// Branches and revisions become arguments of programs; a control character in one is never meant.
fn check_text(what: &str, text: Option<&str>) -> Result<(), ServiceError> {
    match text {
        Some(text) if text.chars().any(char::is_control) || text.len() > REASON_BYTES_MAX => {
            Err(ServiceError::Invalid(format!(
                "{what} {:?} has control characters or is too long",
                text.chars().take(100).collect::<String>()
            )))
        }
        _ => Ok(()),
    }
}

fn odd(answer: &Answer) -> ServiceError {
    ServiceError::Broken(format!("the engine gave an answer that does not fit the ask: {answer:?}"))
}
