//! Drives one build from its order to its end. It knows nothing of the connection: it writes into its journal, and is told what people want of
//! it through a [`Demand`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use stampmill_job::{Next, Runner, WorkerFacts};
use stampmill_model::{BuildEvent, BuildOrder, Outcome, TriggerWish, Wall};
use stampmill_protocol::SecretValue;
use stampmill_protocol::limits::{LINE_BYTES_MAX, TRIGGERS_MAX};
use stampmill_runtime::Fault;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::agent::{Shared, Triggers};
use crate::convert::event_to_wire;
use crate::journal::{Journal, JournalError};
use crate::logs::StepLogs;
use crate::mask::Patterns;
use crate::step::{self, Ended, Stop};
use crate::workdir::WorkDirectory;

/// What is wanted of a running build. A later variant overrides an earlier one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Demand {
    /// That it goes on.
    #[default]
    GoOn,
    /// That it ends; steps that always run are run.
    Cancel { reason: String },
    /// That it ends at once.
    CancelNow { reason: String },
    /// That it ends at once, to be tried again: the worker stops.
    Abandon { reason: String },
    /// That it ends at once, and nobody wants to hear of it.
    Forget,
}

/// What the agent tells a running build.
pub(crate) struct Told {
    /// What is wanted of it.
    pub(crate) demand: watch::Receiver<Demand>,
    /// What became of the buildsets that its steps have asked for.
    pub(crate) triggers: watch::Receiver<Triggers>,
    /// The last step that has got its locks.
    pub(crate) unlocked: watch::Receiver<Option<u32>>,
}

/// What all steps of a build share. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    agent: Arc<Shared>,
    journal: Arc<Journal>,
    runner: Mutex<Runner>,
    secrets: BTreeMap<String, SecretValue>,
    patterns: Arc<Patterns>,
    work: WorkDirectory,
    /// How many buildsets its steps have asked for.
    triggered: Mutex<u32>,
    /// What became of them.
    triggers: watch::Receiver<Triggers>,
}

impl Context {
    pub(crate) fn agent(&self) -> &Shared {
        &self.inner.agent
    }

    pub(crate) fn secrets(&self) -> &BTreeMap<String, SecretValue> {
        &self.inner.secrets
    }

    pub(crate) fn work_directory(&self) -> &Path {
        self.inner.work.path()
    }

    pub(crate) fn work(&self) -> &WorkDirectory {
        &self.inner.work
    }

    pub(crate) fn runner(&self) -> MutexGuard<'_, Runner> {
        self.inner.runner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self, event: BuildEvent) -> Result<(), JournalError> {
        self.inner.journal.tell(event_to_wire(event))
    }

    pub(crate) fn logs(&self, step: u32) -> StepLogs {
        let inner = &self.inner;
        let limit = inner.agent.config.limits.output_bytes;
        StepLogs::new(Arc::clone(&inner.journal), step, Arc::clone(&inner.patterns), limit)
    }

    /// Asks the host for a buildset; answers the number of the wish.
    pub(crate) fn trigger(&self, step: u32, wish: impl FnOnce(u32) -> TriggerWish) -> Result<u32, Fault> {
        let mut triggered = self.inner.triggered.lock().unwrap_or_else(PoisonError::into_inner);
        let number = *triggered;
        if number >= TRIGGERS_MAX {
            return Err(Fault::Refused(format!(
                "the steps of this build have triggered {TRIGGERS_MAX} buildsets already"
            )));
        }
        let (wish, build) = (Box::new(wish(number)), self.inner.journal.build());
        // First: the host may give the slot away as soon as it knows of the wish.
        self.agent().asks(build, number, Some(&wish));
        if let Err(error) = self.tell(BuildEvent::Triggered { step, wish }) {
            self.agent().asks(build, number, None);
            return Err(Fault::unavailable(error.to_string()));
        }
        // Only now: the host knows the wishes by their row.
        *triggered += 1;
        Ok(number)
    }

    /// The buildsets that were asked for, and what became of them.
    pub(crate) fn triggers(&self) -> watch::Receiver<Triggers> {
        self.inner.triggers.clone()
    }

    /// A text without secrets.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.inner.patterns.mask(text)
    }

    /// A text as one line that can be shown: without secrets, cut to the longest that is told.
    pub(crate) fn one_line(&self, text: &str) -> String {
        one_line(&self.inner.patterns.mask(text))
    }

    /// A value without secrets in its texts.
    pub(crate) fn mask_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.inner.patterns.mask(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.mask_value(item)).collect(),
            Value::Object(fields) => {
                let masked = |(key, field): (String, Value)| (self.inner.patterns.mask(&key), self.mask_value(field));
                Value::Object(fields.into_iter().map(masked).collect())
            }
            other => other,
        }
    }
}

/// Runs a build to its end and tells everything but its acceptance.
#[tracing::instrument(target = "stampmill::stage", name = "build", level = "debug", skip_all)]
pub(crate) async fn drive(
    agent: Arc<Shared>,
    journal: Arc<Journal>,
    order: Arc<BuildOrder>,
    secrets: BTreeMap<String, SecretValue>,
    mut told: Told,
) {
    let work = match agent.work.take(&order.build.builder) {
        Ok(work) => work,
        Err(error) => {
            let summary = format!("the work directory cannot be made: {error}");
            end(&journal, Ended { outcome: Outcome::Exception, summary, program: None });
            return;
        }
    };
    let worker = WorkerFacts::new(order.build.worker.clone(), &agent.info);
    let patterns = Arc::new(Patterns::new(secrets.values().map(SecretValue::reveal)));
    let context = Context {
        inner: Arc::new(Inner {
            agent,
            journal,
            runner: Mutex::new(Runner::start(Arc::clone(&order), worker)),
            secrets,
            patterns,
            work,
            triggered: Mutex::new(0),
            triggers: told.triggers.clone(),
        }),
    };
    let done = steps(&context, &order, &mut told).await;
    context.work().empty_when_overfull().await;
    let done = match done {
        Ok(done) => done,
        Err(JournalError::Closed) => return,
        Err(error) => Ended { outcome: Outcome::Exception, summary: error.to_string(), program: None },
    };
    let summary = context.one_line(&done.summary);
    end(&context.inner.journal, Ended { summary, ..done });
}

fn end(journal: &Journal, Ended { outcome, summary, program }: Ended) {
    let finished = BuildEvent::Finished { outcome, summary: one_line(&summary), at: now(), program };
    match journal.tell(event_to_wire(finished)) {
        Ok(()) | Err(JournalError::Closed) => {}
        Err(error) => tracing::error!(build = journal.build(), %error, "the end of a build cannot be recorded"),
    }
}

async fn steps(context: &Context, order: &BuildOrder, told: &mut Told) -> Result<Ended, JournalError> {
    // How the last program of each step ended.
    let mut programs = BTreeMap::new();
    loop {
        let wanted = told.demand.borrow_and_update().clone();
        heed(context, &wanted);
        let next = context.runner().next_step();
        match next {
            Next::Run { step, config } => {
                let plan = &order.job.steps[step as usize];
                let ended = match unlocked(context, step, plan, (&wanted, &mut *told)).await? {
                    Some(reason) => {
                        let summary = context.one_line(&reason);
                        Ended { outcome: Outcome::Cancelled, summary, program: None }
                    }
                    None => {
                        context.tell(BuildEvent::StepStarted { step, at: now() })?;
                        attended(context, step, plan, config, &mut told.demand).await
                    }
                };
                context.tell(BuildEvent::StepFinished {
                    step,
                    outcome: ended.outcome,
                    summary: ended.summary.clone(),
                    at: now(),
                })?;
                programs.insert(step, ended.program);
                context.runner().finished(step, ended.outcome, &ended.summary);
            }
            Next::PassOver { step, outcome, reason } => {
                if outcome == Outcome::Exception {
                    let logs = context.logs(step);
                    if let Err(fault) = logs.line(step::ERROR_LOG, &reason).await {
                        tracing::warn!(%fault, "a step's error cannot be recorded in its log");
                    }
                    logs.flush().await?;
                }
                context.tell(BuildEvent::StepFinished {
                    step,
                    outcome,
                    summary: context.one_line(&reason),
                    at: now(),
                })?;
            }
            Next::Done { outcome, summary } => {
                let decisive = context.runner().decisive();
                let program = decisive.and_then(|step| programs.get(&step).copied().flatten());
                return Ok(Ended { outcome, summary, program });
            }
        }
    }
}

/// Waits until a step has its locks; why it will not have them, when more is wanted of the build meanwhile than is known.
async fn unlocked(
    context: &Context,
    number: u32,
    plan: &stampmill_model::StepPlan,
    (known, told): (&Demand, &mut Told),
) -> Result<Option<String>, JournalError> {
    if plan.locks.is_empty() {
        return Ok(None);
    }
    context.tell(BuildEvent::LocksWanted { step: number })?;
    tokio::select! {
        biased;
        wanted = told.demand.wait_for(|wanted| wanted > known) => {
            let wanted = wanted.map_or(Demand::Forget, |wanted| wanted.clone());
            heed(context, &wanted);
            Ok(Some("not begun: it waited for its locks".to_owned()))
        }
        taken = told.unlocked.wait_for(|step| *step == Some(number)) => {
            Ok(taken.is_err().then(|| "not begun: nobody is there to give it its locks".to_owned()))
        }
    }
}

/// Puts what is wanted to the runner, once for each change.
fn heed(context: &Context, wanted: &Demand) {
    let mut runner = context.runner();
    match wanted {
        Demand::GoOn => {}
        Demand::Cancel { reason } if runner.outcome() != Outcome::Cancelled => runner.cancel(reason),
        Demand::Cancel { .. } => {}
        Demand::CancelNow { reason } => {
            runner.cancel(reason);
            runner.cancel(reason);
        }
        Demand::Abandon { reason } => runner.abandon(reason),
        Demand::Forget => runner.abandon("nobody wants this build any more"),
    }
}

/// Runs a step while watching what is wanted of the build.
async fn attended(
    context: &Context,
    number: u32,
    plan: &stampmill_model::StepPlan,
    config: Value,
    demand: &mut watch::Receiver<Demand>,
) -> Ended {
    let stop = Stop { asked: CancellationToken::new(), now: CancellationToken::new() };
    let mut running = std::pin::pin!(step::run(context, number, plan, config, &stop));
    loop {
        tokio::select! {
            ended = &mut running => return ended,
            changed = demand.changed() => {
                let wanted = match changed {
                    Ok(()) => demand.borrow_and_update().clone(),
                    // The agent is gone.
                    Err(_) => Demand::Forget,
                };
                heed(context, &wanted);
                match wanted {
                    Demand::GoOn => {}
                    Demand::Cancel { .. } | Demand::Abandon { .. } => stop.asked.cancel(),
                    Demand::CancelNow { .. } | Demand::Forget => stop.now.cancel(),
                }
                if changed.is_err() {
                    return running.await;
                }
            }
        }
    }
}

/// The wall clock, for people.
pub(crate) fn now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A text as one line of at most [`LINE_BYTES_MAX`] bytes.
pub(crate) fn one_line(text: &str) -> String {
    let mut line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > LINE_BYTES_MAX {
        let mut end = LINE_BYTES_MAX - 3;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push('…');
    }
    line
}
