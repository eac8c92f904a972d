//! `check`: is the configuration right, and what may each plugin do.

use std::process::ExitCode;

use stampmill_model::Grant;

use super::arguments::CheckArgs;
use super::failure::Failure;
use super::output::{clean, colour, say, table};
use crate::config::{self, Loaded, PluginUse};
use crate::serve;

/// Checks the configuration and starts every plugin in it once.
pub(crate) async fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.clone();
    let loaded = tokio::task::spawn_blocking(move || config::load(&path)).await??;
    for warning in &loaded.warnings {
        eprint!("{}", warning.render(colour()));
    }
    let findings = serve::check_plugins(&loaded).await?;
    if !findings.is_empty() {
        return Err(loaded.error(findings).into());
    }
    show(&loaded)?;
    pin(&loaded, args.locked)?;
    Ok(ExitCode::SUCCESS)
}

fn show(loaded: &Loaded) -> anyhow::Result<()> {
    let row = |usage: &PluginUse| {
        let kind = usage.plugin.inspection.manifest.kind.to_string();
        vec![usage.what.clone(), usage.plugin.name.clone(), kind, granted(&usage.grant)]
    };
    let rows: Vec<Vec<String>> = loaded.uses().map(row).collect();
    table(&["WHERE", "PLUGIN", "KIND", "MAY"], &rows)?;
    let engine = &loaded.engine;
    say(format!(
        "\n{} ({}) is right: {}, {}, {}, {}, {}, {}",
        loaded.path.display(),
        clean(&loaded.title),
        counted(engine.change_sources.len(), "change source"),
        counted(engine.schedulers.len(), "scheduler"),
        counted(loaded.jobs.len(), "job"),
        counted(engine.builders.len(), "builder"),
        counted(engine.workers.len(), "worker"),
        counted(engine.reporters.len(), "reporter"),
    ))
}

fn pin(loaded: &Loaded, locked: bool) -> anyhow::Result<()> {
    if loaded.pins.is_empty() {
        return Ok(());
    }
    if locked {
        let pins: Vec<String> = loaded.pins.iter().map(ToString::to_string).collect();
        return Err(Failure::refused(format!(
            "stampmill.lock would change: {}; run `stampmill check` without --locked and keep the file",
            pins.join("; ")
        )));
    }
    loaded.write_lock()?;
    for pin in &loaded.pins {
        say(pin.to_string())?;
    }
    Ok(())
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A grant in words.
pub(super) fn granted(grant: &Grant) -> String {
    let Grant { command, net, read, write, http, secret, credential, trigger } = grant;
    let words = [
        ("run", command),
        ("connect to", net),
        ("read", read),
        ("write", write),
        ("ask", http),
        ("use the secrets", secret),
        ("trigger", trigger),
    ];
    let parts = words.into_iter().filter(|(_, items)| !items.is_empty());
    let mut parts: Vec<String> = parts.map(|(word, items)| format!("{word} {}", items.join(", "))).collect();
    parts.extend(credential.iter().map(|(name, origins)| format!("show the secret {name} to {}", origins.join(", "))));
    if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") }
}
