//! Telling reporters. The outbox is the engine's: this only makes one attempt.

use std::sync::Arc;

use anyhow::Context as _;
use stampmill_agent::convert::outcome_for_plugin;
use stampmill_engine::input::Trouble;
use stampmill_engine::output::{Notice, Subject};
use stampmill_engine::{Input, OccasionKind};
use stampmill_model::{Build, BuildsetId, Outcome, Wall};
use stampmill_runtime::{BuildFacts, BuildsetFacts, Occasion, StateUsage, Surroundings};
use stampmill_store::{BuildFilter, Reader, StateQuota, Store};

use super::asking::not_started;
use crate::config::{Loaded, PluginUse};
use crate::convert;
use crate::limits::{BUILDS_TOLD_OF, LOG_TAIL_LINES, STATE_BYTES, STATE_ENTRIES};
use crate::secrets::ConfigSecrets;
use crate::shared::Shared;

/// Makes one attempt to deliver a notice.
pub(super) async fn report(shared: &Arc<Shared>, notice: Notice) {
    let composition = shared.composition();
    let result = match composition.loaded.reporters.get(&notice.reporter) {
        Some(usage) => deliver(shared, &composition.loaded, usage, &notice).await,
        None => Err(Trouble { message: "it is no longer configured".to_owned(), retry: false, retry_after: None }),
    };
    if let Err(trouble) = &result {
        tracing::warn!(reporter = %notice.reporter, notice = %notice.id, "report failed: {}", trouble.message);
    }
    let Notice { id, attempt, .. } = notice;
    shared.driver.tell(Input::Reported { notice: id, attempt, result }).await;
}

async fn deliver(shared: &Arc<Shared>, loaded: &Loaded, usage: &PluginUse, notice: &Notice) -> Result<(), Trouble> {
    let base = loaded.public_url.clone().unwrap_or_else(|| shared.base_url.clone());
    let (reading, subject) = (Arc::clone(shared), notice.clone());
    let occasion = tokio::task::spawn_blocking(move || occasion(&reading, &subject, &base))
        .await
        .context("reading was interrupted")
        .flatten()
        .map_err(|error| Trouble { message: format!("{error:#}"), retry: true, retry_after: None })?;
    let surroundings = Surroundings {
        secrets: Some(Arc::new(ConfigSecrets::new(loaded, &usage.grant))),
        state: Some(Arc::new(PluginState { store: shared.store.clone(), usage: usage.what.clone() })),
        ..Surroundings::default()
    };
    let mut instance = shared.plugins.start(usage, surroundings).await.map_err(|error| not_started(&error))?;
    let id = notice.id.to_string();
    instance.report(&id, notice.attempt, occasion).await.map_err(|error| convert::trouble(&error))
}

/// What the notice is about, as it is in the store.
fn occasion(shared: &Shared, notice: &Notice, base: &str) -> anyhow::Result<Occasion> {
    let reader = shared.store.read()?;
    Ok(match notice.subject {
        Subject::Build(id) => {
            let build = reader.build(id)?.with_context(|| format!("build {id} is not in the store"))?;
            let facts = facts(shared, &reader, &build, base)?;
            match notice.occasion {
                OccasionKind::BuildStarted => Occasion::BuildStarted(facts),
                _ => Occasion::BuildFinished(facts),
            }
        }
        Subject::Buildset(id) => {
            let facts = buildset(shared, &reader, id, base)?;
            match notice.occasion {
                OccasionKind::FirstFailure => Occasion::FirstFailure(facts),
                _ => Occasion::BuildsetFinished(facts),
            }
        }
    })
}

fn buildset(shared: &Shared, reader: &Reader, id: BuildsetId, base: &str) -> anyhow::Result<BuildsetFacts> {
    let set = reader.buildset(id)?.with_context(|| format!("buildset {id} is not in the store"))?;
    let outcome = match &set.state {
        stampmill_model::BuildsetState::Open { .. } => None,
        stampmill_model::BuildsetState::Finished { outcome, .. } => Some(outcome_for_plugin(*outcome)),
    };
    let filter = BuildFilter { buildset: Some(id), ..BuildFilter::default() };
    let builds = reader.builds(&filter, None, BUILDS_TOLD_OF)?.items;
    let builds = builds.iter().rev().map(|build| facts(shared, reader, build, base)).collect::<Result<_, _>>()?;
    Ok(BuildsetFacts { id: id.0, reason: set.reason, outcome, builds })
}

fn facts(shared: &Shared, reader: &Reader, build: &Build, base: &str) -> anyhow::Result<BuildFacts> {
    let ids = build.stamps.iter().flat_map(|stamp| &stamp.changes);
    let changes: Vec<_> = ids.filter_map(|id| reader.change(*id).transpose()).collect::<Result<_, _>>()?;
    let composition = shared.composition();
    let named = composition.loaded.interested.get(&build.builder).map(Vec::as_slice).unwrap_or_default();
    let mut facts = convert::build_facts(build, &changes, named, format!("{base}/builds/{}", build.id));
    facts.previous_outcome = previous(reader, build)?.map(outcome_for_plugin);
    for (step, told) in build.steps.iter().zip(&mut facts.steps) {
        if !told.outcome.is_some_and(|outcome| outcome == stampmill_runtime::Outcome::Failure) {
            continue;
        }
        for log in &step.logs {
            if let Some(tail) = shared.logs.tail(build.id, step.number, log, LOG_TAIL_LINES)? {
                told.log_tails.insert(log.clone(), tail.bytes);
            }
        }
    }
    Ok(facts)
}

/// How the build of the same builder before this one ended.
fn previous(reader: &Reader, build: &Build) -> anyhow::Result<Option<Outcome>> {
    let Some(number) = build.number.checked_sub(1) else { return Ok(None) };
    let before = reader.build_by_number(&build.builder, number)?;
    Ok(before.and_then(|before| match before.state {
        stampmill_model::BuildState::Finished { outcome, at: Wall(_), .. } => Some(outcome),
        _ => None,
    }))
}

/// The small store of one reporter.
struct PluginState {
    store: Store,
    usage: String,
}

impl PluginState {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store, &str) -> Result<T, String> + Send + 'static,
    ) -> Result<T, stampmill_runtime::Fault> {
        let (store, usage) = (self.store.clone(), self.usage.clone());
        let done = tokio::task::spawn_blocking(move || work(&store, &usage)).await;
        let done = done.map_err(|error| error.to_string()).flatten();
        done.map_err(|reason| stampmill_runtime::Fault::Unavailable { reason, retry_after: None })
    }
}

#[async_trait::async_trait]
impl stampmill_runtime::StateStore for PluginState {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, stampmill_runtime::Fault> {
        let key = key.to_owned();
        self.run(move |store, usage| store.state(usage, &key).map_err(|error| error.to_string())).await
    }

    async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), stampmill_runtime::Fault> {
        let key = key.to_owned();
        let quota = StateQuota { entries: STATE_ENTRIES, bytes: STATE_BYTES };
        let set = move |store: &Store, usage: &str| {
            store.set_state(usage, &key, &value, quota).map_err(|error| error.to_string())
        };
        self.run(set).await
    }

    async fn delete(&self, key: &str) -> Result<(), stampmill_runtime::Fault> {
        let key = key.to_owned();
        let delete = move |store: &Store, usage: &str| {
            store.delete_state(usage, &key).map(|_| ()).map_err(|error| error.to_string())
        };
        self.run(delete).await
    }

    async fn usage(&self) -> Result<StateUsage, stampmill_runtime::Fault> {
        let usage = self.run(|store, usage| store.state_usage(usage).map_err(|error| error.to_string())).await?;
        Ok(StateUsage { entries: usage.entries, bytes: usage.bytes })
    }
}
