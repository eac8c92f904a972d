//! `scheduler`: what operators switch while a host runs.

use std::process::ExitCode;

use serde_json::json;

use super::arguments::{SchedulerCommand, Target};
use super::connection::Connection;
use super::output::{clean, first_line, say, say_json, table};
use super::wire::{Halt, List, Scheduler, read};

/// Lists schedulers, disables or enables one.
pub(crate) async fn scheduler(command: SchedulerCommand) -> anyhow::Result<ExitCode> {
    match command {
        SchedulerCommand::List { json, target } => list_schedulers(&target, json).await?,
        SchedulerCommand::Disable { name, reason, target } => {
            let connection = Connection::new(&target)?;
            connection.post(&["schedulers", &name, "disable"], &json!({ "reason": reason })).await?;
            say(format!("scheduler {} is disabled; `stampmill scheduler enable` ends that", clean(&name)))?;
        }
        SchedulerCommand::Enable { name, target } => {
            Connection::new(&target)?.post(&["schedulers", &name, "enable"], &json!({})).await?;
            say(format!("scheduler {} is enabled", clean(&name)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list_schedulers(target: &Target, as_json: bool) -> anyhow::Result<()> {
    let answer = Connection::new(target)?.get(&["schedulers"], &[]).await?;
    if as_json {
        return say_json(&answer);
    }
    let schedulers: List<Scheduler> = read(answer)?;
    if schedulers.items.is_empty() {
        eprintln!("no schedulers");
        return Ok(());
    }
    let row = |it: Scheduler| {
        let state = it.disabled.map_or("enabled".to_owned(), |halt| halted("disabled", &halt));
        vec![it.name, it.kind, it.waiting.to_string(), it.next_at.unwrap_or_default(), it.when, state]
    };
    let rows: Vec<Vec<String>> = schedulers.items.into_iter().map(row).collect();
    table(&["NAME", "KIND", "WAITING", "NEXT", "WHEN", "STATE"], &rows)
}

/// `disabled by ann: why`.
fn halted(what: &str, halt: &Halt) -> String {
    let separator = if halt.reason.is_empty() { "" } else { ": " };
    format!("{what} by {}{separator}{}", halt.by, first_line(&halt.reason))
}
