use stampmill_engine::config::{Limits, Reporter};
use stampmill_engine::input::Trouble;
use stampmill_engine::output::{Notice, NoticeState, Subject};
use stampmill_engine::{Config, Effect, Input, OccasionKind, Output, Write};
use stampmill_model::{BuildId, BuildsetId, Milliseconds, NoticeId, Outcome};

use crate::setup::{builder, force, on_force, refused, reporter, small, trouble};
use crate::world::{World, effects, warnings};

fn config() -> Config {
    Config { reporters: vec![reporter("chat", &[OccasionKind::BuildFinished])], ..small() }
}

/// A build has ended and the reporter `chat` is being told.
fn sending(config: Config) -> World {
    let mut world = World::new(config);
    world.connect("w1", 1);
    world.force(force("linux"));
    world.finish(1, Outcome::Success);
    assert_eq!(world.store.notices.len(), 1);
    world
}

fn notice(attempt: u32, state: NoticeState) -> Notice {
    let occasion = OccasionKind::BuildFinished;
    Notice { id: NoticeId(1), reporter: "chat".into(), occasion, subject: Subject::Build(BuildId(1)), attempt, state }
}

fn reported(world: &mut World, attempt: u32, result: Result<(), Trouble>) -> Vec<Output> {
    world.tell(Input::Reported { notice: NoticeId(1), attempt, result })
}

fn told(outputs: &[Output]) -> Vec<(String, OccasionKind, Subject)> {
    let notices = effects(outputs).into_iter().filter_map(|effect| match effect {
        Effect::Report { notice } => Some((notice.reporter.as_str().to_owned(), notice.occasion, notice.subject)),
        _ => None,
    });
    notices.collect()
}

#[test]
fn reporters_are_told_of_what_they_want_to_know() {
    use OccasionKind::{BuildFinished, BuildStarted, BuildsetFinished, FirstFailure};
    let only_mac = Reporter { builders: vec!["mac".into()], ..reporter("mac", &[BuildStarted, BuildsetFinished]) };
    let all = reporter("all", &[BuildStarted, BuildFinished, FirstFailure, BuildsetFinished]);
    let config = Config {
        schedulers: vec![on_force("by-hand", &["linux", "mac"])],
        builders: vec![builder("linux"), builder("mac")],
        reporters: vec![all, only_mac],
        ..small()
    };
    let mut world = World::new(config);
    world.connect("w1", 1);
    let (build, set) = (Subject::Build(BuildId(1)), Subject::Buildset(BuildsetId(1)));
    assert_eq!(told(&world.force(force("linux"))), [("all".to_owned(), BuildStarted, build)]);
    assert_eq!(
        told(&world.finish(1, Outcome::Failure)),
        [
            ("all".to_owned(), BuildFinished, build),
            ("all".to_owned(), FirstFailure, set),
            ("all".to_owned(), BuildsetFinished, set),
        ]
    );
    let (build, set) = (Subject::Build(BuildId(2)), Subject::Buildset(BuildsetId(2)));
    assert_eq!(
        told(&world.force(force("mac"))),
        [("all".to_owned(), BuildStarted, build), ("mac".to_owned(), BuildStarted, build)]
    );
    assert_eq!(
        told(&world.finish(2, Outcome::Success)),
        [
            ("all".to_owned(), BuildFinished, build),
            ("all".to_owned(), BuildsetFinished, set),
            ("mac".to_owned(), BuildsetFinished, set),
        ]
    );
}

#[test]
fn a_notice_that_was_delivered_is_done() {
    let mut world = sending(config());
    assert_eq!(reported(&mut world, 1, Ok(())), [Output::Write(Write::NoticeDone(NoticeId(1)))]);
    assert_eq!(reported(&mut world, 1, Ok(())), []);
    assert_eq!(world.restart(), []);
}

#[test]
fn a_notice_that_was_not_delivered_is_tried_again_with_growing_pauses_then_given_up() {
    let mut world = sending(config());
    let mut pauses = Vec::new();
    for attempt in 1..12 {
        reported(&mut world, attempt, Err(trouble("503")));
        let until = world.engine.next_deadline().expect("it is tried again");
        let error = "503".to_owned();
        assert_eq!(world.store.notices[&NoticeId(1)], notice(attempt, NoticeState::Waiting { until, error }));
        let seconds = (until.0 - world.now.steady.0) / 1000;
        pauses.push(seconds);
        let again = notice(attempt + 1, NoticeState::Sending);
        assert_eq!(
            world.pass(seconds),
            [Output::Write(Write::Notice(again.clone())), Output::Effect(Effect::Report { notice: again })]
        );
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]);
    let outputs = reported(&mut world, 12, Err(trouble("503")));
    let dead = NoticeState::Dead { error: "503".to_owned(), at: world.now.wall };
    assert_eq!(outputs[0], Output::Write(Write::Notice(notice(12, dead))));
    assert_eq!(warnings(&outputs), ["reporter `chat` can't be told of notice 1, given up at try 12: 503"]);
    assert_eq!(world.engine.next_deadline(), None);
}

#[test]
fn a_reporter_that_refuses_is_not_asked_again() {
    let mut world = sending(config());
    reported(&mut world, 1, Err(refused("401")));
    assert!(matches!(world.store.notices[&NoticeId(1)].state, NoticeState::Dead { .. }));
    assert_eq!(world.restart(), []);
}

#[test]
fn an_answer_to_another_attempt_is_dropped() {
    let mut world = sending(config());
    reported(&mut world, 1, Err(trouble("503")));
    assert_eq!(reported(&mut world, 1, Ok(())), [], "the pause runs");
    world.pass(1);
    assert_eq!(reported(&mut world, 1, Ok(())), [], "the second attempt is under way");
    assert_eq!(reported(&mut world, 2, Ok(())), [Output::Write(Write::NoticeDone(NoticeId(1)))]);
}

#[test]
fn a_reporter_may_ask_for_a_longer_pause_but_not_for_ever() {
    let mut world = sending(config());
    let later = |seconds| Trouble { retry_after: Some(Milliseconds::from_seconds(seconds)), ..trouble("429") };
    reported(&mut world, 1, Err(later(3_600)));
    assert_eq!(world.engine.next_deadline().map(|at| at.0), Some(3_600_000));
    world.pass(3_600);
    reported(&mut world, 2, Err(later(u64::MAX / 1_000_000)));
    assert_eq!(world.engine.next_deadline().map(|at| at.0 - world.now.steady.0), Some(24 * 3_600_000));
}

#[test]
fn notices_survive_a_restart_with_their_attempt() {
    let limits = Limits { report_attempts: 2, ..Limits::default() };
    let mut world = sending(Config { limits, ..config() });
    let first = notice(1, NoticeState::Sending);
    assert_eq!(world.restart(), [Output::Effect(Effect::Report { notice: first })]);
    reported(&mut world, 1, Err(trouble("503")));
    assert_eq!(world.restart(), []);
    let second = notice(2, NoticeState::Sending);
    assert_eq!(effects(&world.pass(1)), [Effect::Report { notice: second }]);
    reported(&mut world, 2, Err(trouble("503")));
    assert!(matches!(world.store.notices[&NoticeId(1)].state, NoticeState::Dead { .. }));
}
