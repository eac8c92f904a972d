//! Rows of every release, as files in `tests/golden/RELEASE/`: this release must still read them, and must write what its own directory holds.
//!
//! When a row has changed, give the release a directory of its own: `STAMPMILL_GOLDEN=0.2 cargo test -p stampmill-store golden` writes the
//! rows that this code makes into `tests/golden/0.2/` and leaves files that exist alone. Files of a release are never changed; where the
//! model has grown since, the expectation for the old directory says what an old row now means.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::commit::Batch;
use crate::convert::*;
use crate::samples::*;
use crate::{Store, journal};

/// The directory with what this release writes.
const CURRENT: &str = "0.1";

type Check = Box<dyn Fn(&[u8])>;

/// One row: the bytes that this release writes, and what bytes of any release must turn out to be.
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    check: Check,
}

fn case<R: Row, M: PartialEq + std::fmt::Debug + 'static>(
    name: &'static str,
    row: &R,
    model: M,
    convert: impl Fn(R) -> Result<M, StoreError> + 'static,
) -> Case {
    let check = Box::new(move |bytes: &[u8]| {
        let row = R::decode(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(convert(row).unwrap_or_else(|error| panic!("{name}: {error}")), model, "{name}");
    });
    let mut bytes = Vec::new();
    row.write_to(&mut bytes).unwrap();
    // As it is stored it is read as well.
    check(&row.encode().unwrap());
    Case { name, bytes, check }
}

fn complete(outcome: Outcome, build: Option<BuildId>, reason: &str) -> RequestState {
    RequestState::Complete { outcome, build, at: Wall(88), reason: reason.to_owned() }
}

fn keyed(merge_key: MergeKey) -> Request {
    Request { merge_key, ..request_in(RequestState::Pending) }
}

fn cases() -> Vec<Case> {
    let patches = |_: &[u8; 32]| Ok(PATCH.to_vec());
    let mut cases = Vec::new();
    for (name, change) in [("change-full", full_change()), ("change-bare", bare_change())] {
        cases.push(case(name, &change_to_row(&change), change, change_from_row));
    }
    for (name, buildset) in [
        ("buildset-open", open_buildset()),
        ("buildset-finished", finished_buildset()),
        ("buildset-triggered", triggered_buildset()),
        ("buildset-given", given_buildset()),
        ("buildset-pinged", pinged_buildset()),
    ] {
        let row = buildset_to_row(&buildset, &mut Vec::new());
        cases.push(case(name, &row, buildset.clone(), move |row| buildset_from_row(row, &patches)));
    }
    for (name, request) in [
        ("request-awaiting-approval", request_in(RequestState::AwaitingApproval)),
        ("request-pending", request_in(RequestState::Pending)),
        ("request-building", request_in(RequestState::Building(BuildId(9)))),
        ("request-complete", request_in(complete(Outcome::Failure, None, ""))),
        ("request-built", request_in(complete(Outcome::Failure, Some(BuildId(9)), ""))),
        ("request-cancelled", request_in(complete(Outcome::Cancelled, None, "ann: a typo"))),
        ("request-lost", Request { losses: 1, ..request_in(RequestState::Pending) }),
        ("request-with-merge-key", keyed(MergeKey::Given("arm".to_owned()))),
        ("request-asked-about", keyed(MergeKey::Awaited)),
        ("request-alone", keyed(MergeKey::Alone)),
        ("request-unanswered", keyed(MergeKey::Failed("plugin `x` trapped".to_owned()))),
    ] {
        cases.push(case(name, &request_to_row(&request), request, request_from_row));
    }
    for (name, build) in [
        ("build-dispatched", build_in(BuildState::Dispatched)),
        ("build-running", build_in(BuildState::Running)),
        ("build-cancelling", build_in(BuildState::Cancelling { reason: "ann: a typo".to_owned() })),
        ("build-finished", finished_build()),
        ("build-networked", networked_build()),
        ("build-merged", merged_build()),
        ("build-locked", locked_build()),
        ("build-step-locked", step_locked_build()),
        ("build-triggering", triggering_build()),
    ] {
        let row = build_to_row(&build, &mut Vec::new());
        cases.push(case(name, &row, build.clone(), move |row| build_from_row(row, &patches)));
    }
    for (name, state) in [
        ("scheduler", scheduler_state()),
        ("scheduler-disabled", disabled_scheduler_state()),
        ("scheduler-last-seen", seeing_scheduler_state()),
        ("scheduler-pinged", pinged_scheduler_state()),
    ] {
        cases.push(case(name, &scheduler_to_row(&state), state, |row| Ok(scheduler_from_row(row))));
    }
    for (name, kept) in [("worker-paused", paused_worker()), ("worker", WorkerKept::default())] {
        cases.push(case(name, &worker_to_row(&kept), kept, |row| Ok(worker_from_row(row))));
    }
    cases.push(case("delivery", &delivery_to_row(&delivery("d1", 7)), delivery("d1", 7), |row| {
        Ok(delivery_from_row("forge".into(), "d1".to_owned(), row))
    }));
    for (name, notice) in notices() {
        cases.push(case(name, &notice_to_row(&notice), notice, |row| Ok(notice_from_row(row))));
    }
    cases.push(case("user", &user_to_row(&user("ann")), user("ann"), |row| Ok(user_from_row(row))));
    for (name, person) in [("person", person()), ("person-bare", bare_person())] {
        cases.push(case(name, &person_to_row(&person), person, person_from_row));
    }
    for (name, token) in [("token-user", user_token()), ("token-worker", worker_token())] {
        cases.push(case(name, &token_to_row(&token), token, |row| Ok(token_from_row(row))));
    }
    cases.push(case("session", &session_to_row(&session(1)), session(1), |row| {
        Ok(session_from_row(session(1).id_sha256, row))
    }));
    let (buildset, request, build) = running(1, "linux", "w1");
    let writes = vec![
        Write::Change(Arc::new(full_change())),
        Write::Buildset(buildset),
        Write::Request(request),
        Write::Build(build),
        Write::BuildSequence(BuildId(1), 17),
        Write::Cursor("forge".into(), "c1".to_owned()),
        Write::Delivery(delivery("d1", 7)),
        Write::SchedulerState("quick".into(), scheduler_state()),
        Write::Notice(notices()[0].1.clone()),
        Write::NoticeDone(NoticeId(9)),
    ];
    let paused = vec![Write::Worker("w1".into(), paused_worker())];
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let none = |_: &[u8; 32]| Err(StoreError::Missing { what: "a patch".to_owned() });
    for (name, writes) in [("record", writes), ("record-workers", paused)] {
        let batch = Batch::gather(&writes, Steady(5)).unwrap();
        let record = store.write(|transaction| journal::record_of(&batch, transaction)).unwrap();
        cases.push(case(name, &record, (writes, Steady(5)), move |row| journal::decode(&[row.encode()?], &none)));
    }
    let counters = CountersRow { steady: 1, change: 2, buildset: 3, request: 4, build: 5, notice: 6 };
    cases.push(case("counters", &counters, counters.clone(), Ok));
    cases
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn to_hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.as_bytes().chunks(100).map(|line| format!("{}\n", str::from_utf8(line).unwrap())).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.split_whitespace().flat_map(str::chars).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap()).collect()
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), from_hex(&fs::read_to_string(&path).unwrap()))
        })
        .collect()
}

#[test]
fn golden_rows_of_every_release_are_read() {
    if let Ok(release) = std::env::var("STAMPMILL_GOLDEN") {
        let directory = directory().join(release);
        fs::create_dir_all(&directory).unwrap();
        for case in cases() {
            let path = directory.join(case.name).with_extension("hex");
            if !path.exists() {
                fs::write(path, to_hex(&case.bytes)).unwrap();
            }
        }
    }
    let cases: BTreeMap<_, _> = cases().into_iter().map(|case| (case.name.to_owned(), case)).collect();
    let mut releases = 0;
    for release in fs::read_dir(directory()).unwrap() {
        releases += 1;
        for (name, bytes) in files(&release.unwrap().path()) {
            let case = cases.get(&name).unwrap_or_else(|| panic!("no test reads {name}"));
            (case.check)(&bytes);
        }
    }
    assert!(releases > 0);
}

#[test]
fn golden_rows_of_this_release_are_what_it_writes() {
    let golden = files(&directory().join(CURRENT));
    for case in cases() {
        assert!(golden.get(case.name) == Some(&case.bytes), "{} is written otherwise; see golden.rs", case.name);
    }
}

#[test]
fn a_row_of_a_later_version_is_refused_with_both_versions() {
    let mut bytes = Vec::new();
    user_to_row(&user("ann")).write_to(&mut bytes).unwrap();
    bytes[0] = 9;
    let error = UserRow::decode(&bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a row of users has version 9 and this release knows up to 1; use the release that wrote it, or a later one"
    );
}

#[test]
fn a_damaged_row_is_an_error_wherever_it_is_cut() {
    let mut bodies = Vec::new();
    let build = finished_build();
    let bytes = build_to_row(&build, &mut bodies).encode().unwrap();
    for end in 0..bytes.len() {
        assert!(matches!(BuildRow::decode(&bytes[..end]), Err(StoreError::Row { table: "builds", .. })), "{end}");
    }
}
