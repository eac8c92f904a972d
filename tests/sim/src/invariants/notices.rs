//! Each reporter gets one notice of each thing that it wants to hear of, and it is tried until it is delivered or given up: first failure and end of a
//! buildset, start and end of a build.

use std::collections::{BTreeMap, BTreeSet};

use stampmill_engine::Effect;
use stampmill_engine::config::{OccasionKind, Reporter};
use stampmill_engine::output::{Notice, Subject};
use stampmill_model::{BuilderName, Buildset, BuildsetState, NoticeId};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::{Written, is_dead, is_open};

#[derive(Default)]
pub(super) struct Notices {
    /// Reporter, occasion and subject of each, as words, which have an order.
    made: BTreeMap<String, NoticeId>,
    attempts: BTreeMap<NoticeId, u32>,
    over: BTreeSet<NoticeId>,
    delivered: BTreeSet<NoticeId>,
}

impl Invariant for Notices {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        // What was due still happened under the configuration before.
        if step.was_due && step.is_configured() && step.input.is_some() {
            return Ok(());
        }
        let made: Vec<_> = step.written.iter().filter_map(made).collect();
        let mut wanted = 0;
        for written in step.written {
            for (occasion, subject, builders) in occasions(facts, written) {
                for reporter in facts.config.reporters.iter().filter(|it| wants(it, occasion, &builders)) {
                    wanted += 1;
                    let is_mine =
                        |it: &&Notice| it.reporter == reporter.name && it.occasion == occasion && it.subject == subject;
                    let count = made.iter().copied().filter(is_mine).count();
                    expect(count == 1, || {
                        format!("{} has {count} notices of {occasion:?} of {subject:?}, not one", reporter.name)
                    })?;
                }
            }
        }
        expect(made.len() == wanted, || format!("{} notices were made and {wanted} wanted: {made:?}", made.len()))
    }

    fn committed(&mut self, _: &Facts, written: &[Written]) -> Finding {
        for written in written {
            match written {
                Written::Notice { after, .. } => {
                    let key = format!("{} {:?} {:?}", after.reporter, after.occasion, after.subject);
                    let id = *self.made.entry(key).or_insert(after.id);
                    expect(id == after.id, || format!("notice {} says the same as notice {id}: {after:?}", after.id))?;
                    expect(!self.over.contains(&after.id), || format!("notice {} comes back: {after:?}", after.id))?;
                    if is_dead(after) {
                        self.over.insert(after.id);
                    }
                }
                Written::NoticeDone { id, before } => {
                    expect(before.is_some(), || format!("notice {id} is done and was never stored"))?;
                    expect(self.delivered.contains(id), || format!("notice {id} is done and nobody was told"))?;
                    self.over.insert(*id);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn acted(&mut self, _: &Facts, effect: &Effect) -> Finding {
        let Effect::Report { notice } = effect else { return Ok(()) };
        let last = self.attempts.insert(notice.id, notice.attempt).unwrap_or(0);
        expect(notice.attempt >= last, || {
            format!("notice {} is at try {last} and tried as {}", notice.id, notice.attempt)
        })?;
        self.delivered.insert(notice.id);
        Ok(())
    }

    fn over(&mut self, _: &Facts) -> Finding {
        let open = self.made.values().find(|id| !self.over.contains(id));
        expect(open.is_none(), || format!("notice {open:?} was neither delivered nor given up"))
    }
}

fn made(written: &Written) -> Option<&Notice> {
    match written {
        Written::Notice { before: None, after } => Some(after),
        _ => None,
    }
}

/// What a write means to reporters.
fn occasions(facts: &Facts, written: &Written) -> Vec<(OccasionKind, Subject, Vec<BuilderName>)> {
    let mut occasions = Vec::new();
    match written {
        Written::Build { before, after } => {
            let (subject, builders) = (Subject::Build(after.id), vec![after.builder.clone()]);
            if before.is_none() {
                occasions.push((OccasionKind::BuildStarted, subject, builders.clone()));
            }
            if !is_open(after) {
                occasions.push((OccasionKind::BuildFinished, subject, builders));
            }
        }
        Written::Buildset { before, after } => {
            let requests = after.requests.iter().filter_map(|id| facts.said.requests.get(id));
            let builders: Vec<_> = requests.map(|request| request.builder.clone()).collect();
            let subject = Subject::Buildset(after.id);
            if fails(after) && !before.as_ref().is_some_and(|before| fails(before)) {
                occasions.push((OccasionKind::FirstFailure, subject, builders.clone()));
            }
            if matches!(after.state, BuildsetState::Finished { .. }) {
                occasions.push((OccasionKind::BuildsetFinished, subject, builders));
            }
        }
        _ => {}
    }
    occasions
}

fn fails(set: &Buildset) -> bool {
    match set.state {
        BuildsetState::Open { will_fail } => will_fail,
        BuildsetState::Finished { outcome, .. } => !outcome.is_good(),
    }
}

fn wants(reporter: &Reporter, occasion: OccasionKind, builders: &[BuilderName]) -> bool {
    reporter.on.contains(&occasion)
        && (reporter.builders.is_empty() || builders.iter().any(|builder| reporter.builders.contains(builder)))
}
