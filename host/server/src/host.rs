//! The running host as the service sees it.

use std::sync::{Arc, PoisonError, RwLock, Weak};

use async_trait::async_trait;
use stampmill_engine::config::{ChangeSourceKind as Kind, Scheduler, SchedulerKind};
use stampmill_engine::{Answer, ChangeWait, Explanation, Input};
use stampmill_model::{ChangeId, ChangeSourceName, Digest, RequestId};
use stampmill_runtime::{HookRequest, Surroundings};
use stampmill_service::{
    Ask, BuilderView, Catalogue, ChangeSourceKind, ChangeSourceView, Event, Figures, HookAnswer, HookCall, Host,
    PluginView, ReloadError, SchedulerNow, SchedulerView, StepOfJob, Unavailable, WorkerState, WorkerView,
};
use tokio::sync::{Mutex, broadcast};

use crate::config::{self, Loaded, PluginFile, PluginUse};
use crate::convert;
use crate::secrets::ConfigSecrets;
use crate::shared::Shared;

/// Gives asks to the engine and shows what is running.
pub(crate) struct RunningHost {
    shared: Arc<Shared>,
    catalogue: RwLock<Arc<Catalogue>>,
    reloading: Mutex<()>,
}

impl RunningHost {
    /// The host around these parts.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let catalogue = RwLock::new(Arc::new(catalogue(&shared.composition().loaded)));
        Self { shared, catalogue, reloading: Mutex::new(()) }
    }

    /// Reloads at each SIGHUP until the host ends.
    pub(crate) async fn reload_on_hangup(host: Weak<Self>, mut hangups: tokio::signal::unix::Signal) {
        while hangups.recv().await.is_some() {
            let Some(host) = host.upgrade() else { return };
            match host.reload().await {
                Ok(()) => tracing::info!("the configuration was reloaded"),
                Err(error) => tracing::error!("the old configuration stays in force: {error}"),
            }
        }
    }
}

fn unavailable(error: impl std::fmt::Display) -> Unavailable {
    Unavailable(error.to_string())
}

#[async_trait]
impl Host for RunningHost {
    async fn submit(&self, ask: Ask) -> Result<Answer, Unavailable> {
        self.shared.driver.ask(|reply| ask.into_input(reply)).await.map_err(unavailable)
    }

    async fn hook(&self, source: &ChangeSourceName, call: HookCall) -> Result<HookAnswer, Unavailable> {
        let composition = self.shared.composition();
        let Some(usage) = composition.loaded.change_sources.get(source) else {
            return Ok(HookAnswer { status: 404, body: format!("there is no hook `{source}`") });
        };
        let surroundings = Surroundings {
            secrets: Some(Arc::new(ConfigSecrets::new(&composition.loaded, &usage.grant))),
            ..Surroundings::default()
        };
        let mut instance = self.shared.plugins.start(usage, surroundings).await.map_err(|error| {
            tracing::error!(change_source = %source, "{error}");
            Unavailable(format!("the plugin of hook `{source}` does not start"))
        })?;
        let HookCall { method, path, query, headers, body } = call;
        let reply = instance.receive(HookRequest { method, path, query, headers, body }).await;
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                tracing::warn!(change_source = %source, "{error}");
                return Ok(refusal(&error));
            }
        };
        if reply.status >= 300 || reply.changes.is_empty() {
            if reply.status >= 400 {
                tracing::warn!(change_source = %source, status = reply.status, "hook call refused: {}", reply.body);
            }
            return Ok(HookAnswer { status: reply.status, body: reply.body });
        }
        let changes = reply.changes.into_iter().map(convert::seen_change).collect();
        let (source, delivery) = (source.clone(), reply.delivery);
        let input = |reply| Input::Received { source, delivery, changes, reply };
        match self.shared.driver.ask(input).await.map_err(unavailable)? {
            Answer::Refused(refusal) => Ok(HookAnswer { status: 409, body: refusal.to_string() }),
            Answer::ChangesTaken(_) | Answer::Buildset { .. } | Answer::Done => {
                Ok(HookAnswer { status: reply.status, body: reply.body })
            }
        }
    }

    async fn explain_change(&self, change: ChangeId) -> Result<Vec<ChangeWait>, Unavailable> {
        self.shared.driver.view(move |engine, _| engine.explain_change(change)).await.map_err(unavailable)
    }

    async fn explain_request(&self, request: RequestId) -> Result<Option<Explanation>, Unavailable> {
        self.shared.driver.view(move |engine, _| engine.explain_request(request)).await.map_err(unavailable)
    }

    async fn workers(&self) -> Result<Vec<WorkerView>, Unavailable> {
        let seen = self.shared.driver.view(|engine, _| engine.workers()).await.map_err(unavailable)?;
        let composition = self.shared.composition();
        let view = |worker: &stampmill_engine::config::Worker| {
            let seen = seen.iter().find(|seen| seen.name == worker.name);
            WorkerView {
                name: worker.name.clone(),
                tags: worker.tags.clone(),
                max_builds: worker.max_builds,
                running: seen.map(|seen| seen.builds.clone()).unwrap_or_default(),
                paused: seen.and_then(|seen| seen.paused.clone()),
                state: match seen.and_then(|seen| Some((seen, seen.info.clone()?, seen.last_seen?))) {
                    None => WorkerState::NeverSeen,
                    Some((seen, info, since)) if seen.connected => WorkerState::Connected { since, info },
                    Some((_, info, since)) => WorkerState::Away { since, info },
                },
            }
        };
        Ok(composition.loaded.engine.workers.iter().map(view).collect())
    }

    async fn change_sources(&self) -> Result<Vec<ChangeSourceView>, Unavailable> {
        let states = self.shared.driver.view(|engine, now| engine.change_sources(now)).await.map_err(unavailable)?;
        let composition = self.shared.composition();
        let view = |source: &stampmill_engine::config::ChangeSource| {
            let state = states.iter().find(|state| state.name == source.name);
            let usage = composition.loaded.change_sources.get(&source.name);
            ChangeSourceView {
                name: source.name.clone(),
                plugin: usage.map(|usage| usage.plugin.name.clone()).unwrap_or_default(),
                kind: match source.kind {
                    Kind::Hook => ChangeSourceKind::Hook,
                    Kind::Poller { every } => {
                        ChangeSourceKind::Poller { every, next_poll_in: state.and_then(|state| state.next_poll_in) }
                    }
                },
                trusted: source.trusted,
                trouble: state.and_then(|state| state.trouble.clone()),
            }
        };
        Ok(composition.loaded.engine.change_sources.iter().map(view).collect())
    }

    async fn schedulers(&self) -> Result<Vec<SchedulerNow>, Unavailable> {
        self.shared.driver.view(|engine, now| engine.schedulers(now)).await.map_err(unavailable)
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn figures(&self) -> Figures {
        Figures { trouble: self.shared.driver.trouble(), ..self.shared.counters.figures() }
    }

    async fn reload(&self) -> Result<(), ReloadError> {
        let _one_at_a_time = self.reloading.lock().await;
        let path = self.shared.composition().loaded.path.clone();
        let loaded = tokio::task::spawn_blocking(move || config::load(&path)).await.map_err(unavailable)?;
        let loaded = loaded.map_err(|error| ReloadError::Refused(error.to_string()))?;
        let findings = crate::checking::start_all(&self.shared.plugins, &loaded).await;
        if !findings.is_empty() {
            return Err(ReloadError::Refused(loaded.error(findings).to_string()));
        }
        loaded.write_lock().map_err(|error| ReloadError::Refused(error.to_string()))?;
        let engine = Arc::clone(&loaded.engine);
        *self.catalogue.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalogue(&loaded));
        self.shared.replace(loaded);
        self.shared.driver.tell(Input::Configured(engine)).await;
        self.shared.publish(Event::ConfigReloaded);
        Ok(())
    }

    async fn ending(&self) {
        self.shared.stop.cancelled().await;
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.shared.events.subscribe()
    }
}

/// What a forge is told when the plugin could not answer: whose fault it is decides the status, and details stay in the host's log.
fn refusal(error: &stampmill_runtime::PluginError) -> HookAnswer {
    match error.fault() {
        Some(stampmill_runtime::Fault::Refused(reason)) => HookAnswer { status: 403, body: reason.clone() },
        Some(stampmill_runtime::Fault::Unavailable { .. }) => {
            HookAnswer { status: 503, body: "the hook can't answer now; try again".to_owned() }
        }
        Some(stampmill_runtime::Fault::Broken(_)) | None => {
            HookAnswer { status: 500, body: "the plugin of this hook failed; the host's log says why".to_owned() }
        }
    }
}

/// What the configuration defines, for pages and programs.
fn catalogue(loaded: &Loaded) -> Catalogue {
    let engine = &loaded.engine;
    let hooks = engine.change_sources.iter().filter(|source| source.kind == Kind::Hook);
    Catalogue {
        title: loaded.title.clone(),
        builders: engine.builders.iter().map(|builder| builder_view(loaded, builder)).collect(),
        schedulers: engine.schedulers.iter().map(|scheduler| scheduler_view(loaded, scheduler)).collect(),
        plugins: loaded.plugins.values().map(|file| plugin_view(loaded, file)).collect(),
        hooks: hooks.map(|source| source.name.clone()).collect(),
        change_sources: engine.change_sources.iter().map(|source| source.name.clone()).collect(),
        body_bytes_max: usize::try_from(loaded.limits.body_bytes).unwrap_or(usize::MAX),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn builder_view(loaded: &Loaded, builder: &stampmill_engine::config::Builder) -> BuilderView {
    let step =
        |step: &stampmill_model::StepPlan| StepOfJob { name: step.name.clone(), plugin: step.plugin.name.clone() };
    BuilderView {
        name: builder.name.clone(),
        project: builder.project.clone(),
        description: loaded.descriptions.get(&builder.name).cloned().unwrap_or_default(),
        interested: loaded.interested.get(&builder.name).cloned().unwrap_or_default(),
        worker_tags: builder.workers.tags.clone(),
        worker_names: builder.workers.names.clone(),
        tier: builder.tier,
        job: builder.job.name.clone(),
        steps: builder.job.steps.iter().map(step).collect(),
    }
}

fn scheduler_view(loaded: &Loaded, scheduler: &Scheduler) -> SchedulerView {
    let quiet = |stable: &Option<stampmill_model::Milliseconds>| match stable {
        None => "at once".to_owned(),
        Some(length) => format!("after {} s without another", length.0 as f64 / 1000.0),
    };
    let (kind, when) = match &scheduler.kind {
        SchedulerKind::SingleBranch { branch, stable_for } => {
            let branch = branch.as_deref().map_or("the default branch".to_owned(), |branch| format!("`{branch}`"));
            ("single-branch", format!("on changes of {branch}, {}", quiet(stable_for)))
        }
        SchedulerKind::AnyBranch { branches, stable_for } => {
            let branches = branches.as_ref().map_or("any branch".to_owned(), |branches| branches.join(", "));
            ("any-branch", format!("on changes of {branches}, {}", quiet(stable_for)))
        }
        SchedulerKind::Periodic { every } => ("periodic", format!("every {} s", every.0 as f64 / 1000.0)),
        SchedulerKind::Nightly { at, only_if_changed: None } => ("nightly", at.to_string()),
        SchedulerKind::Nightly { at, only_if_changed: Some(changed) } => {
            let branch =
                changed.branch.as_deref().map_or("the default branch".to_owned(), |branch| format!("`{branch}`"));
            let forced = changed.force_at.as_ref().map(|at| format!("; in any case {at}"));
            ("nightly", format!("{at}, if {branch} has changed{}", forced.unwrap_or_default()))
        }
        SchedulerKind::Dependent { upstream } => ("dependent", format!("when `{upstream}` has passed, its sources")),
        SchedulerKind::Pinged { project } => ("pinged", format!("when what project `{project}` depends on has passed")),
        SchedulerKind::Try { .. } => ("try", "when a person has a patch".to_owned()),
        SchedulerKind::Triggerable => ("triggerable", "when a step triggers it".to_owned()),
        SchedulerKind::Force(_) => ("force", "when a person asks".to_owned()),
    };
    let filters = loaded.filters.get(&scheduler.name).map(Vec::as_slice).unwrap_or_default();
    SchedulerView {
        name: scheduler.name.clone(),
        kind: kind.to_owned(),
        when,
        builders: scheduler.builders.clone(),
        codebases: scheduler.codebases.clone(),
        form: scheduler.form().cloned(),
        filters: filters.iter().map(|filter| filter.plugin.name.clone()).collect(),
    }
}

fn plugin_view(loaded: &Loaded, file: &PluginFile) -> PluginView {
    let uses = every_use(loaded).filter(|usage| usage.plugin.name == file.name);
    let manifest = &file.inspection.manifest;
    PluginView {
        name: file.name.clone(),
        kind: manifest.kind.to_string(),
        version: manifest.version.clone(),
        digest: Digest(Arc::clone(&file.digest.0)),
        summary: manifest.summary.clone(),
        asks: manifest.permissions.iter().map(ToString::to_string).collect(),
        imports: file.inspection.imports.clone(),
        uses: uses
            .map(|usage| stampmill_service::PluginUse { place: usage.what.clone(), grant: usage.grant.clone() })
            .collect(),
    }
}

/// Every place of the configuration that uses a plugin.
pub(crate) fn every_use(loaded: &Loaded) -> impl Iterator<Item = &PluginUse> {
    loaded
        .change_sources
        .values()
        .chain(&loaded.codebases)
        .chain(loaded.filters.values().flatten())
        .chain(loaded.merges.values())
        .chain(loaded.reporters.values())
        .chain(&loaded.steps)
}
