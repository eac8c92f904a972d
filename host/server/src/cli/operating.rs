//! `scheduler`, `pause`, `drain` and `resume`: what operators switch while a host runs.

use std::process::ExitCode;

use serde_json::json;

use super::arguments::{DrainArgs, PauseArgs, ResumeArgs, SchedulerCommand, Target};
use super::connection::Connection;
use super::failure::Failure;
use super::output::{clean, first_line, say, say_json, table};
use super::waiting::{Bell, build};
use super::wire::{Halt, List, Scheduler, Worker, read};

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

/// Pauses a worker.
pub(crate) async fn pause(args: PauseArgs) -> anyhow::Result<ExitCode> {
    let connection = Connection::new(&args.target)?;
    pause_worker(&connection, &args.worker, &args.reason).await?;
    let left = builds_left(&connection, &args.worker).await?;
    say(format!("worker {} is paused{}", clean(&args.worker), finishing(&left)))?;
    Ok(ExitCode::SUCCESS)
}

/// Lets a worker have builds again.
pub(crate) async fn resume(args: ResumeArgs) -> anyhow::Result<ExitCode> {
    let connection = Connection::new(&args.target)?;
    connection.post(&["workers", &args.worker, "resume"], &json!({})).await?;
    say(format!("worker {} may have builds again", clean(&args.worker)))?;
    Ok(ExitCode::SUCCESS)
}

/// Pauses a worker and says what it still has; waits for the end of that if asked to.
pub(crate) async fn drain(args: DrainArgs) -> anyhow::Result<ExitCode> {
    let connection = Connection::new(&args.target)?;
    pause_worker(&connection, &args.worker, &args.reason).await?;
    let mut bell = Bell::new(connection.clone(), Vec::new());
    let mut told = Vec::new();
    loop {
        let left = builds_left(&connection, &args.worker).await?;
        if left.is_empty() {
            say(format!("worker {} is paused and empty: it can be ended", clean(&args.worker)))?;
            return Ok(ExitCode::SUCCESS);
        }
        if left != told {
            say(format!("worker {} is paused{}", clean(&args.worker), finishing(&left)))?;
        }
        if !args.wait {
            return Ok(ExitCode::SUCCESS);
        }
        told = left;
        bell.ring().await;
    }
}

async fn pause_worker(connection: &Connection, worker: &str, reason: &str) -> anyhow::Result<()> {
    connection.post(&["workers", worker, "pause"], &json!({ "reason": reason })).await?;
    Ok(())
}

/// The builds that a worker has, as people call them.
async fn builds_left(connection: &Connection, name: &str) -> anyhow::Result<Vec<String>> {
    let workers: List<Worker> = read(connection.get(&["workers"], &[]).await?)?;
    let worker = workers.items.into_iter().find(|worker| worker.name == name);
    let worker = worker.ok_or_else(|| Failure::refused(format!("there is no worker `{name}` any more")))?;
    let mut labels = Vec::new();
    for id in worker.running {
        labels.push(build(connection, id).await?.label());
    }
    Ok(labels)
}

fn finishing(left: &[String]) -> String {
    if left.is_empty() { String::new() } else { format!(" and finishes {}", left.join(", ")) }
}
