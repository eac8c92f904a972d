//! Every entry of the corpora, and alterations of them, through the targets.
//!
//! `STAMPMILL_FUZZ_SECONDS` says how long each target goes on with alterations, `STAMPMILL_FUZZ_SEED` which ones come. An input that breaks
//! a promise is written to a file that the failure names: mend the code, and keep the input in the corpus.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mutatis::Session;
use stampmill_fuzz::Target;

/// Long enough for some thousand inputs of the slowest target, short enough for every run of the tests.
const SECONDS: u64 = 2;
/// The longest alteration: entries are a few kilobytes.
const INPUT_BYTES_MAX: usize = 64 << 10;
/// Alterations on top of each other.
const ALTERATIONS_MAX: usize = 6;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}, no number")))
}

/// The entries in the order of their names.
fn corpus(target: Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let listing = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = listing.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

fn play(target: Target, bytes: &[u8], origin: &str) {
    if let Err(broken) = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
        std::fs::write(&path, bytes).expect("the input can be kept");
        eprintln!("target {} was broken by {origin}; the input is in {}", target.name, path.display());
        std::panic::resume_unwind(broken);
    }
}

/// The entry, changed in some places; now and then the head of one with the tail of another.
fn altered(session: &mut Session, entries: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let draw =
        |session: &mut Session, below: usize| session.generate::<u32>().expect("any number will do") as usize % below;
    let mut bytes = entries[draw(session, entries.len())].1.clone();
    if draw(session, 4) == 0 {
        let other = &entries[draw(session, entries.len())].1;
        bytes.truncate(draw(session, bytes.len() + 1));
        bytes.extend_from_slice(&other[draw(session, other.len() + 1)..]);
    }
    for _ in 0..=draw(session, ALTERATIONS_MAX) {
        // It refuses to alter what it has no alteration for, which is no harm.
        let _ = session.mutate(&mut bytes);
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn play_all(name: &str) {
    let target = stampmill_fuzz::target(name).unwrap_or_else(|| panic!("no target {name}"));
    let entries = corpus(target);
    for (path, bytes) in &entries {
        play(target, bytes, &path.display().to_string());
    }
    let seed = setting("STAMPMILL_FUZZ_SEED").unwrap_or(0);
    let seconds = setting("STAMPMILL_FUZZ_SECONDS").unwrap_or(SECONDS);
    let mut session = Session::new().seed(seed);
    let (begun, mut count) = (Instant::now(), 0_u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let bytes = altered(&mut session, &entries);
        play(target, &bytes, &format!("alteration {count} of seed {seed}"));
        count += 1;
    }
    println!("{name}: {} entries, {count} alterations of seed {seed}", entries.len());
}

#[test]
fn configurations_of_any_text_are_judged_at_places_that_are_in_it() {
    play_all("config");
}

#[test]
fn bodies_of_any_bytes_do_nothing_for_who_may_not_and_break_nothing_for_who_may() {
    play_all("api-body");
}

#[test]
fn components_of_any_bytes_are_refused_or_import_what_the_contract_gives() {
    play_all("component");
}

#[test]
fn messages_of_any_bytes_are_refused_or_mean_the_same_when_they_are_sent_on() {
    play_all("protocol");
}

#[test]
fn log_files_of_any_bytes_give_out_nothing_that_fails_its_checksum() {
    play_all("log-file");
}

#[test]
fn git_output_of_any_bytes_never_becomes_a_change_without_an_object_name() {
    play_all("git-output");
}

#[test]
fn deliveries_of_any_bytes_become_no_change_without_the_right_signature() {
    play_all("hook-delivery");
}

#[test]
fn places_of_any_text_are_refused_or_have_one_spelling() {
    play_all("network-target");
}

#[test]
fn every_target_has_a_corpus_of_small_entries_and_every_corpus_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in std::fs::read_dir(&folder).expect("the corpora are there") {
        let name = entry.expect("a readable folder").file_name();
        let name = name.to_str().expect("a name of ours");
        let target = stampmill_fuzz::target(name).unwrap_or_else(|| panic!("no target takes the corpus {name}"));
        let large: Vec<_> = corpus(target).into_iter().filter(|(_, bytes)| bytes.len() > 16 << 10).collect();
        assert!(large.is_empty(), "{name}: over 16 KiB: {:?}", large.iter().map(|(path, _)| path).collect::<Vec<_>>());
    }
    for target in stampmill_fuzz::TARGETS {
        assert!(folder.join(target.name).is_dir(), "target {} has no corpus", target.name);
    }
}
