//! Following builds until they end: printing what they do, bearing with a host that restarts, leaving them alone on Ctrl-C.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stampmill_model::Outcome;

use super::connection::Connection;
use super::events::Events;
use super::failure::{self, Failure};
use super::limits::{HOST_AWAY, LOOK_AGAIN, LOOK_PAUSE};
use super::output::{clean, say};
use super::wire::{Build, Explanation, List, Made, Request, outcome_of, read};

/// The build that a person names: its id, or BUILDER/NUMBER.
pub(crate) async fn named_build(connection: &Connection, text: &str) -> anyhow::Result<Build> {
    let found = match text.rsplit_once('/') {
        Some((builder, number)) if number.parse::<u64>().is_ok() => {
            connection.get(&["builders", builder, "builds", number], &[]).await?
        }
        None if text.parse::<u64>().is_ok() => connection.get(&["builds", text], &[]).await?,
        _ => {
            return Err(Failure::refused(format!(
                "`{text}` is no build: write its id, or BUILDER/NUMBER as in `linux/12`"
            )));
        }
    };
    read(found)
}

/// A build as it is now.
pub(crate) async fn build(connection: &Connection, id: u64) -> anyhow::Result<Build> {
    read(connection.get(&["builds", &id.to_string()], &[]).await?)
}

/// Rings when the host says that something changed, and every so often besides.
pub(crate) struct Bell {
    connection: Connection,
    query: Vec<(&'static str, String)>,
    events: Option<Events>,
}

impl Bell {
    /// Rings for the events that a query chooses.
    pub(crate) fn new(connection: Connection, query: Vec<(&'static str, String)>) -> Self {
        Self { connection, query, events: None }
    }

    /// Waits until it is worth looking again.
    pub(crate) async fn ring(&mut self) {
        let looked = Instant::now();
        if self.events.is_none() {
            // Without events there still is the pause below.
            self.events = self.connection.open(&["events"], &self.query).await.ok().map(Events::new);
        }
        while let Some(events) = &mut self.events {
            let left = LOOK_AGAIN.saturating_sub(looked.elapsed());
            match tokio::time::timeout(left, events.next()).await {
                Ok(Ok(Some(event))) if event.name == "hello" => {}
                Ok(Ok(Some(_))) => return tokio::time::sleep(LOOK_PAUSE).await,
                Err(_) => return,
                Ok(Ok(None) | Err(_)) => self.events = None,
            }
        }
        tokio::time::sleep(LOOK_AGAIN.saturating_sub(looked.elapsed())).await;
    }
}

/// Bears with a host that is away for a while, as at a restart: builds go on without it.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    away_since: Option<Instant>,
}

impl Patience {
    /// The answer, or `None` after a pause when the host is away.
    pub(crate) async fn bear<T>(&mut self, answer: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        let error = match answer {
            Ok(answer) => {
                self.away_since = None;
                return Ok(Some(answer));
            }
            Err(error) => error,
        };
        if !matches!(error.downcast_ref::<Failure>(), Some(Failure::Unavailable(_))) {
            return Err(error);
        }
        match self.away_since {
            None => {
                eprintln!("the host is away; waiting for it ({error})");
                self.away_since = Some(Instant::now());
            }
            Some(since) if since.elapsed() > HOST_AWAY => return Err(error),
            Some(_) => {}
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(None)
    }
}

/// Prints what the builds of these requests do until all are complete; the exit code is the worst one's.
pub(crate) async fn until_complete(connection: &Connection, made: &Made, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut watched: Vec<Watched> = made.requests.iter().map(|id| Watched::new(*id, as_json)).collect();
    let following = follow_all(connection, &mut watched);
    let followed = tokio::select! {
        followed = following => Some(followed),
        // Without the handler Ctrl-C ends the program at once, which leaves the build alone too.
        Ok(()) = tokio::signal::ctrl_c() => None,
    };
    let Some(outcome) = followed.transpose()? else {
        interrupted(made, &watched);
        return Ok(failure::INTERRUPTED.into());
    };
    if as_json {
        let builds: Vec<Value> = watched.into_iter().filter_map(|watched| watched.last).collect();
        super::output::say_json(&json!({ "buildset": made.buildset, "result": outcome.as_str(), "builds": builds }))?;
    }
    Ok(failure::outcome_code(outcome).into())
}

fn interrupted(made: &Made, watched: &[Watched]) {
    eprintln!();
    for watched in watched {
        match watched.build {
            Some(id) if watched.outcome.is_none() => {
                eprintln!(
                    "build {id} goes on; `stampmill log {id} --follow` shows it, `stampmill cancel {id}` ends it"
                );
            }
            None if watched.outcome.is_none() => {
                let id = watched.id;
                eprintln!(
                    "request {id} stays in the queue; `stampmill explain {id}` shows why it waits, `stampmill cancel --request {id}` ends it"
                );
            }
            _ => {}
        }
    }
    if watched.is_empty() {
        eprintln!("buildset {} goes on", made.buildset);
    }
}

async fn follow_all(connection: &Connection, watched: &mut [Watched]) -> anyhow::Result<Outcome> {
    let mut bells: Option<Bell> = None;
    let mut patience = Patience::default();
    loop {
        for watched in watched.iter_mut().filter(|watched| watched.outcome.is_none()) {
            let looked = watched.look(connection).await;
            patience.bear(looked).await?;
        }
        let outcomes: Vec<Outcome> = watched.iter().filter_map(|watched| watched.outcome).collect();
        if outcomes.len() == watched.len() {
            return Ok(outcomes.into_iter().fold(Outcome::Skipped, Outcome::worst));
        }
        let bell = bells.get_or_insert_with(|| Bell::new(connection.clone(), Vec::new()));
        bell.ring().await;
    }
}

/// One request that is followed.
struct Watched {
    id: u64,
    to_stderr: bool,
    build: Option<u64>,
    told: String,
    steps: Vec<String>,
    outcome: Option<Outcome>,
    last: Option<Value>,
}

impl Watched {
    fn new(id: u64, to_stderr: bool) -> Self {
        Self { id, to_stderr, build: None, told: String::new(), steps: Vec::new(), outcome: None, last: None }
    }

    fn tell(&self, line: &str) -> anyhow::Result<()> {
        if self.to_stderr {
            eprintln!("{line}");
            return Ok(());
        }
        say(line)
    }

    async fn look(&mut self, connection: &Connection) -> anyhow::Result<()> {
        let id = self.id.to_string();
        // The request is asked first: what its builds say afterwards is at least as new.
        let request: Request = read(connection.get(&["requests", &id], &[]).await?)?;
        let query = [("request", id.clone()), ("limit", "1".to_owned())];
        let builds = connection.get(&["builds"], &query).await?;
        let newest = builds.pointer("/items/0").cloned();
        match newest {
            Some(value) => {
                let build: Build = read(value.clone())?;
                self.tell_build(&build)?;
                self.last = Some(value);
            }
            None if request.state != "complete" => self.tell_waiting(connection, &request).await?,
            None => {}
        }
        if request.state == "complete" {
            let outcome = outcome_of(request.result.as_deref());
            if self.build.is_none() {
                self.tell(&format!("request {id} of {}: {outcome} without a build", clean(&request.builder)))?;
            }
            self.outcome = Some(outcome);
        }
        Ok(())
    }

    async fn tell_waiting(&mut self, connection: &Connection, request: &Request) -> anyhow::Result<()> {
        let id = request.id.to_string();
        let explained = connection.get(&["requests", &id, "explain"], &[]).await?;
        let explanation: Explanation = read(explained)?;
        let line = format!("request {id} of {}: {}", clean(&request.builder), clean(&explanation.summary));
        if line != self.told {
            self.tell(&line)?;
            self.told = line;
        }
        Ok(())
    }

    fn tell_build(&mut self, build: &Build) -> anyhow::Result<()> {
        if self.build != Some(build.id) {
            let again = if build.attempt > 1 { format!(", attempt {}", build.attempt) } else { String::new() };
            self.tell(&format!("build {} (id {}) on {}{again}", build.label(), build.id, clean(&build.worker)))?;
            self.build = Some(build.id);
            self.steps = vec!["waiting".to_owned(); build.steps.len()];
        }
        self.steps.resize(build.steps.len(), "waiting".to_owned());
        for (index, step) in build.steps.iter().enumerate() {
            if self.steps[index] == step.state {
                continue;
            }
            let mut line = format!("  {}: {}", clean(&step.name), step.result.as_deref().unwrap_or(&step.state));
            if !step.summary.is_empty() && step.result.is_some() {
                line.push_str(&format!(": {}", clean(&step.summary)));
            }
            self.tell(&line)?;
            self.steps[index].clone_from(&step.state);
        }
        let ended = build.outcome().map(|outcome| ended_line(build, outcome));
        if let Some(line) = ended.filter(|line| *line != self.told) {
            self.tell(&line)?;
            self.told = line;
        }
        Ok(())
    }
}

/// How a build ended, in a line.
pub(crate) fn ended_line(build: &Build, outcome: Outcome) -> String {
    let summary = clean(&build.summary);
    let colon = if summary.is_empty() { "" } else { ": " };
    format!("build {}: {outcome}{colon}{summary}", build.label())
}

/// The newest builds that a query chooses.
pub(crate) async fn builds(connection: &Connection, query: &[(&str, String)]) -> anyhow::Result<(Value, Vec<Build>)> {
    let answer = connection.get(&["builds"], query).await?;
    let list: List<Build> = read(answer.clone())?;
    Ok((answer, list.items))
}
