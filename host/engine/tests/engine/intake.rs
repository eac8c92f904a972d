use std::sync::Arc;

use stampmill_engine::input::Polled;
use stampmill_engine::output::{ChangeSourceState, Delivery};
use stampmill_engine::{Answer, Config, Effect, Input, Output, ReplyTo, Write};
use stampmill_model::{Change, ChangeId, Milliseconds, SeenChange, Wall};

use crate::setup::{hook, on_main, polled, poller, refused, seen, small, trouble};
use crate::world::{World, answer, effects, refusal, warnings};

fn with_poller() -> Config {
    Config { change_sources: vec![poller("app", 30)], schedulers: Vec::new(), ..small() }
}

fn with_generator() -> Config {
    Config { codebase_generator: true, schedulers: Vec::new(), ..small() }
}

fn poll(cursor: Option<&str>, attempt: u64) -> Effect {
    Effect::Poll { source: "app".into(), cursor: cursor.map(str::to_owned), attempt }
}

fn tell_polled(world: &mut World, attempt: u64, changes: Vec<SeenChange>, cursor: &str) -> Vec<Output> {
    world.tell(Input::Polled { source: "app".into(), attempt, result: Ok(polled(changes, cursor)) })
}

fn stored(id: u64, seen: SeenChange) -> Change {
    Change {
        id: ChangeId(id),
        source: Some("app".into()),
        arrived_at: Wall(1_000_000),
        trusted: true,
        seen: SeenChange { project: "app".to_owned(), ..seen },
        codebase: Some(String::new()),
        trouble: None,
        decisions: Vec::new(),
        decided: true,
        buildsets: Vec::new(),
    }
}

#[test]
fn a2_06_changes_of_a_poll_get_growing_ids_and_go_with_their_cursor() {
    let (mut world, outputs) = World::start(with_poller());
    assert_eq!(outputs, [Output::Effect(poll(None, 1))]);
    let outputs = tell_polled(&mut world, 1, vec![seen("ann", "r1"), seen("bob", "r2")], "r2");
    assert_eq!(
        outputs,
        [
            Output::Write(Write::Cursor("app".into(), "r2".to_owned())),
            Output::Write(Write::Change(Arc::new(stored(1, seen("ann", "r1"))))),
            Output::Write(Write::Change(Arc::new(stored(2, seen("bob", "r2"))))),
        ]
    );
}

#[test]
fn the_next_poll_starts_an_interval_after_the_end_of_the_last() {
    let mut world = World::new(with_poller());
    world.pass(10);
    tell_polled(&mut world, 1, Vec::new(), "r1");
    assert_eq!(world.pass(29), []);
    assert_eq!(effects(&world.pass(1)), [poll(Some("r1"), 40_000)]);
}

#[test]
fn an_answer_to_an_older_poll_is_dropped() {
    let mut world = World::new(with_poller());
    tell_polled(&mut world, 1, Vec::new(), "r1");
    assert_eq!(tell_polled(&mut world, 1, vec![seen("ann", "r1")], "r2"), []);
    world.pass(30);
    assert_eq!(tell_polled(&mut world, 1, vec![seen("ann", "r1")], "r2"), []);
}

#[test]
fn a_poll_that_has_more_is_followed_at_once_but_one_that_stands_still_is_not() {
    let mut world = World::new(with_poller());
    let more = |cursor: &str| Ok(Polled { changes: Vec::new(), cursor: cursor.to_owned(), more: true });
    let outputs = world.tell(Input::Polled { source: "app".into(), attempt: 1, result: more("r1") });
    assert_eq!(effects(&outputs), [poll(Some("r1"), 2)]);
    assert_eq!(world.tell(Input::Polled { source: "app".into(), attempt: 2, result: more("r1") }), []);
}

#[test]
fn a_poller_that_fails_backs_off_and_shows_its_trouble() {
    let mut world = World::new(Config { change_sources: vec![poller("app", 3)], ..with_poller() });
    let mut attempt = 1;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        world.tell(Input::Polled { source: "app".into(), attempt, result: Err(trouble("no route to host")) });
        let state = world.engine.change_sources(world.now).remove(0);
        assert_eq!(state.trouble.as_deref(), Some("no route to host"));
        let pause = state.next_poll_in.expect("a poll is planned").0 / 1000;
        pauses.push(pause);
        world.pass(pause);
        attempt = world.now.steady.0;
    }
    assert_eq!(pauses, [3, 3, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    tell_polled(&mut world, attempt, Vec::new(), "r1");
    let next_poll_in = Some(Milliseconds(3_000));
    assert_eq!(
        world.engine.change_sources(world.now),
        [ChangeSourceState { name: "app".into(), trouble: None, next_poll_in }]
    );
}

#[test]
fn a_person_can_ask_for_a_poll_now() {
    let mut world = World::new(with_poller());
    let poll_now = || Input::PollNow { source: "app".into(), reply: ReplyTo(7) };
    let done = Effect::Answer { reply: ReplyTo(7), answer: Answer::Done };
    assert_eq!(
        effects(&world.tell(poll_now())),
        std::slice::from_ref(&done),
        "a poll is under way, so it waits for its end"
    );
    assert_eq!(effects(&tell_polled(&mut world, 1, Vec::new(), "r1")), [poll(Some("r1"), 2)]);
    tell_polled(&mut world, 2, Vec::new(), "r1");
    assert_eq!(effects(&world.tell(poll_now())), [poll(Some("r1"), 3), done]);
}

#[test]
fn a_hook_is_not_polled_and_a_poller_takes_no_deliveries() {
    let mut world = World::new(Config { change_sources: vec![poller("app", 3), hook("forge")], ..small() });
    let outputs = world.tell(Input::PollNow { source: "forge".into(), reply: ReplyTo(0) });
    assert_eq!(refusal(&outputs), "change source `forge` is a hook: it is told of changes, not asked");
    let changes = vec![seen("ann", "r1")];
    let outputs = world.tell(Input::Received { source: "app".into(), delivery: None, changes, reply: ReplyTo(0) });
    assert_eq!(refusal(&outputs), "change source `app` is polled: it takes no deliveries");
    let outputs = world.tell(Input::PollNow { source: "core".into(), reply: ReplyTo(0) });
    assert_eq!(refusal(&outputs), "there is no change source `core`");
    assert!(world.store.changes.is_empty());
}

#[test]
fn a_hook_is_answered_after_its_changes_are_written_and_a_doubled_delivery_gets_the_same_answer() {
    let mut world = World::new(Config { schedulers: Vec::new(), ..small() });
    let input = Input::Received {
        source: "forge".into(),
        delivery: Some("d-1".to_owned()),
        changes: vec![seen("ann", "r1")],
        reply: ReplyTo(3),
    };
    let delivery =
        Delivery { source: "forge".into(), id: "d-1".to_owned(), changes: vec![ChangeId(1)], at: Wall(1_000_000) };
    let change = Change { source: Some("forge".into()), ..stored(1, seen("ann", "r1")) };
    let answer = Effect::Answer { reply: ReplyTo(3), answer: Answer::ChangesTaken(vec![ChangeId(1)]) };
    assert_eq!(
        world.tell(input.clone()),
        [
            Output::Write(Write::Delivery(delivery)),
            Output::Write(Write::Change(Arc::new(change))),
            Output::Effect(answer.clone()),
        ]
    );
    assert_eq!(world.tell(input.clone()), [Output::Effect(answer.clone())]);
    world.restart();
    assert_eq!(world.tell(input), [Output::Effect(answer)], "also after a restart");
}

#[test]
fn the_same_delivery_id_of_another_source_is_another_delivery() {
    let sources = vec![hook("forge"), hook("mirror")];
    let mut world = World::new(Config { change_sources: sources, ..small() });
    for (source, id) in [("forge", 1), ("mirror", 2)] {
        let outputs = world.tell(Input::Received {
            source: source.into(),
            delivery: Some("d-1".to_owned()),
            changes: vec![seen("ann", "r1")],
            reply: ReplyTo(0),
        });
        assert_eq!(answer(&outputs), Answer::ChangesTaken(vec![ChangeId(id)]));
    }
}

#[test]
fn a2_17_without_a_generator_the_codebase_is_empty_and_with_one_it_is_asked() {
    let mut world = World::new(Config { schedulers: Vec::new(), ..small() });
    world.push(vec![seen("ann", "r1")]);
    assert_eq!(world.change(1).codebase.as_deref(), Some(""));

    let mut world = World::new(with_generator());
    let outputs = world.push(vec![seen("ann", "r1")]);
    let asked = Effect::AskCodebase { change: Arc::clone(&world.store.changes[&ChangeId(1)]) };
    assert_eq!(effects(&outputs)[0], asked);
    assert_eq!(world.change(1).codebase, None);
    world.tell(Input::CodebaseFound { change: ChangeId(1), result: Ok(Some("app".to_owned())) });
    assert_eq!(world.change(1).codebase.as_deref(), Some("app"));
    assert!(world.change(1).decided);
}

#[test]
fn a2_18_a_repository_that_the_generator_does_not_know_is_shown_and_not_built() {
    let mut world = World::new(Config { codebase_generator: true, ..small() });
    world.push(vec![seen("ann", "r1")]);
    world.tell(Input::CodebaseFound { change: ChangeId(1), result: Ok(None) });
    let change = world.change(1);
    let trouble = "repository `https://git.example/app.git` is not in the codebase map";
    assert_eq!((change.trouble.as_deref(), change.decided), (Some(trouble), true));
    assert!(world.store.buildsets.is_empty());
    let late = world.tell(Input::CodebaseFound { change: ChangeId(1), result: Ok(Some("app".to_owned())) });
    assert_eq!(late, [], "a second answer comes too late");
}

#[test]
fn a_generator_that_is_broken_fails_closed() {
    let mut world = World::new(Config { codebase_generator: true, ..small() });
    world.push(vec![seen("ann", "r1")]);
    let outputs = world.tell(Input::CodebaseFound { change: ChangeId(1), result: Err(refused("KeyError")) });
    assert_eq!(warnings(&outputs), ["the codebase generator failed on change 1: KeyError"]);
    assert_eq!(world.change(1).trouble.as_deref(), Some("KeyError"));
    assert!(world.change(1).decided);
    assert_eq!(world.engine.next_deadline(), None, "it is not asked again");
}

#[test]
fn a_generator_that_may_come_back_is_asked_again_until_its_tries_are_over() {
    let mut world = World::new(with_generator());
    world.push(vec![seen("ann", "r1")]);
    let mut asked = 1;
    loop {
        world.tell(Input::CodebaseFound { change: ChangeId(1), result: Err(trouble("busy")) });
        if world.change(1).decided {
            break;
        }
        assert_eq!(world.change(1).trouble.as_deref(), Some("busy"));
        asked += effects(&world.pass(900)).iter().filter(|it| matches!(it, Effect::AskCodebase { .. })).count();
    }
    assert_eq!(asked, 20);
}

#[test]
fn a_change_that_a_person_sends_may_carry_its_codebase() {
    let mut world = World::new(Config { codebase_generator: true, ..small() });
    let outputs = world.tell(Input::ChangeSent {
        change: seen("ann", "r1"),
        codebase: Some("app".to_owned()),
        trusted: false,
        reply: ReplyTo(0),
    });
    assert_eq!(answer(&outputs), Answer::ChangesTaken(vec![ChangeId(1)]));
    let change = world.change(1);
    assert_eq!((change.codebase.as_deref(), change.trusted, &change.source), (Some("app"), false, &None));
}

#[test]
fn the_project_of_a_source_is_given_to_changes_without_one() {
    let mut world = World::new(Config { schedulers: vec![on_main("quick", &["linux"])], ..small() });
    world.push(vec![seen("ann", "r1"), SeenChange { project: "core".to_owned(), ..seen("ann", "r2") }]);
    assert_eq!((&*world.change(1).seen.project, &*world.change(2).seen.project), ("app", "core"));
    assert_eq!(world.buildset(1).stamps[0].project, "app");
}
