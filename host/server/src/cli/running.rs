//! `run`: a job on this machine, without a server, in the same sandbox. The engine makes the one build, the worker's library drives it.

mod order;
mod sources;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sha2::{Digest as _, Sha256};
use stampmill_agent::{Allow, Alone, Told, WorkerConfig};
use stampmill_model::{BuildEvent, BuildOrder, Outcome, StepPlan};
use stampmill_sandbox::Helper;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use self::order::WORKER;
use super::arguments::RunArgs;
use super::failure::{self, Failure};
use super::output::{clean, colour, write};
use crate::config::{self, Loaded, did_you_mean};
use crate::secrets;

/// Runs a job; the exit code says how it ended.
pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.clone();
    let loaded = tokio::task::spawn_blocking(move || config::load(&path)).await??;
    for warning in &loaded.warnings {
        eprint!("{}", warning.render(colour()));
    }
    let Some(job) = loaded.jobs.get(&args.job) else {
        let mend = did_you_mean(&args.job, "jobs", loaded.jobs.keys().map(String::as_str));
        return Err(Failure::refused(format!("{} has no job `{}`; {mend}", loaded.path.display(), clean(&args.job))));
    };
    let state = match args.data {
        Some(data) => std::path::absolute(data)?,
        None => state_directory(&loaded.path)?,
    };
    let plan = order::plan(&loaded, job);
    let trees = sources::work_trees(&plan.codebases, &args.dirs)?;
    let mut worker = WorkerConfig::new(WORKER, "", "", &state);
    // What the configuration grants is what its owner, who sits here, wants.
    worker.allow = Allow::everything();
    let alone = Alone::open(worker, Helper::this_program()).await?;
    let (stamps, read) = sources::stamps(&plan.codebases, trees, &state, &loaded.data).await?;
    let order = plan.order(stamps, &read, args.properties)?;
    let secrets = secrets::of_build(&loaded, &order);
    let mut screen = Screen::new(&order);
    let component = |digest: &str| component(&loaded, digest);
    let cancel = interrupts()?;
    let told = |told| screen.show(told);
    alone.run(order, secrets, component, cancel, told).await?;
    screen.end()
}

fn component(loaded: &Loaded, digest: &str) -> Option<Vec<u8>> {
    loaded.plugins.values().find(|plugin| *plugin.digest.0 == *digest).map(|plugin| plugin.bytes.to_vec())
}

/// Work directories and compiled plugins are kept from run to run, one place for each configuration.
fn state_directory(config: &Path) -> anyhow::Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    let cache = cache.ok_or_else(|| {
        Failure::refused(
            "neither HOME nor XDG_CACHE_HOME says where to keep work directories; name a place with --data",
        )
    })?;
    let config = config.canonicalize()?;
    let name = hex::encode(&Sha256::digest(config.as_os_str().as_encoded_bytes())[..8]);
    Ok(cache.join("stampmill").join("run").join(name))
}

/// A reason to end for each Ctrl-C and SIGTERM.
fn interrupts() -> anyhow::Result<mpsc::Receiver<String>> {
    let (sender, receiver) = mpsc::channel(2);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut asked = 0_u32;
        loop {
            let reason = tokio::select! {
                _ = interrupt.recv() => "Ctrl-C",
                _ = terminate.recv() => "SIGTERM",
            };
            asked += 1;
            let more = if asked == 1 { "; steps that always run go on, once more ends them" } else { "" };
            eprintln!("ending{more}");
            if sender.send(reason.to_owned()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// What is seen of a build: logs are on standard output, all about them on standard error.
struct Screen {
    job: String,
    steps: Vec<String>,
    /// The log whose lines are shown.
    shown: Option<(u32, String)>,
    /// Whether the last line shown has no end yet.
    open_line: bool,
    /// The first that went wrong with standard output.
    unwritten: Option<anyhow::Error>,
    ended: Option<Outcome>,
}

impl Screen {
    fn new(order: &BuildOrder) -> Self {
        let name = |step: &StepPlan| clean(&step.name);
        Self {
            job: clean(&order.job.name),
            steps: order.job.steps.iter().map(name).collect(),
            shown: None,
            open_line: false,
            unwritten: None,
            ended: None,
        }
    }

    fn show(&mut self, told: Told) {
        match told {
            Told::Log { step, log, bytes } => self.log(step, log, &bytes),
            Told::Event(BuildEvent::StepFinished { step, outcome, summary, .. }) => {
                self.about(&format!("{}: {outcome}{}", self.step(step), said(&summary)));
            }
            Told::Event(BuildEvent::Finished { outcome, summary, .. }) => {
                self.about(&format!("job {}: {outcome}{}", self.job, said(&summary)));
                self.ended = Some(outcome);
            }
            Told::Event(BuildEvent::Declined { reason }) => {
                self.about(&format!("job {} can't be run here: {}", self.job, clean(&reason)));
            }
            Told::Event(
                BuildEvent::Accepted
                | BuildEvent::LocksWanted { .. }
                | BuildEvent::StepStarted { .. }
                | BuildEvent::StepSummary { .. }
                | BuildEvent::LogOpened { .. }
                | BuildEvent::PropertySet { .. }
                | BuildEvent::NetworkTried { .. }
                | BuildEvent::Triggered { .. },
            ) => {}
        }
    }

    fn log(&mut self, step: u32, log: String, bytes: &[u8]) {
        let shown = Some((step, log));
        if self.shown != shown {
            if let Some((step, log)) = &shown {
                self.about(&format!("=== {} ({}) ===", self.step(*step), clean(log)));
            }
            self.shown = shown;
        }
        self.open_line = bytes.last().is_some_and(|last| *last != b'\n');
        self.write(bytes);
    }

    /// A line about the build.
    fn about(&mut self, line: &str) {
        if std::mem::take(&mut self.open_line) {
            self.write(b"\n");
        }
        // Nobody is left to be told that standard error is closed.
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    /// The build goes on when nobody reads it.
    fn write(&mut self, bytes: &[u8]) {
        if self.unwritten.is_none() {
            self.unwritten = write(bytes).err();
        }
    }

    fn step(&self, number: u32) -> &str {
        self.steps.get(number as usize).map_or("?", String::as_str)
    }

    fn end(self) -> anyhow::Result<ExitCode> {
        match (self.ended, self.unwritten) {
            (None, _) => Ok(failure::UNAVAILABLE.into()),
            (Some(outcome), None) => Ok(failure::outcome_code(outcome).into()),
            (Some(outcome), Some(error)) => match error.downcast_ref::<Failure>() {
                Some(Failure::NobodyReads) => Ok(failure::outcome_code(outcome).into()),
                _ => Err(error),
            },
        }
    }
}

fn said(summary: &str) -> String {
    let summary = clean(summary);
    if summary.is_empty() { summary } else { format!(": {summary}") }
}
