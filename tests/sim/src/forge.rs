//! The world outside: repositories that are polled, forges that call, plugins that answer, reporters that are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_engine::config::ChangeSourceKind;
use stampmill_engine::input::{Polled, Trouble};
use stampmill_engine::output::Notice;
use stampmill_engine::{Input, ReplyTo};
use stampmill_model::{Change, ChangeSourceName, Milliseconds, RequestId, SchedulerName, SeenChange, Verdict};

use crate::configuration::{branch, repository};
use crate::dice::Dice;
use crate::facts::Facts;

/// Revisions that one poll brings at most.
const POLLED_MOST: usize = 3;

/// What the plugins and their surroundings have.
#[derive(Debug, Default)]
pub(crate) struct Forge {
    /// Answers that are under way, in no order.
    pub(crate) mail: Vec<Input>,
    /// Deliveries of hooks that nobody has answered yet.
    deliveries: Vec<Delivery>,
    waiting: BTreeMap<ReplyTo, (ChangeSourceName, String)>,
    revisions: usize,
}

#[derive(Clone, Debug)]
struct Delivery {
    source: ChangeSourceName,
    id: String,
    changes: Vec<SeenChange>,
}

impl Forge {
    /// The host is gone, and the calls of plugins with it.
    pub(crate) fn host_died(&mut self) {
        self.mail.clear();
        self.waiting.clear();
    }

    /// Whether every answer has come and every delivery was taken.
    pub(crate) fn is_quiet(&self) -> bool {
        self.mail.is_empty() && self.deliveries.is_empty()
    }

    /// Somebody pushes to the repository of a source.
    pub(crate) fn push(&mut self, dice: &mut Dice, facts: &mut Facts, codebases: &[String]) {
        let Some(source) = facts.config.change_sources.get(dice.roll(facts.config.change_sources.len())) else {
            return;
        };
        let (name, kind) = (source.name.clone(), source.kind);
        let count = 1 + dice.roll(3);
        let changes: Vec<_> = (0..count).map(|_| self.change(dice, codebases)).collect();
        match kind {
            ChangeSourceKind::Poller { .. } => facts.pushed.entry(name).or_default().extend(changes),
            ChangeSourceKind::Hook => {
                let id = format!("d{}", self.revisions);
                self.deliveries.push(Delivery { source: name, id, changes });
            }
        }
    }

    fn change(&mut self, dice: &mut Dice, codebases: &[String]) -> SeenChange {
        self.revisions += 1;
        let codebase = if dice.one_in(15) { "stranger" } else { dice.pick(codebases).as_str() };
        SeenChange {
            author: (*dice.pick(&["ann", "bob", "eve"])).to_owned(),
            repository: repository(codebase),
            revision: Some(format!("r{}", self.revisions)),
            branch: branch(dice),
            ..SeenChange::default()
        }
    }

    /// A change that a person sends by hand.
    pub(crate) fn change_by_hand(&mut self, dice: &mut Dice, codebases: &[String]) -> SeenChange {
        self.change(dice, codebases)
    }

    /// A forge calls a hook, for the first time or again.
    pub(crate) fn deliver(&mut self, dice: &mut Dice, reply: ReplyTo) -> Option<Input> {
        let Delivery { source, id, changes } = self.deliveries.get(dice.roll(self.deliveries.len()))?.clone();
        self.waiting.insert(reply, (source.clone(), id.clone()));
        Some(Input::Received { source, delivery: Some(id), changes, reply })
    }

    /// The host has answered: a delivery that was taken is not repeated, unless the answer is lost.
    pub(crate) fn answered(&mut self, dice: &mut Dice, facts: &mut Facts, reply: ReplyTo, is_taken: bool) {
        let Some((source, id)) = self.waiting.remove(&reply) else { return };
        let is_lost = facts.faults && dice.one_in(8);
        if is_taken
            && !is_lost
            && let Some(position) = self.deliveries.iter().position(|it| it.source == source && it.id == id)
        {
            let delivery = self.deliveries.swap_remove(position);
            facts.pushed.entry(source).or_default().extend(delivery.changes);
        }
    }

    /// A poller looks at its repository.
    pub(crate) fn polled(
        &mut self,
        dice: &mut Dice,
        facts: &Facts,
        source: ChangeSourceName,
        cursor: Option<&str>,
        attempt: u64,
    ) {
        let pushed = facts.pushed.get(&source).map_or(&[][..], Vec::as_slice);
        let from = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(0).min(pushed.len());
        let to = pushed.len().min(from + POLLED_MOST);
        let changes = pushed[from..to].to_vec();
        let polled = Polled { changes, cursor: to.to_string(), more: to < pushed.len() };
        let result = trouble(dice, facts.faults).map_or(Ok(polled), Err);
        self.mail.push(Input::Polled { source, attempt, result });
    }

    /// The codebase generator looks at a change.
    pub(crate) fn codebase(&mut self, dice: &mut Dice, facts: &Facts, change: &Arc<Change>, codebases: &[String]) {
        let found = codebases.iter().find(|codebase| repository(codebase) == change.seen.repository).cloned();
        let result = trouble(dice, facts.faults).map_or(Ok(found), Err);
        self.mail.push(Input::CodebaseFound { change: change.id, result });
    }

    /// The filters of a scheduler look at a change.
    pub(crate) fn judged(&mut self, dice: &mut Dice, facts: &Facts, scheduler: SchedulerName, change: &Arc<Change>) {
        let filters = facts.config.schedulers.iter().find(|it| it.name == scheduler).map_or(0, |it| it.filters);
        let verdicts = [Verdict::Important, Verdict::Important, Verdict::Unimportant, Verdict::Ignored];
        let judgements = (0..filters).map(|_| (*dice.pick(&verdicts), String::new())).collect();
        let result = trouble(dice, facts.faults).map_or(Ok(judgements), Err);
        self.mail.push(Input::Judged { scheduler, change: change.id, result });
    }

    /// The merge plugin of a builder looks at a request.
    pub(crate) fn merge_key(&mut self, dice: &mut Dice, facts: &Facts, request: RequestId) {
        let key = *dice.pick(&[None, Some("a"), Some("a"), Some("b")]);
        let result = trouble(dice, facts.faults).map_or(Ok(key.map(str::to_owned)), Err);
        // An answer may be lost, as when the host is loaded anew.
        if !(facts.faults && dice.one_in(12)) {
            self.mail.push(Input::MergeKeyFound { request, result });
        }
    }

    /// A reporter is told. It may have heard even when it does not say so.
    pub(crate) fn told(&mut self, dice: &mut Dice, facts: &Facts, notice: &Notice) {
        let result = trouble(dice, facts.faults).map_or(Ok(()), Err);
        self.mail.push(Input::Reported { notice: notice.id, attempt: notice.attempt, result });
    }

    /// One of the answers arrives; with faults on it may come again.
    pub(crate) fn answer(&mut self, dice: &mut Dice, faults: bool) -> Option<Input> {
        if self.mail.is_empty() {
            return None;
        }
        let index = dice.roll(self.mail.len());
        Some(if faults && dice.one_in(8) { self.mail[index].clone() } else { self.mail.swap_remove(index) })
    }
}

/// What a plugin says instead of its answer: it traps, refuses, or the world it needs is away.
fn trouble(dice: &mut Dice, faults: bool) -> Option<Trouble> {
    let (message, retry) = match dice.roll(16) {
        0 if faults => ("trapped", false),
        1 if faults => ("refused", false),
        2 | 3 if faults => ("unavailable", true),
        _ => return None,
    };
    let retry_after = dice.one_in(4).then(|| Milliseconds::from_seconds(dice.between(1, 30)));
    Some(Trouble { message: message.to_owned(), retry, retry_after })
}
