//! Asking decision plugins: the codebase generator, the filters of a scheduler, the merge plugin of a builder.

use std::sync::Arc;

use stampmill_agent::convert::{change_for_plugin, request_for_plugin, seen_for_plugin};
use stampmill_engine::Input;
use stampmill_engine::input::Trouble;
use stampmill_model::{Buildset, Change, Request, SchedulerName, Verdict};
use stampmill_runtime::PluginError;

use crate::config::PluginUse;
use crate::convert;
use crate::plugins::{Pool, StartError};
use crate::shared::{Composition, Shared};

/// Asks which codebase a change belongs to.
pub(super) async fn codebase(shared: &Shared, change: &Arc<Change>) {
    let composition = shared.composition();
    let result = match &composition.loaded.codebases {
        Some(usage) => codebase_of(shared, &composition.codebases, usage, change).await,
        // The generator went away with a reload while the question was on its way.
        None => Ok(Some(String::new())),
    };
    shared.driver.tell(Input::CodebaseFound { change: change.id, result }).await;
}

async fn codebase_of(
    shared: &Shared,
    pool: &Pool,
    usage: &PluginUse,
    change: &Change,
) -> Result<Option<String>, Trouble> {
    let mut instance = pool.take(&shared.plugins, usage).await.map_err(|error| not_started(&error))?;
    let answer = instance.codebase_of(&seen_for_plugin(&change.seen)).await;
    pool.give_back(instance);
    answer.map_err(|error| convert::trouble(&error))
}

/// Asks what each filter of a scheduler makes of a change.
pub(super) async fn filters(shared: &Shared, scheduler: SchedulerName, change: &Arc<Change>) {
    let composition = shared.composition();
    let result = judge(shared, &composition, &scheduler, change).await;
    shared.driver.tell(Input::Judged { scheduler, change: change.id, result }).await;
}

async fn judge(
    shared: &Shared,
    composition: &Composition,
    scheduler: &SchedulerName,
    change: &Change,
) -> Result<Vec<(Verdict, String)>, Trouble> {
    let (Some(uses), Some(pools)) = (composition.loaded.filters.get(scheduler), composition.filters.get(scheduler))
    else {
        return Ok(Vec::new());
    };
    let change = [change_for_plugin(change)];
    let mut judgements = Vec::with_capacity(uses.len());
    for (usage, pool) in uses.iter().zip(pools) {
        let mut instance = pool.take(&shared.plugins, usage).await.map_err(|error| not_started(&error))?;
        let answer: Result<_, PluginError> = instance.judge(&change).await;
        pool.give_back(instance);
        let answer = answer.map_err(|error| convert::trouble(&error))?;
        judgements.extend(answer.into_iter().map(convert::judgement));
    }
    Ok(judgements)
}

/// Asks the merge plugin of a request's builder which key it has.
pub(super) async fn merge_key(shared: &Shared, request: &Request, set: &Buildset) {
    let composition = shared.composition();
    let result = key_of(shared, &composition, request, set).await;
    shared.driver.tell(Input::MergeKeyFound { request: request.id, result }).await;
}

async fn key_of(
    shared: &Shared,
    composition: &Composition,
    request: &Request,
    set: &Buildset,
) -> Result<Option<String>, Trouble> {
    let builder = &request.builder;
    let (Some(usage), Some(pool)) = (composition.loaded.merges.get(builder), composition.merges.get(builder)) else {
        let message = format!("builder `{builder}` has lost its merge plugin with a reload");
        return Err(Trouble { message, retry: false, retry_after: None });
    };
    let mut builders = composition.loaded.engine.builders.iter();
    let project = builders.find(|it| it.name == *builder).map(|it| it.project.as_str()).unwrap_or_default();
    let mut instance = pool.take(&shared.plugins, usage).await.map_err(|error| not_started(&error))?;
    let answer = instance.merge_key(&request_for_plugin(request, set, project)).await;
    pool.give_back(instance);
    answer.map_err(|error| convert::trouble(&error))
}

/// A plugin that can't be started will not start at the next try either.
pub(super) fn not_started(error: &StartError) -> Trouble {
    match error {
        StartError::Plugin(error) => convert::trouble(error),
        StartError::Runtime(_) | StartError::Load { .. } | StartError::Workspace(_) => {
            Trouble { message: error.to_string(), retry: false, retry_after: None }
        }
    }
}
