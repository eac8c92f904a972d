//! Reporters, secrets, limits, and the operator's own plugins.

use stampmill_engine::config::OccasionKind;
use stampmill_model::Milliseconds;

use super::{Limits, PluginPath, Reporter, Secret, SecretFrom, check_name, count, usage};
use crate::config::finding::Problem;
use crate::config::limits as bounds;
use crate::config::reader::Table;
use crate::config::{STEP_LIMITS, StepLimits};

const OCCASIONS: [(&str, OccasionKind); 4] = [
    ("build-started", OccasionKind::BuildStarted),
    ("build-finished", OccasionKind::BuildFinished),
    ("first-failure", OccasionKind::FirstFailure),
    ("buildset-finished", OccasionKind::BuildsetFinished),
];

pub(super) fn reporter(table: &mut Table<'_>) -> Option<Reporter> {
    let given = table.text("name");
    if let Some(name) = &given {
        table.what = format!("reporter `{}`", name.value);
        check_name("reporter", name, table.sink());
    }
    let what = table.what.clone();
    let usage = usage(table, &what);
    let on = table.choices("on", &OCCASIONS);
    table.require("on", "on = [\"build-finished\"]");
    let builders = table.texts("builders").map(|at| at.value).unwrap_or_default();
    let mut usage = usage?;
    let unnamed = given.is_none();
    let name = given.unwrap_or_else(|| usage.plugin.clone());
    usage.what = format!("reporter `{}`", name.value);
    Some(Reporter { name, unnamed, usage, on: on.map(|at| at.value).unwrap_or_default(), builders })
}

pub(super) fn secrets(root: &Table<'_>) -> Vec<Secret> {
    let mut secrets = Vec::new();
    for (name, table) in root.named_tables("secret", "secret") {
        check_name("secret", &name, table.sink());
        let from = match (table.text("file"), table.text("env")) {
            (Some(file), None) => Some(SecretFrom::File(file)),
            (None, Some(env)) => Some(SecretFrom::Env(env)),
            (Some(_), Some(env)) => {
                let problem = Problem::error(env.span, format!("{} has both `file` and `env`", table.what));
                table.sink().report(problem.label("one too many").mend("keep one of them"));
                None
            }
            (None, None) => {
                let wrong_type = table.key_span("file").or_else(|| table.key_span("env")).is_some();
                if !wrong_type {
                    let problem =
                        Problem::error(name.span.clone(), format!("{} has neither `file` nor `env`", table.what));
                    table.sink().report(
                        problem.label("no source").mend("add `file = \"/etc/stampmill/NAME\"` or `env = \"NAME\"`"),
                    );
                }
                None
            }
        };
        table.finish();
        secrets.extend(from.map(|from| Secret { name, from }));
    }
    secrets
}

pub(super) fn limits(root: &Table<'_>) -> Limits {
    let Some(table) = root.table("limits", "`limits`") else { return Limits::default() };
    let duration = |key| table.duration(key, Milliseconds::from_seconds(1)).map(|at| at.value);
    let limits = Limits {
        body_bytes: table.bytes("body-bytes", bounds::BODY_BYTES_MAX).map(|at| at.value),
        local_worker_alone: duration("local-worker-alone"),
        worker_lost_after: duration("worker-lost-after"),
        build_attempts: count(&table, "build-attempts"),
        report_attempts: count(&table, "report-attempts"),
        retry_pause_most: duration("retry-pause-most"),
        declined_for: duration("declined-for"),
        trigger_depth: count(&table, "trigger-depth"),
        plugin_memory: table.bytes("plugin-memory", bounds::PLUGIN_MEMORY_MAX).map(|at| at.value),
        plugin_time: duration("plugin-time"),
        plugin_compute: duration("plugin-compute"),
        plugin_host_call: duration("plugin-host-call"),
        steps: steps(&table),
    };
    table.finish();
    limits
}

fn steps(table: &Table<'_>) -> StepLimits {
    StepLimits(STEP_LIMITS.map(|(key, workers, size)| {
        let value = match size {
            true => table.bytes(key, bounds::STEP_BYTES_MAX).map(|at| at.value),
            false => count(table, key).map(u64::from),
        };
        value.map(|value| (workers, value))
    }))
}

pub(super) fn plugins(root: &Table<'_>) -> Vec<PluginPath> {
    let mut plugins = Vec::new();
    for (name, table) in root.named_tables("plugin", "plugin") {
        check_name("plugin", &name, table.sink());
        let file = table.required_text("file", "file = \"plugin.wasm\"");
        table.finish();
        plugins.extend(file.map(|file| PluginPath { name, file }));
    }
    plugins
}
