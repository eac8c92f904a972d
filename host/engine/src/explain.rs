//! Why a request waits, from the engine's state.

mod change;

use stampmill_model::{BuildId, BuildState, MergeKey, Request, RequestId, RequestState, WorkerName};

pub use change::ChangeWait;

use crate::Engine;
use crate::config::{Builder, Worker};
use crate::queue::{Lane, Turn};
use crate::timers::Timer;
use crate::workers::Link;

/// Why a request is where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// One sentence.
    pub summary: String,
    /// Position among the requests that wait for the same builder, from 1; `None` when it does not wait.
    pub position: Option<usize>,
    /// For each configured worker why it does not run it now.
    pub workers: Vec<(WorkerName, String)>,
}

/// Why one worker does not run a request now, the most lasting reason first.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Obstacle {
    OnlyWorker(WorkerName),
    NotNamed,
    MissingTags(Vec<String>),
    Away,
    Paused(String),
    WeakTier(String),
    Declined(String),
    Locked(String),
    Busy { running: usize, slots: usize },
    BuilderFull,
    ProjectFull,
}

impl Obstacle {
    fn text(&self) -> String {
        match self {
            Self::OnlyWorker(name) => format!("the request is only for worker `{name}`"),
            Self::NotNamed => "the builder does not name it".to_owned(),
            Self::MissingTags(tags) => format!("has no tag `{}`", tags.join("`, `")),
            Self::Away => "is not connected".to_owned(),
            Self::Paused(text) | Self::WeakTier(text) | Self::Declined(text) | Self::Locked(text) => text.clone(),
            Self::Busy { running, slots } => format!("is busy with {running} of {slots} builds"),
            Self::BuilderFull => "is free, but the builder has as many builds as it may".to_owned(),
            Self::ProjectFull => "is free, but the project has as many builds as it may".to_owned(),
        }
    }
}

/// What a merge plugin has said of a request, to be added to a sentence.
fn said_of_merging(request: &Request) -> String {
    request.merge_key.in_words().map(|words| format!("; {words}")).unwrap_or_default()
}

impl Engine {
    /// Why an open request waits; `None` for one that is not open.
    #[must_use]
    pub fn explain_request(&self, request: RequestId) -> Option<Explanation> {
        let request = self.requests.get(&request)?;
        match request.state {
            RequestState::AwaitingApproval => Some(Explanation {
                summary: "awaits approval: its sources are not trusted".to_owned(),
                position: None,
                workers: Vec::new(),
            }),
            RequestState::Pending => Some(self.explain_pending(request)),
            RequestState::Building(build) => {
                let company = self.company(build, request.id);
                let summary = format!("{}{company}{}", self.explain_build(build), said_of_merging(request));
                Some(Explanation { summary, position: None, workers: Vec::new() })
            }
            RequestState::Complete { .. } => None,
        }
    }

    fn explain_pending(&self, request: &Request) -> Explanation {
        let position = Some(self.queue.ahead_of(request) + 1);
        let Some(builder) = self.builder(&request.builder) else {
            let builder = &request.builder;
            let summary =
                format!("builder `{builder}` is no longer configured; configure it again or cancel the request");
            return Explanation { summary, position, workers: Vec::new() };
        };
        if request.merge_key == MergeKey::Awaited {
            let builder = &builder.name;
            let summary = format!("the merge plugin of builder `{builder}` has not answered yet");
            return Explanation { summary, position: None, workers: Vec::new() };
        }
        let obstacles: Vec<_> =
            self.config.workers.iter().map(|worker| self.obstacle(request, builder, worker)).collect();
        let summary = format!("{}{}", self.summary(request, builder, &obstacles), said_of_merging(request));
        let names = self.config.workers.iter().map(|worker| worker.name.clone());
        let workers = names.zip(obstacles.iter().map(Obstacle::text)).collect();
        Explanation { summary, position, workers }
    }

    fn obstacle(&self, request: &Request, builder: &Builder, worker: &Worker) -> Obstacle {
        if let Some(only) = request.only_worker.as_ref().filter(|only| **only != worker.name) {
            return Obstacle::OnlyWorker(only.clone());
        }
        if !builder.workers.names.is_empty() && !builder.workers.names.contains(&worker.name) {
            return Obstacle::NotNamed;
        }
        let missing: Vec<_> = builder.workers.tags.iter().filter(|tag| !worker.tags.contains(tag)).cloned().collect();
        if !missing.is_empty() {
            return Obstacle::MissingTags(missing);
        }
        let paused = self.workers.get(&worker.name).and_then(|state| state.paused.as_ref());
        if let Some(halt) = paused {
            return Obstacle::Paused(format!("is paused {halt}"));
        }
        let info = match self.workers.get(&worker.name).map(|state| &state.link) {
            Some(Link::Connected(info)) => info,
            Some(Link::Leaving(_) | Link::Away(_)) | None => return Obstacle::Away,
        };
        if info.tier > builder.tier {
            let (has, wants) = (info.tier.as_str(), builder.tier.as_str());
            return Obstacle::WeakTier(format!("its isolation is {has}, the builder wants {wants}"));
        }
        if let Some(bar) = self.bar_of(request.id, &worker.name) {
            return Obstacle::Declined(format!("declined it ({}) and is asked again later", bar.reason));
        }
        if let Some(locked) = self.locked(Turn::of(request), builder, &worker.name) {
            return Obstacle::Locked(self.explain_locked(&locked));
        }
        if self.free_slots(&worker.name) > 0 {
            return if self.is_builder_full(builder) { Obstacle::BuilderFull } else { Obstacle::ProjectFull };
        }
        let running = self.workers.get(&worker.name).map_or(0, |state| self.running_on(state));
        Obstacle::Busy { running, slots: self.slots(&worker.name) }
    }

    /// The reason of the worker that is nearest to running it stands for all.
    fn summary(&self, request: &Request, builder: &Builder, obstacles: &[Obstacle]) -> String {
        let name = &builder.name;
        let has = |wanted: fn(&Obstacle) -> bool| obstacles.iter().any(wanted);
        if self.is_builder_full(builder) {
            let running = self.running.get(name).copied().unwrap_or(0);
            return format!("builder `{name}` has {running} builds, as many as it may");
        }
        let project = &builder.project;
        if self.projects.is_full(self.projects.number(project)) {
            let running = self.projects.running(project);
            return format!("project `{project}` has {running} builds, as many as it may");
        }
        if let Some(Obstacle::Locked(text)) = obstacles.iter().find(|it| matches!(it, Obstacle::Locked(_))) {
            return text.clone();
        }
        if has(|obstacle| matches!(obstacle, Obstacle::Busy { .. })) {
            let group = self.queue.group_of(&Lane::of(request));
            let share = group.map(|group| self.explain_share(group)).unwrap_or_default();
            return format!("every worker for builder `{name}` is busy{share}");
        }
        if has(|obstacle| matches!(obstacle, Obstacle::Declined(_))) {
            return format!("every worker for builder `{name}` that is there has declined it for now");
        }
        let mut named = self.config.workers.iter().map(|worker| &worker.name).zip(obstacles);
        if let Some((worker, paused)) = named.find(|(_, it)| matches!(it, Obstacle::Paused(_))) {
            return format!("worker `{worker}` {}", paused.text());
        }
        if let Some(Obstacle::WeakTier(text)) = obstacles.iter().find(|it| matches!(it, Obstacle::WeakTier(_))) {
            return format!("no worker that is there is fenced well enough: {text}");
        }
        if has(|obstacle| matches!(obstacle, Obstacle::Away)) {
            return format!("no worker for builder `{name}` is connected");
        }
        if let Some(tag) = self.tag_that_nobody_has(builder) {
            return format!("no configured worker has tag `{tag}`, which builder `{name}` wants");
        }
        format!("no configured worker fits builder `{name}`")
    }

    fn tag_that_nobody_has<'a>(&self, builder: &'a Builder) -> Option<&'a String> {
        let mut tags = builder.workers.tags.iter();
        tags.find(|tag| self.config.workers.iter().all(|worker| !worker.tags.contains(tag)))
    }

    /// With whom a request shares its build.
    fn company(&self, build: BuildId, request: RequestId) -> String {
        let Some(build) = self.builds.get(&build).map(|open| &open.build) else { return String::new() };
        match build.merged.len() {
            0 => String::new(),
            _ if build.request != request => format!("; the request was merged with request {}", build.request),
            1 => format!("; request {} was merged with this one", build.merged[0].request),
            more => format!("; {more} other requests were merged with this one"),
        }
    }

    fn explain_build(&self, id: BuildId) -> String {
        let Some(build) = self.builds.get(&id).map(|open| &open.build) else {
            return format!("build {id} has ended");
        };
        let (number, worker) = (build.number, &build.worker);
        if self.timers.due(&Timer::WorkerLost(worker.clone())).is_some() {
            let seconds = self.config.limits.worker_lost_after.0.div_ceil(1000);
            return format!("build {number} is on worker `{worker}`, which is away and given up after {seconds} s");
        }
        match &build.state {
            BuildState::Dispatched => {
                format!("build {number} was given to worker `{worker}`, which has not answered yet")
            }
            BuildState::Running => match self.locked_step(id) {
                Some((step, locked)) => {
                    format!(
                        "build {number} on worker `{worker}`, step `{}`, {}",
                        step.name,
                        self.explain_locked(&locked)
                    )
                }
                None => format!("build {number} runs on worker `{worker}`"),
            },
            BuildState::Cancelling { reason } => {
                format!("build {number} is being cancelled on worker `{worker}`: {reason}")
            }
            BuildState::Finished { .. } => format!("build {number} has ended"),
        }
    }
}
