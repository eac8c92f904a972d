//! What must hold, one file each. Another one is a file and a line in [`INVARIANTS`].

mod answers;
mod attempts;
mod buildsets;
mod cancellations;
mod changes;
mod commits;
mod effects;
mod events;
mod explaining;
mod external_ids;
mod failing;
mod following;
mod limits;
mod loading;
mod locks;
mod merge_keys;
mod merged;
mod notices;
mod pinging;
mod queue;
mod requests;
mod retrying;
mod shares;
mod step_locks;
mod superseded;
mod superseding;
mod triggers;

use stampmill_engine::Effect;

use crate::facts::{Facts, Step};
use crate::records::Written;

/// What an invariant says: nothing, or what is broken.
pub(crate) type Finding = Result<(), String>;

/// Something that must hold. Each method is called at one kind of moment; an invariant looks at those that it needs.
pub(crate) trait Invariant {
    /// The engine has handled an input, or was loaded; nothing of it is durable yet. The facts are those afterwards.
    fn handled(&mut self, _: &Facts, _: &Step<'_>) -> Finding {
        Ok(())
    }

    /// Writes have become durable.
    fn committed(&mut self, _: &Facts, _: &[Written]) -> Finding {
        Ok(())
    }

    /// An effect is about to happen.
    fn acted(&mut self, _: &Facts, _: &Effect) -> Finding {
        Ok(())
    }

    /// The faults have stopped and everything has finished.
    fn over(&mut self, _: &Facts) -> Finding {
        Ok(())
    }
}

type Maker = fn() -> Box<dyn Invariant>;

/// All of them, by name. Beside these a run breaks off when the engine panics, finds its own state unsound, does not finish after the faults, or when
/// the real store hands out something else than was written.
const INVARIANTS: &[(&str, Maker)] = &[
    ("every commit is taken once", || Box::<commits::Commits>::default()),
    ("nothing accepted is lost", || Box::<changes::Changes>::default()),
    ("no request is built twice at once, or to its end twice", || Box::<requests::Requests>::default()),
    ("a build's attempt only grows", || Box::<attempts::Attempts>::default()),
    ("a buildset is complete exactly when its requests are", || Box::new(buildsets::Buildsets)),
    ("notices are made once and delivered", || Box::<notices::Notices>::default()),
    ("effects happen after their writes", || Box::new(effects::Effects)),
    ("limits are never exceeded", || Box::new(limits::Limits)),
    ("the earliest that can start starts", || Box::new(queue::Queue)),
    ("the project that has had least for its shares is served", || Box::<shares::Shares>::default()),
    ("requests that share a build are alike, and share its end", || Box::new(merged::Merged)),
    ("nobody is merged over what a merge plugin has said", || Box::<merge_keys::MergeKeys>::default()),
    ("a superseded buildset is one that other versions have answered", || Box::<superseded::Superseded>::default()),
    ("a set is cancelled for a newer one exactly where that replaces it", || Box::new(superseding::Superseding)),
    ("a set that has failed is cancelled where its scheduler wants that", || Box::new(failing::Failing)),
    ("a build that has failed is tried again where its builder lists the cause", || Box::new(retrying::Retrying)),
    ("a set that has passed is followed once", || Box::<following::Following>::default()),
    ("a project is built once in a wave, after what it depends on", || Box::<pinging::Pinging>::default()),
    ("what a build triggers is made once, told to its worker, and ends with it", || Box::new(triggers::Triggers)),
    ("locks are never over-held, and nobody takes one out of turn", || Box::new(locks::Locks)),
    ("steps take their locks at once and in turn, and give them back", || Box::new(step_locks::StepLocks)),
    ("a doubled, foreign or gapped event changes nothing", || Box::new(events::Events)),
    ("a cancellation reaches its worker", || Box::new(cancellations::Cancellations)),
    ("an external id has one open buildset", || Box::new(external_ids::ExternalIds)),
    ("every wish is answered once", || Box::new(answers::Answers)),
    ("a start finds what was stored", || Box::new(loading::Loading)),
    ("explain never disagrees with what happens next", || Box::<explaining::Explaining>::default()),
];

/// A promise that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

/// The invariants of one run, with what they remember.
pub(crate) struct Invariants(Vec<(&'static str, Box<dyn Invariant>)>);

impl Invariants {
    pub(crate) fn new() -> Self {
        Self(INVARIANTS.iter().map(|(name, make)| (*name, make())).collect())
    }

    fn each(&mut self, mut ask: impl FnMut(&mut dyn Invariant) -> Finding) -> Result<(), Violation> {
        self.0.iter_mut().try_for_each(|(invariant, it)| ask(it.as_mut()).map_err(|what| Violation { invariant, what }))
    }

    pub(crate) fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Result<(), Violation> {
        self.each(|it| it.handled(facts, step))
    }

    pub(crate) fn committed(&mut self, facts: &Facts, written: &[Written]) -> Result<(), Violation> {
        self.each(|it| it.committed(facts, written))
    }

    pub(crate) fn acted(&mut self, facts: &Facts, effect: &Effect) -> Result<(), Violation> {
        self.each(|it| it.acted(facts, effect))
    }

    pub(crate) fn over(&mut self, facts: &Facts) -> Result<(), Violation> {
        self.each(|it| it.over(facts))
    }
}

/// Nothing, if it holds.
pub(crate) fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Finding {
    if holds { Ok(()) } else { Err(otherwise()) }
}
