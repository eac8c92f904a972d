//! Commands that start, end and list builds.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::arguments::{ApproveArgs, BuildsArgs, BuildsState, CancelArgs, ForceArgs, RebuildArgs, TargetArgs};
use super::connection::Connection;
use super::failure::Failure;
use super::output::{first_line, say, say_json, table};
use super::waiting::{builds as newest_builds, named_build, until_complete};
use super::wire::{Made, read};
use crate::config::PARAMETER_FILE_BYTES_MAX;

/// Builds now.
pub(crate) async fn force(mut args: ForceArgs) -> anyhow::Result<ExitCode> {
    for (name, path) in std::mem::take(&mut args.files) {
        let text = file_text(&name, &path)?;
        args.properties.push((name, Value::String(text)));
    }
    let connection = Connection::new(&args.target)?;
    let path = match (&args.builder, &args.scheduler) {
        (Some(builder), _) => ["builders", builder, "force"],
        (None, scheduler) => ["schedulers", scheduler.as_deref().unwrap_or_default(), "force"],
    };
    let answer = connection.post(&path, &force_body(&args)).await?;
    made(&connection, answer, args.wait, args.json).await
}

/// What a file holds, if a property can hold it.
fn file_text(name: &str, path: &Path) -> anyhow::Result<String> {
    let unreadable = |error: std::io::Error| {
        Failure::refused(format!("`{}` for property `{name}` can't be read: {error}", path.display()))
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(PARAMETER_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > PARAMETER_FILE_BYTES_MAX {
        let path = path.display();
        return Err(Failure::refused(format!(
            "`{path}` has more than {PARAMETER_FILE_BYTES_MAX} bytes, and property `{name}` holds no more; shorten it"
        )));
    }
    String::from_utf8(bytes).map_err(|_| {
        let path = path.display();
        Failure::refused(format!("`{path}` is no text in UTF-8, and property `{name}` holds no other; encode it"))
    })
}

/// What is not told is left out, so that the scheduler's defaults hold.
pub(super) fn force_body(args: &ForceArgs) -> Value {
    let mut body = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.to_owned(), value);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Value::String);
    put("reason", (!args.reason.is_empty()).then(|| json!(args.reason)));
    put("scheduler", text(&args.scheduler));
    put("priority", args.priority.map(Value::from));
    put("worker", text(&args.worker));
    let properties: BTreeMap<_, _> = args.properties.iter().cloned().collect();
    put("properties", (!properties.is_empty()).then(|| json!(properties)));
    match &args.codebase {
        Some(codebase) => {
            let said = [("branch", &args.branch), ("revision", &args.revision)];
            let asked = [("repository", &args.repository), ("project", &args.project)];
            // An older host knows the first two only.
            let asked = asked.into_iter().filter(|(_, text)| text.is_some());
            let choice: BTreeMap<_, _> = said.into_iter().chain(asked).collect();
            put("codebases", Some(json!({ codebase: choice })))
        }
        None => {
            put("branch", text(&args.branch));
            put("revision", text(&args.revision));
            put("repository", text(&args.repository));
            put("project", text(&args.project));
        }
    }
    Value::Object(body)
}

/// Builds again.
pub(crate) async fn rebuild(args: RebuildArgs) -> anyhow::Result<ExitCode> {
    let connection = Connection::new(&args.target)?;
    let build = named_build(&connection, &args.build).await?;
    let answer = connection.post(&["builds", &build.id.to_string(), "rebuild"], &json!({})).await?;
    made(&connection, answer, args.wait, args.json).await
}

pub(super) async fn made(
    connection: &Connection,
    answer: Value,
    wait: bool,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let made: Made = read(answer.clone())?;
    if wait {
        return until_complete(connection, &made, as_json).await;
    }
    if as_json {
        say_json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    for request in &made.requests {
        say(format!("request {request} is made; `stampmill explain {request}` says why it waits"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets a request be built that awaits approval, or refuses it.
pub(crate) async fn approve(args: ApproveArgs) -> anyhow::Result<ExitCode> {
    let connection = Connection::new(&args.target)?;
    let (request, body) = (args.request, json!({ "approved": !args.refuse }));
    connection.post(&["requests", &request.to_string(), "approve"], &body).await?;
    if args.refuse {
        say(format!("request {request} is refused and will not be built"))?;
    } else {
        say(format!("request {request} is approved and in the queue"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends a build or a request.
pub(crate) async fn cancel(args: CancelArgs) -> anyhow::Result<ExitCode> {
    let connection = Connection::new(&args.target)?;
    let reason = json!({ "reason": args.reason });
    if let Some(request) = args.request {
        connection.post(&["requests", &request.to_string(), "cancel"], &reason).await?;
        say(format!("request {request} is being ended"))?;
    } else {
        let build = named_build(&connection, args.build.as_deref().unwrap_or_default()).await?;
        connection.post(&["builds", &build.id.to_string(), "cancel"], &reason).await?;
        say(format!("build {} is being ended", build.label()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists builds.
pub(crate) async fn builds(args: BuildsArgs) -> anyhow::Result<ExitCode> {
    let connection = Connection::new(&args.target)?;
    let mut query: Vec<(&str, String)> = vec![("limit", args.limit.to_string())];
    if let Some(builder) = &args.builder {
        // The list of an unknown builder would be empty; this says that it is unknown.
        connection.get(&["builders", builder], &[]).await?;
        query.push(("builder", builder.clone()));
    }
    let state = args.state.map(|state| match state {
        BuildsState::Open => "open".to_owned(),
        BuildsState::Finished => "finished".to_owned(),
    });
    for (key, value) in [("state", &state), ("result", &args.result), ("worker", &args.worker)] {
        query.extend(value.clone().map(|value| (key, value)));
    }
    let (answer, builds) = newest_builds(&connection, &query).await?;
    if args.json {
        say_json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    if builds.is_empty() {
        eprintln!("no builds");
        return Ok(ExitCode::SUCCESS);
    }
    let row = |build: &super::wire::Build| {
        vec![
            build.label(),
            build.id.to_string(),
            build.result.clone().unwrap_or_else(|| build.state.clone()),
            build.worker.clone(),
            build.started_at.clone(),
            build.revision().unwrap_or_default().chars().take(12).collect(),
            first_line(&build.reason),
        ]
    };
    let rows: Vec<Vec<String>> = builds.iter().map(row).collect();
    table(&["BUILD", "ID", "RESULT", "WORKER", "STARTED", "REVISION", "REASON"], &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// Lets the host read its configuration again.
pub(crate) async fn reload(args: TargetArgs) -> anyhow::Result<ExitCode> {
    let connection = Connection::new(&args.target)?;
    connection.post(&["reload"], &json!({})).await?;
    say("the configuration was read again and is in force")?;
    Ok(ExitCode::SUCCESS)
}
