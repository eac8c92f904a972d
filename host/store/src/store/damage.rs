//! Databases that are not as they were written: cut short, torn in the last write, or with a piece of nonsense.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::samples::*;

/// What a disk writes at once.
const SECTOR: usize = 512;

/// Everything that can be asked of a small store, for comparing.
#[derive(PartialEq, Debug)]
struct Known {
    open: Snapshot,
    steady: Steady,
    builds: Vec<Build>,
    changes: Vec<Change>,
    buildsets: Vec<Buildset>,
    requests: Vec<Request>,
}

fn known(store: &Store) -> Result<Known, StoreError> {
    let (open, steady) = store.load()?;
    let reader = store.read()?;
    Ok(Known {
        open,
        steady,
        builds: reader.builds(&crate::BuildFilter::default(), None, 1000)?.items,
        changes: reader.changes(&crate::ChangeFilter::default(), None, 1000)?.items,
        buildsets: reader.buildsets(&crate::BuildsetFilter::default(), None, 1000)?.items,
        requests: reader.requests(&crate::RequestFilter::default(), None, 1000)?.items,
    })
}

/// A database with some history, and how it was before and after its last commit.
struct History {
    directory: TempDir,
    before: (Vec<u8>, Known),
    after: (Vec<u8>, Known),
    /// The file of a host that has ended in order.
    closed: Vec<u8>,
}

impl History {
    fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("data")).unwrap();
        store.commit(&[Write::Change(Arc::new(full_change()))], Steady(1)).unwrap();
        for id in 1..=20 {
            let (buildset, request, build) = running(id, "linux", "w1");
            let begun = [Write::Buildset(buildset), Write::Request(request), Write::Build(Arc::clone(&build))];
            store.commit(&begun, Steady(10 * id)).unwrap();
            let ended = Arc::new(Build { state: finished_build().state, ..(*build).clone() });
            store.commit(&[Write::Build(ended), Write::BuildSequence(build.id, 9)], Steady(10 * id + 1)).unwrap();
        }
        let before = (fs::read(store.database_path()).unwrap(), known(&store).unwrap());
        let (buildset, request, build) = running(21, "linux", "w1");
        let last = [Write::Buildset(buildset), Write::Request(request), Write::Build(build)];
        store.commit(&last, Steady(1000)).unwrap();
        let after = (fs::read(store.database_path()).unwrap(), known(&store).unwrap());
        drop(store);
        let closed = fs::read(directory.path().join("data/stampmill.redb")).unwrap();
        Self { directory, before, after, closed }
    }

    /// What a host finds that is started on these bytes; whatever it is, the host does not fall over it.
    fn found(&self, bytes: &[u8]) -> Result<Known, StoreError> {
        let copy = self.directory.path().join("copy");
        fs::create_dir_all(&copy).unwrap();
        fs::write(copy.join("stampmill.redb"), bytes).unwrap();
        let store = Store::open(&copy)?;
        let known = known(&store)?;
        store.commit(&[Write::Cursor("forge".into(), "goes on".to_owned())], Steady(2000))?;
        Ok(known)
    }

    /// As [`Self::found`], where nothing but damage is an excuse, and that is said with the file and the mend.
    fn found_or_damaged(&self, bytes: &[u8]) -> Option<Known> {
        match self.found(bytes) {
            Ok(known) => Some(known),
            Err(error) => {
                let text = error.to_string();
                assert!(matches!(error, StoreError::Damaged { .. }), "{text}");
                assert!(text.contains("/copy/stampmill.redb is damaged") && text.contains("from a backup"), "{text}");
                None
            }
        }
    }
}

/// Where to damage a file: at every sector of its tail, and at every so many before that.
fn places(len: usize, tail: usize, every: usize) -> impl Iterator<Item = usize> {
    let sectors = (0..len).step_by(SECTOR).enumerate();
    sectors.filter(move |(count, at)| at + tail > len || count % every == 0).map(|(_, at)| at)
}

#[test]
fn a_database_that_was_cut_short_anywhere_is_refused_and_never_taken_for_a_new_or_shorter_one() {
    let history = History::make();
    for bytes in [&history.closed, &history.after.0] {
        for len in places(bytes.len(), 48 * 1024, 5) {
            let Some(found) = history.found_or_damaged(&bytes[..len]) else { continue };
            assert_eq!(found, history.after.1, "cut at {len} of {}", bytes.len());
        }
    }
}

#[test]
fn a_commit_that_was_torn_by_a_crash_is_there_or_not_and_all_before_it_is() {
    let history = History::make();
    let (before, after) = (&history.before.0, &history.after.0);
    let mut old = before.clone();
    old.resize(after.len().max(old.len()), 0);
    let sectors = |bytes: &[u8], at: usize| bytes[at..(at + SECTOR).min(bytes.len())].to_vec();
    let written: Vec<usize> =
        (0..after.len()).step_by(SECTOR).filter(|at| sectors(&old, *at) != sectors(after, *at)).collect();
    assert!(written.len() > 4, "{written:?}");
    let mut whole = 0;
    let mut check = |torn: &[u8], what: &str| {
        let found = history.found(torn).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(found == history.before.1 || found == history.after.1, "{what}: {found:#?}");
        whole += usize::from(found == history.after.1);
    };
    let put = |bytes: &mut Vec<u8>, from: &[u8], at: usize| {
        let end = (at + SECTOR).min(bytes.len());
        bytes[at..end].copy_from_slice(&from[at..end]);
    };
    for at in &written {
        let mut alone = old.clone();
        put(&mut alone, after, *at);
        check(&alone, &format!("only the sector at {at} was written"));
        let mut missing = after.clone();
        put(&mut missing, &old, *at);
        check(&missing, &format!("the sector at {at} was not written"));
    }
    // The disk may have written any of them before the machine died.
    let mut seed = 0x5EED_u64;
    for round in 0..60 {
        let mut some = old.clone();
        for at in &written {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if seed >> 63 == 1 {
                put(&mut some, after, *at);
            }
        }
        check(&some, &format!("round {round}"));
    }
    check(after, "all of it was written");
    assert!(whole > 0, "what was written whole is there");
}

#[test]
fn a_sector_of_nonsense_anywhere_is_recovered_from_or_refused_and_never_falls_over() {
    let history = History::make();
    let mut refused = 0;
    for (name, bytes) in [("killed", &history.after.0), ("closed", &history.closed)] {
        for (round, at) in places(bytes.len(), 4 * 1024, 43).enumerate() {
            let mut damaged = bytes.clone();
            let end = (at + SECTOR).min(damaged.len());
            damaged[at..end].fill(if round % 2 == 0 { 0 } else { 0xA5 });
            let Some(found) = history.found_or_damaged(&damaged) else {
                refused += 1;
                continue;
            };
            let right = found == history.after.1 || (name == "killed" && found == history.before.1);
            assert!(right, "{name}, nonsense at {at}: {found:#?}");
        }
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn a_database_that_was_taken_away_from_its_logs_is_missed() {
    let history = History::make();
    let data = history.directory.path().join("data");
    fs::create_dir_all(data.join("logs/0")).unwrap();
    fs::remove_file(data.join("stampmill.redb")).unwrap();
    let error = Store::open(&data).unwrap_err().to_string();
    assert!(error.contains("data/stampmill.redb is damaged: it is not there, and "), "{error}");
    assert!(!data.join("stampmill.redb").exists());
    fs::remove_dir(data.join("logs/0")).unwrap();
    // A host that died while it made its first database leaves something of another name.
    fs::write(data.join("stampmill.redb.new"), "half").unwrap();
    assert_eq!(known(&Store::open(&data).unwrap()).unwrap().builds, []);
}
