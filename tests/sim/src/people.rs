//! People and programs, who ask for all sorts of things, sensible or not.

use stampmill_engine::input::{Force, Rebuild, Submission};
use stampmill_engine::{Input, ReplyTo};
use stampmill_model::{BuildId, BuilderName, ChangeId, RequestId, SourceStamp};

use crate::configuration::repository;
use crate::dice::Dice;
use crate::facts::Facts;
use crate::forge::Forge;

/// External ids that programs use; few, so that they come again.
const EXTERNAL_IDS: usize = 6;

/// Somebody wants something.
pub(crate) fn wish(dice: &mut Dice, facts: &Facts, forge: &mut Forge, codebases: &[String], reply: ReplyTo) -> Input {
    let said = &facts.said;
    // One more than there is: ids that nobody has are asked for too.
    let request = RequestId(dice.between(1, said.last.request.0 + 1));
    let build = BuildId(dice.between(1, said.last.build.0 + 1));
    let reason = "a person".to_owned();
    match dice.roll(10) {
        0 => Input::BuildCancelAsked { build, reason, reply },
        1 => Input::RequestCancelAsked { request, reason, reply },
        2 => Input::ApprovalGiven {
            request: awaiting(dice, facts).unwrap_or(request),
            approved: dice.one_in(2),
            by: reason,
            reply,
        },
        3 | 4 => Input::Forced { force: force(dice, facts), reply },
        5 => rebuild(facts, build, reply).unwrap_or_else(|| Input::Forced { force: force(dice, facts), reply }),
        6 | 7 => Input::Submitted { submission: submission(dice, facts, codebases), reply },
        8 => Input::PollNow { source: format!("c{}", dice.roll(4)).into(), reply },
        _ => {
            let change = forge.change_by_hand(dice, codebases);
            let codebase = dice.one_in(2).then(|| dice.pick(codebases).clone());
            Input::ChangeSent { change, codebase, trusted: dice.one_in(2), reply }
        }
    }
}

/// Some request that awaits approval.
pub(crate) fn awaiting(dice: &mut Dice, facts: &Facts) -> Option<RequestId> {
    let sets = facts.said.open_buildsets.iter().map(|id| &facts.said.buildsets[id]);
    let requests = sets
        .flat_map(|set| &set.requests)
        .filter(|id| facts.said.requests[id].state == stampmill_model::RequestState::AwaitingApproval);
    let requests: Vec<_> = requests.copied().collect();
    requests.get(dice.roll(requests.len())).copied()
}

fn builder(dice: &mut Dice) -> BuilderName {
    format!("b{}", dice.roll(6)).into()
}

fn force(dice: &mut Dice, facts: &Facts) -> Force {
    let schedulers = &facts.config.schedulers;
    let forced: Vec<_> = schedulers.iter().filter(|it| it.form().is_some()).collect();
    let scheduler = forced.get(dice.roll(forced.len() + 1)).map(|scheduler| scheduler.name.clone());
    let builder = (scheduler.is_none() || dice.one_in(4)).then(|| builder(dice));
    Force {
        builder,
        scheduler,
        owner: "ann".to_owned(),
        priority: dice.one_in(3).then(|| [-2, 0, 1, 9][dice.roll(4)]),
        worker: dice.one_in(5).then(|| format!("w{}", dice.roll(5)).into()),
        ..Force::default()
    }
}

fn rebuild(facts: &Facts, build: BuildId, reply: ReplyTo) -> Option<Input> {
    let old = facts.said.builds.get(&build)?;
    let rebuild = Rebuild {
        build,
        builder: old.builder.clone(),
        stamps: old.stamps.clone(),
        blamelist: old.blamelist.clone(),
        properties: old.properties.clone(),
        owner: "ann".to_owned(),
    };
    Some(Input::RebuildAsked { rebuild, reply })
}

fn submission(dice: &mut Dice, facts: &Facts, codebases: &[String]) -> Submission {
    let codebases = dice.some(codebases);
    let changes =
        if dice.one_in(4) { vec![ChangeId(dice.between(1, facts.said.last.change.0 + 1))] } else { Vec::new() };
    let stamps = codebases.iter().map(|codebase| SourceStamp {
        codebase: codebase.clone(),
        repository: repository(codebase),
        trusted: true,
        changes: changes.clone(),
        ..SourceStamp::default()
    });
    Submission {
        builders: (0..dice.roll(3)).map(|_| builder(dice)).collect(),
        stamps: stamps.collect(),
        reason: String::new(),
        owner: "a program".to_owned(),
        properties: stampmill_model::Properties::new(),
        priority: [0, 0, 3][dice.roll(3)],
        external_id: dice.one_in(2).then(|| format!("x{}", dice.roll(EXTERNAL_IDS))),
    }
}
