//! `explain`: why a request waits, why a build exists, why a change was or was not built.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::arguments::{ExplainArgs, Subject};
use super::connection::Connection;
use super::failure::Failure;
use super::output::{clean, first_line, say, say_json, table};
use super::waiting::named_build;
use super::wire::{Build, Buildset, Change, ChangeWait, Explanation, List, Request, read};

/// Explains.
pub(crate) async fn run(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let (subject, name) = subject(&args.what)?;
    let connection = Connection::new(&args.target)?;
    match subject {
        Subject::Request => request(&connection, name, args.json).await?,
        Subject::Build => build(&connection, name, args.json).await?,
        Subject::Change => change(&connection, name, args.json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What a person asks about: KIND and ID, or the id of a request alone.
pub(super) fn subject(what: &[String]) -> anyhow::Result<(Subject, &str)> {
    match what {
        [id] if id.parse::<u64>().is_ok() => Ok((Subject::Request, id)),
        [kind, id] => match kind.as_str() {
            "request" => Ok((Subject::Request, id)),
            "build" => Ok((Subject::Build, id)),
            "change" => Ok((Subject::Change, id)),
            other => Err(Failure::refused(format!(
                "`{other}` can't be explained: write `request`, `build` or `change` and an id"
            ))),
        },
        [one] if one.contains('/') => Ok((Subject::Build, one)),
        _ => {
            Err(Failure::refused("write `request`, `build` or `change` and an id, as in `stampmill explain change 7`"))
        }
    }
}

async fn request(connection: &Connection, id: &str, as_json: bool) -> anyhow::Result<()> {
    let value = connection.get(&["requests", id], &[]).await?;
    let request: Request = read(value.clone())?;
    let explained = connection.get(&["requests", id, "explain"], &[]).await?;
    if as_json {
        return say_json(&json!({ "request": value, "explanation": explained }));
    }
    let explanation: Explanation = read(explained)?;
    say(format!("request {id} of {}: {}", clean(&request.builder), clean(&explanation.summary)))?;
    if request.state == "awaiting-approval" {
        say(format!("`stampmill approve {id}` lets it be built, with --refuse it is ended"))?;
    }
    if let Some(position) = explanation.position {
        say(format!("it is number {position} in the queue of its builder"))?;
    }
    let rows: Vec<Vec<String>> =
        explanation.workers.into_iter().map(|worker| vec![worker.worker, worker.reason]).collect();
    if rows.is_empty() { Ok(()) } else { table(&["WORKER", "WHY NOT NOW"], &rows) }
}

async fn build(connection: &Connection, name: &str, as_json: bool) -> anyhow::Result<()> {
    let build: Build = named_build(connection, name).await?;
    let set = connection.get(&["buildsets", &build.buildset.to_string()], &[]).await?;
    if as_json {
        let value = connection.get(&["builds", &build.id.to_string()], &[]).await?;
        return say_json(&json!({ "build": value, "buildset": set }));
    }
    let buildset: Buildset = read(set)?;
    say(format!("build {} (id {}): {}", build.label(), build.id, clean(&build.reason)))?;
    let by = match (&buildset.scheduler, buildset.rebuild_of) {
        (_, Some(original)) => format!("a rebuild of build {original}"),
        (Some(scheduler), None) => {
            let after = buildset.dependent_on.map(|set| format!(", as buildset {set} had passed"));
            let pinged = buildset.pinged_by.map(|set| format!(", pinged by buildset {set}"));
            format!("scheduler `{}`{}", clean(scheduler), after.or(pinged).unwrap_or_default())
        }
        (None, None) => "a submission".to_owned(),
    };
    let owner = build.owner.or(buildset.owner).map(|owner| format!(", asked for by {}", clean(&owner)));
    let why = Some(clean(&buildset.reason)).filter(|_| buildset.reason != build.reason);
    say(format!(
        "  made by {by}{}{}",
        owner.unwrap_or_default(),
        why.map(|why| format!(": {why}")).unwrap_or_default()
    ))?;
    say(format!("  buildset {}, request {}, attempt {}", build.buildset, build.request, build.attempt))?;
    for merged in &build.merged {
        say(format!("  merged with it: buildset {}, request {}", merged.buildset, merged.request))?;
    }
    for stamp in &build.source_stamps {
        let branch = stamp.branch.as_deref().unwrap_or("the default branch");
        let revision = stamp.revision.as_deref().unwrap_or("the newest revision");
        let codebase = if stamp.codebase.is_empty() { String::new() } else { format!("{}: ", clean(&stamp.codebase)) };
        say(format!("  {codebase}{} at {} of {}", clean(revision), clean(branch), clean(&stamp.repository)))?;
        for change in &stamp.changes {
            say(format!("    change {change}: {}", change_line(connection, *change).await?))?;
        }
    }
    Ok(())
}

async fn change_line(connection: &Connection, id: u64) -> anyhow::Result<String> {
    let change: Change = read(connection.get(&["changes", &id.to_string()], &[]).await?)?;
    Ok(format!("{} by {}", first_line(&change.comments), clean(&change.author)))
}

async fn change(connection: &Connection, id: &str, as_json: bool) -> anyhow::Result<()> {
    let value: Value = connection.get(&["changes", id], &[]).await?;
    let waits = connection.get(&["changes", id, "explain"], &[]).await?;
    if as_json {
        return say_json(&json!({ "change": value, "waits": waits["items"] }));
    }
    let change: Change = read(value)?;
    let revision = change.revision.as_deref().unwrap_or("no revision");
    say(format!("change {}: {} by {}", change.id, first_line(&change.comments), clean(&change.author)))?;
    let branch = change.branch.as_deref().unwrap_or("no branch");
    say(format!("  {} at {} of {}", clean(revision), clean(branch), clean(&change.repository)))?;
    match (&change.trouble, &change.codebase) {
        (Some(trouble), _) => say(format!("  it is not built: {}", clean(trouble)))?,
        (None, Some(codebase)) if !codebase.is_empty() => say(format!("  its codebase is `{}`", clean(codebase)))?,
        (None, Some(_)) => {}
        (None, None) => say("  the codebase generator has not answered yet")?,
    }
    if !change.decided && change.trouble.is_none() {
        say("  not every scheduler has decided yet")?;
    }
    let decision = |decision: super::wire::Decision| vec![decision.scheduler, decision.verdict, decision.reason];
    let rows: Vec<Vec<String>> = change.decisions.into_iter().map(decision).collect();
    if !rows.is_empty() {
        table(&["SCHEDULER", "VERDICT", "WHY"], &rows)?;
    }
    let List { items } = read::<List<ChangeWait>>(waits)?;
    for ChangeWait { scheduler, reason, until } in items {
        let until = until.map(|until| format!(", until {}", clean(&until))).unwrap_or_default();
        say(format!("scheduler `{}`: {}{until}", clean(&scheduler), clean(&reason)))?;
    }
    for set in &change.buildsets {
        say(format!("it is in buildset {set}"))?;
    }
    Ok(())
}
