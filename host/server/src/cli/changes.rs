//! `change`: tells a host of a change, as Buildbot's `sendchange` does.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::arguments::ChangeArgs;
use super::connection::Connection;
use super::output::{say, say_json};
use super::wire::{ChangesTaken, read};

/// Sends a change.
pub(crate) async fn send(args: ChangeArgs) -> anyhow::Result<ExitCode> {
    let connection = Connection::new(&args.target)?;
    let answer = connection.post(&["changes"], &body(&args)).await?;
    if args.json {
        say_json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let taken: ChangesTaken = read(answer)?;
    for id in taken.changes {
        say(format!("change {id} was taken in; `stampmill explain change {id}` shows what became of it"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn body(args: &ChangeArgs) -> Value {
    let properties: BTreeMap<_, _> = args.properties.iter().cloned().collect();
    json!({
        "author": args.author,
        "comments": args.comments,
        "files": args.files,
        "repository": args.repository,
        "project": args.project,
        "revision": args.revision,
        "branch": args.branch,
        "category": args.category,
        "link": args.link,
        "properties": properties,
        "codebase": args.codebase,
        "trusted": args.trusted,
    })
}
