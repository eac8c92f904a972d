//! After the faults: no more new work, everybody does their part, and everything that was asked for must end.

use std::sync::Arc;

use stampmill_engine::config::ChangeSourceKind;
use stampmill_engine::output::SchedulerState;
use stampmill_engine::{Config, Engine, Input};
use stampmill_model::{Milliseconds, RequestState, SchedulerName};

use super::{Simulation, store};
use crate::facts::takes_changes;
use crate::invariants::Violation;
use crate::people;
use crate::records::is_dead;
use crate::workers::Machine;

/// Rounds after the faults within which everything must finish. Each goes to the next deadline, so that it is a matter of tries, not of time.
const CALM_ROUNDS: usize = 400;

impl Simulation<'_> {
    /// No more faults, no more new work: everybody does their part, and everything that was asked for must end.
    pub(super) fn calm_down(&mut self) -> Result<(), Violation> {
        self.facts.faults = false;
        self.shown.event(|| "the faults stop".to_owned());
        let calm = self.house.calm(&mut self.dice);
        self.inbox.clear();
        self.facts.config = Arc::new(calm.clone());
        self.crash()?;
        for _ in 0..CALM_ROUNDS {
            self.calm_round()?;
            if self.is_done() {
                return self.come_to_rest(calm);
            }
        }
        Err(Violation { invariant: "after the faults everything finishes", what: self.left_over() })
    }

    fn calm_round(&mut self) -> Result<(), Violation> {
        for index in 0..self.machines.len() {
            self.link(index);
            (0..8).for_each(|_| self.work_on(index));
        }
        for _ in 0..=self.forge.mail.len() {
            self.inbox.extend(self.forge.answer(&mut self.dice, false));
        }
        let reply = self.reply();
        self.inbox.extend(self.forge.deliver(&mut self.dice, reply));
        if let Some(request) = people::awaiting(&mut self.dice, &self.facts) {
            let (reply, by) = (self.reply(), "ann".to_owned());
            self.inbox.push_back(Input::ApprovalGiven { request, approved: true, by, reply });
        }
        let is_idle = self.inbox.is_empty() && self.machines.iter().all(Machine::is_quiet);
        while !self.inbox.is_empty() {
            self.turn()?;
        }
        if let Some(at) = self.engine.next_deadline().filter(|_| is_idle) {
            self.advance(Milliseconds(at.0.saturating_sub(self.facts.now.steady.0)));
        }
        self.turn()
    }

    /// Whether there is nothing left that anybody would miss.
    fn is_done(&self) -> bool {
        let durable = &self.facts.disk.durable;
        let waits = |state: &SchedulerState| state.batches.iter().any(|it| it.fires_at.is_some());
        let schedulers = &self.facts.config.schedulers;
        let fires = |name: &SchedulerName| schedulers.iter().any(|it| it.name == *name && takes_changes(&it.kind));
        durable.open_buildsets.is_empty()
            && self.forge.is_quiet()
            && self.machines.iter().all(Machine::is_quiet)
            && durable.changes.values().all(|change| change.decided)
            && durable.notices.values().all(is_dead)
            && !durable.schedulers.iter().any(|(name, state)| fires(name) && waits(state))
            && self.is_polled()
    }

    fn is_polled(&self) -> bool {
        let pollers = self
            .facts
            .config
            .change_sources
            .iter()
            .filter(|source| matches!(source.kind, ChangeSourceKind::Poller { .. }));
        let mut ends = pollers.map(|source| {
            let pushed = self.facts.pushed.get(&source.name).map_or(0, Vec::len);
            let cursor = self.facts.disk.durable.cursors.get(&source.name);
            pushed == 0 || cursor.is_some_and(|cursor| *cursor == pushed.to_string())
        });
        ends.all(|end| end)
    }

    /// Without pollers, whose work never ends, a start finds nothing to do.
    fn come_to_rest(&mut self, mut calm: Config) -> Result<(), Violation> {
        calm.change_sources.clear();
        let durable = &self.facts.disk.durable;
        self.work.builds = durable.builds.len() as u64;
        self.work.again = durable.builds.values().filter(|build| build.attempt > 1).count() as u64;
        let (snapshot, _) = self.facts.disk.load().map_err(store)?;
        let (engine, outputs) = Engine::new(Arc::new(calm), snapshot, self.facts.now);
        if outputs.is_empty() && engine.next_deadline().is_none() {
            return Ok(());
        }
        let what = format!("a start finds this to do: {outputs:?}, until {:?}", engine.next_deadline());
        Err(Violation { invariant: "after the faults everything finishes", what })
    }

    fn left_over(&self) -> String {
        let durable = &self.facts.disk.durable;
        let requests = durable.requests.values().filter(|it| !matches!(it.state, RequestState::Complete { .. }));
        let requests: Vec<_> =
            requests.map(|it| (it.id, it.state.clone(), self.engine.explain_request(it.id))).collect();
        let undecided: Vec<_> = durable.changes.values().filter(|it| !it.decided).map(|it| it.id).collect();
        let notices: Vec<_> = durable.notices.values().filter(|it| !is_dead(it)).collect();
        let busy: Vec<_> = self.machines.iter().filter(|machine| !machine.is_quiet()).collect();
        format!(
            "requests {requests:?}, undecided changes {undecided:?}, notices {notices:?}, answers {:?}, schedulers {:?}, polled {}, machines {busy:?}",
            self.forge.mail,
            durable.schedulers,
            self.is_polled()
        )
    }
}
