//! `log`: the output of a build, whole, in part, or as it grows.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde::Deserialize;
use stampmill_model::Outcome;

use super::arguments::LogArgs;
use super::connection::Connection;
use super::events::Events;
use super::failure::{self, Failure};
use super::output::{clean, say, write};
use super::waiting::{Bell, Patience, build, ended_line, named_build};
use super::wire::{Build, Step, outcome_of};

/// Shows a log.
pub(crate) async fn run(args: LogArgs) -> anyhow::Result<ExitCode> {
    let connection = Connection::new(&args.target)?;
    let found = named_build(&connection, &args.build).await?;
    let chosen = Chosen { step: chosen_step(&found, args.step.as_deref())?, log: args.log };
    if args.follow {
        let follower = Follower { connection: &connection, build: found.id, chosen, shown: BTreeSet::new() };
        return follower.run().await;
    }
    let logs = chosen.logs(&found);
    if logs.is_empty() {
        return Err(Failure::refused(chosen.none(&found)));
    }
    let query: Vec<(&str, String)> = args.tail.map(|tail| ("tail", tail.to_string())).into_iter().collect();
    for (step, log) in &logs {
        if logs.len() > 1 {
            heading(step, log)?;
        }
        let number = step.number.to_string();
        let id = found.id.to_string();
        let mut answer = connection.open(&["builds", &id, "steps", &number, "logs", log], &query).await?;
        let lost = answer.headers().get("x-log-lost").and_then(|value| value.to_str().ok()).map(str::to_owned);
        while let Some(chunk) =
            answer.chunk().await.map_err(|error| Failure::Unavailable(format!("the log broke off: {error}")))?
        {
            write(&chunk)?;
        }
        if let Some(lost) = lost {
            eprintln!("{lost}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Which logs of a build.
struct Chosen {
    step: Option<u32>,
    log: Option<String>,
}

impl Chosen {
    /// The logs that there are now, in the order of the steps.
    fn logs<'b>(&self, build: &'b Build) -> Vec<(&'b Step, &'b str)> {
        let steps = build.steps.iter().filter(|step| self.step.is_none_or(|number| number == step.number));
        let logs = steps.flat_map(|step| step.logs.iter().map(move |log| (step, log.as_str())));
        logs.filter(|(_, log)| self.log.as_deref().is_none_or(|wanted| wanted == *log)).collect()
    }

    /// Why there is no log.
    fn none(&self, build: &Build) -> String {
        let all: BTreeSet<&str> = build.steps.iter().flat_map(|step| &step.logs).map(String::as_str).collect();
        let names: Vec<&str> = all.into_iter().collect();
        match (&self.log, names.is_empty()) {
            (Some(log), false) => {
                format!("build {} has no log `{log}` there; its logs are {}", build.label(), names.join(", "))
            }
            _ => format!("build {} has no log there yet; --follow waits for it", build.label()),
        }
    }
}

fn heading(step: &Step, log: &str) -> anyhow::Result<()> {
    say(format!("=== {} ({}) ===", clean(&step.name), clean(log)))
}

/// The step that a person names.
fn chosen_step(build: &Build, text: Option<&str>) -> anyhow::Result<Option<u32>> {
    let Some(text) = text else { return Ok(None) };
    let by_name = build.steps.iter().find(|step| step.name == text);
    let by_number = || build.steps.iter().find(|step| text.parse() == Ok(step.number));
    if let Some(step) = by_name.or_else(by_number) {
        return Ok(Some(step.number));
    }
    let names: Vec<String> = build.steps.iter().map(|step| clean(&step.name)).collect();
    Err(Failure::refused(format!("build {} has no step `{text}`; its steps are {}", build.label(), names.join(", "))))
}

/// Somebody who reads along.
struct Follower<'a> {
    connection: &'a Connection,
    build: u64,
    chosen: Chosen,
    shown: BTreeSet<(u32, String)>,
}

impl Follower<'_> {
    async fn run(mut self) -> anyhow::Result<ExitCode> {
        let query = vec![("build", self.build.to_string())];
        let mut bell = Bell::new(self.connection.clone(), query);
        let mut patience = Patience::default();
        loop {
            let Some(now) = patience.bear(build(self.connection, self.build).await).await? else { continue };
            let next = self.chosen.logs(&now).into_iter().find(|(step, log)| !self.has_shown(step, log));
            if let Some((step, log)) = next {
                if self.chosen.step.is_none() {
                    heading(step, log)?;
                }
                self.follow(step.number, log).await?;
                self.shown.insert((step.number, log.to_owned()));
                continue;
            }
            if let Some(code) = self.over(&now)? {
                return Ok(code);
            }
            bell.ring().await;
        }
    }

    fn has_shown(&self, step: &Step, log: &str) -> bool {
        self.shown.iter().any(|(number, name)| *number == step.number && name == log)
    }

    /// The exit code, when the build or the chosen step has ended.
    fn over(&self, now: &Build) -> anyhow::Result<Option<ExitCode>> {
        let step = self.chosen.step.and_then(|number| now.steps.iter().find(|step| step.number == number));
        let outcome: Option<Outcome> = match step {
            Some(step) if step.state == "finished" => Some(outcome_of(step.result.as_deref())),
            _ => now.outcome(),
        };
        let Some(outcome) = outcome else { return Ok(None) };
        if step.is_none() {
            // The log itself is on standard output; this is about it.
            eprintln!("{}", ended_line(now, outcome));
        }
        Ok(Some(failure::outcome_code(outcome).into()))
    }

    /// Prints one log from its first line until it is complete, through as many streams as it takes.
    async fn follow(&self, step: u32, log: &str) -> anyhow::Result<()> {
        let (id, step) = (self.build.to_string(), step.to_string());
        let path = ["builds", &id, "steps", &step, "logs", log, "follow"];
        let mut patience = Patience::default();
        let mut next: u64 = 1;
        loop {
            let opened = self.connection.open(&path, &[("from", next.to_string())]).await;
            let Some(response) = patience.bear(opened).await? else { continue };
            let mut events = Events::new(response);
            while let Some(event) = events.next().await? {
                match event.name.as_str() {
                    "lines" => {
                        let (text, after) = fresh(&event.data, next)?;
                        write(text.as_bytes())?;
                        next = after;
                    }
                    "end" => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct Grown {
    first: u64,
    lines: Vec<String>,
}

/// The text of the lines that were not printed before, and which line is the next.
fn fresh(data: &str, next: u64) -> anyhow::Result<(String, u64)> {
    let grown: Grown = serde_json::from_str(data)
        .map_err(|error| Failure::Broken(format!("the host's stream is not what this release expects: {error}")))?;
    let seen = usize::try_from(next.saturating_sub(grown.first)).unwrap_or(usize::MAX);
    let mut text = String::new();
    for line in grown.lines.iter().skip(seen) {
        text.push_str(line);
        text.push('\n');
    }
    Ok((text, next.max(grown.first.saturating_add(grown.lines.len() as u64))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_come_twice_are_printed_once() {
        let both = r#"{"first":2,"lines":["two","three"]}"#;
        assert_eq!(fresh(both, 2).unwrap(), ("two\nthree\n".to_owned(), 4));
        assert_eq!(fresh(both, 3).unwrap(), ("three\n".to_owned(), 4));
        assert_eq!(fresh(both, 9).unwrap(), (String::new(), 9));
        assert!(fresh("{}", 1).is_err());
    }
}
