//! What `explain` says of a request is true, and fits what happens next: a request starts on a worker only when the reason why it did not is gone.

use std::collections::BTreeMap;

use stampmill_engine::{Explanation, Input};
use stampmill_model::{Build, Request, RequestId, RequestState, WorkerName};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step, allows, turn};
use crate::records::Written;

/// Requests that are asked about after each input, in turn: each answer is a page of text.
const ASKED: usize = 2;

#[derive(Default)]
pub(super) struct Explaining {
    /// What was said after the last input of requests that wait.
    said: BTreeMap<RequestId, Explanation>,
    next: usize,
}

/// Why a worker does not run a request, as the text says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    OnlyAnother,
    NotNamed,
    MissingTags,
    Away,
    WeakTier,
    Declined,
    Locked,
    Full,
    Busy,
}

impl Reason {
    fn read(text: &str) -> Result<Self, String> {
        Ok(match text {
            _ if text.starts_with("the request is only for worker") => Self::OnlyAnother,
            _ if text.starts_with("the builder does not name it") => Self::NotNamed,
            _ if text.starts_with("has no tag") => Self::MissingTags,
            _ if text.starts_with("is not connected") => Self::Away,
            _ if text.starts_with("its isolation is") => Self::WeakTier,
            _ if text.starts_with("declined it") => Self::Declined,
            _ if text.starts_with("waits for lock") => Self::Locked,
            _ if text.starts_with("is free, but the builder") => Self::Full,
            _ if text.starts_with("is free, but the project") => Self::Full,
            _ if text.starts_with("is busy with") => Self::Busy,
            _ => return Err(format!("`{text}` is a reason that the simulation does not know: teach it")),
        })
    }
}

impl Invariant for Explaining {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        let before = std::mem::take(&mut self.said);
        if step.input.is_some() {
            for build in step.started() {
                for request in build.requests() {
                    if let Some(explanation) = before.get(&request) {
                        fits_what_happened(facts, step, explanation, build, request)?;
                    }
                }
            }
        }
        let count = facts.said.pending.len();
        for offset in 0..ASKED.min(count) {
            let Some(request) = facts.said.pending().nth((self.next + offset) % count) else { continue };
            let explanation = step.engine.explain_request(request.id);
            let explanation =
                explanation.ok_or_else(|| format!("request {} waits and has no explanation", request.id))?;
            is_true(facts, request, &explanation)?;
            self.said.insert(request.id, explanation);
        }
        self.next = self.next.wrapping_add(1);
        let started = step.started().take(1);
        let mut shared = started.flat_map(|build| build.requests().map(move |request| (build, request)));
        shared.try_for_each(|(build, request)| names_the_build(facts, step, build, request))
    }
}

fn is_true(facts: &Facts, request: &Request, explanation: &Explanation) -> Finding {
    let id = request.id;
    let ahead = facts.said.pending().filter(|it| it.builder == request.builder && turn(it) < turn(request)).count();
    expect(explanation.position == Some(ahead + 1), || {
        format!("request {id} has {ahead} before it and stands at {:?}", explanation.position)
    })?;
    let Some(builder) = facts.builder(&request.builder) else {
        return expect(explanation.summary.contains("no longer configured"), || {
            format!("request {id}: {explanation:?}")
        });
    };
    let named = explanation.workers.iter().map(|(name, _)| name);
    expect(named.eq(facts.config.workers.iter().map(|worker| &worker.name)), || {
        format!("request {id} is explained for other workers than there are: {explanation:?}")
    })?;
    for (name, text) in &explanation.workers {
        let Some(worker) = facts.worker(name) else { continue };
        let info = facts.connected.get(name);
        let (running, slots) = (facts.said.running_on(name), facts.slots(name));
        let holds = match Reason::read(text)? {
            Reason::OnlyAnother => request.only_worker.as_ref().is_some_and(|only| only != name),
            Reason::NotNamed | Reason::MissingTags => !allows(&builder.workers, worker),
            Reason::Away => info.is_none(),
            Reason::WeakTier => info.is_some_and(|info| info.tier > builder.tier),
            Reason::Declined => facts.is_barred(id, name),
            Reason::Locked => facts.is_locked(request, builder, name, true),
            Reason::Full => facts.is_full(builder) && running < slots,
            Reason::Busy => running >= slots && *text == format!("is busy with {running} of {slots} builds"),
        };
        expect(holds, || format!("request {id} is said not to run on {name} because it {text}, which is not so"))?;
    }
    let has_busy = explanation.workers.iter().any(|(_, text)| text.starts_with("is busy with"));
    let says_full = explanation.summary.contains("as many as it may");
    let says_busy = explanation.summary.contains("is busy");
    expect(says_full == facts.is_full(builder) && (!says_busy || has_busy), || {
        format!("request {id} is summed up as `{}` in {explanation:?}", explanation.summary)
    })
}

/// A request has started though it was said why it could not: the reason must be gone.
fn fits_what_happened(
    facts: &Facts,
    step: &Step<'_>,
    explanation: &Explanation,
    build: &Build,
    request: RequestId,
) -> Finding {
    let worker = &build.worker;
    let Some((_, text)) = explanation.workers.iter().find(|(name, _)| name == worker) else {
        return expect(step.is_configured(), || format!("build {} is on {worker}, which was not explained", build.id));
    };
    let has_connected = matches!(step.input, Some(Input::WorkerConnected { worker: name, .. }) if name == worker);
    let is_gone = match Reason::read(text)? {
        Reason::OnlyAnother => false,
        Reason::NotNamed | Reason::MissingTags => step.is_configured(),
        Reason::Away => has_connected || step.is_configured(),
        Reason::WeakTier => has_connected || step.is_configured(),
        Reason::Declined => !facts.is_barred(request, worker),
        Reason::Locked => step.is_configured() || has_moved(step),
        Reason::Full => {
            step.is_configured()
                || step.left_slots().any(|left| left.builder == build.builder || left.project == build.project)
        }
        Reason::Busy => step.is_configured() || has_connected || has_room_on(step, worker),
    };
    expect(is_gone, || {
        let input = step.input;
        format!("request {request} was said not to run on {worker} because it {text}; it starts there at {input:?}")
    })
}

/// Whether somebody has given a lock back, or no longer stands in line for one.
fn has_moved(step: &Step<'_>) -> bool {
    let has_waited = |before: &Request| before.state == RequestState::Pending;
    let is_away = matches!(step.input, Some(Input::WorkerLeaves { .. } | Input::WorkerLeft { .. }));
    let mut written = step.written.iter();
    is_away
        || step.ended().next().is_some()
        || written.any(|it| matches!(it, Written::Request { before: Some(before), .. } if has_waited(before)))
}

fn has_room_on(step: &Step<'_>, worker: &WorkerName) -> bool {
    step.left_slots().any(|left| left.worker == *worker)
}

fn names_the_build(facts: &Facts, step: &Step<'_>, build: &Build, request: RequestId) -> Finding {
    let Some(explanation) = step.engine.explain_request(request) else {
        let is_over = matches!(facts.said.requests[&request].state, RequestState::Complete { .. });
        return expect(is_over, || format!("request {} is being built and has no explanation", request));
    };
    let (number, worker) = (build.number, &build.worker);
    let holds = explanation.summary.contains(&format!("build {number} "))
        && explanation.summary.contains(&format!("worker `{worker}`"))
        && explanation.position.is_none();
    expect(holds, || format!("build {number} runs on {worker} for request {}: {explanation:?}", request))
}
