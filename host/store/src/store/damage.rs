//! Databases that are not as they were written: cut short, torn in the last write, or with a piece of nonsense.

use std::fs;
use std::io;
use std::sync::Mutex;

use redb::StorageBackend;
use redb::backends::FileBackend;
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

/// The files of a database, in the order of [`FILES`].
type Files = [Vec<u8>; 2];

const FILES: [&str; 2] = ["stampmill.redb", "stampmill.journal"];

fn files(directory: &Path) -> Files {
    FILES.map(|file| fs::read(directory.join(file)).unwrap())
}

/// A database file, and what it was at each sync: what was written before one is on the disk before anything that comes after it.
#[derive(Debug)]
struct Watched {
    file: FileBackend,
    synced: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        let mut bytes = vec![0; usize::try_from(self.file.len()?).unwrap()];
        self.file.read(0, &mut bytes)?;
        self.synced.lock().unwrap().push(bytes);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// A database with some history, and how it was before and after its last commit.
struct History {
    directory: TempDir,
    before: (Files, Known),
    /// The files at each sync of the last commit.
    synced: Vec<Files>,
    after: (Files, Known),
    /// The files of a host that has ended in order.
    closed: Files,
}

/// Where the last commit went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Last {
    IntoJournal,
    IntoDatabase,
}

impl History {
    fn make(goes: Last) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let synced = Arc::<Mutex<Vec<_>>>::default();
        let for_store = Arc::clone(&synced);
        let opener = move |file| {
            let file = Watched { file: FileBackend::new(file)?, synced: Arc::clone(&for_store) };
            redb::Builder::new().create_with_backend(file)
        };
        let store = Store::open_on(&directory.path().join("data"), opener, Arc::new(RealDisk)).unwrap();
        store.commit(&[Write::Change(Arc::new(full_change()))], Steady(1)).unwrap();
        for id in 1..=20 {
            let (buildset, request, build) = running(id, "linux", "w1");
            let begun = [Write::Buildset(buildset), Write::Request(request), Write::Build(Arc::clone(&build))];
            store.commit(&begun, Steady(10 * id)).unwrap();
            let ended = Arc::new(Build { state: finished_build().state, ..(*build).clone() });
            store.commit(&[Write::Build(ended), Write::BuildSequence(build.id, 9)], Steady(10 * id + 1)).unwrap();
            if id == 10 {
                // What is before this is in the database.
                store.commit(&[], Steady(10 * id + 2)).unwrap();
            }
        }
        let data = store.directory().to_owned();
        let before = (files(&data), known(&store).unwrap());
        let (buildset, request, build) = running(21, "linux", "w1");
        let last = [Write::Buildset(buildset), Write::Request(request), Write::Build(build)];
        synced.lock().unwrap().clear();
        match goes {
            Last::IntoJournal => store.commit(&last, Steady(1000)).unwrap(),
            Last::IntoDatabase => {
                let batch = Batch::gather(&last, Steady(1000)).unwrap();
                store.write(|transaction| batch.apply(transaction, store.known_authors())).unwrap();
            }
        }
        let after = (files(&data), known(&store).unwrap());
        let mut synced: Vec<Files> =
            synced.lock().unwrap().drain(..).map(|database| [database, before.0[1].clone()]).collect();
        if synced.last() != Some(&after.0) {
            synced.push(after.0.clone());
        }
        drop(store);
        let closed = files(&data);
        Self { directory, before, synced, after, closed }
    }

    /// What a host finds that is started on these bytes; whatever it is, the host does not fall over it.
    fn found(&self, files: &Files) -> Result<Known, StoreError> {
        let copy = self.directory.path().join("copy");
        fs::create_dir_all(&copy).unwrap();
        for (file, bytes) in FILES.iter().zip(files) {
            fs::write(copy.join(file), bytes).unwrap();
        }
        let store = Store::open(&copy)?;
        let known = known(&store)?;
        store.commit(&[Write::Cursor("forge".into(), "goes on".to_owned())], Steady(2000))?;
        Ok(known)
    }

    /// As [`Self::found`], where nothing but damage is an excuse, and that is said with the file and the mend.
    fn found_or_damaged(&self, files: &Files) -> Option<Known> {
        match self.found(files) {
            Ok(known) => Some(known),
            Err(error) => {
                let text = error.to_string();
                assert!(matches!(error, StoreError::Damaged { .. }), "{text}");
                assert!(text.contains("/copy/stampmill.") && text.contains(" is damaged: "), "{text}");
                assert!(text.contains("from a backup"), "{text}");
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
    let history = History::make(Last::IntoJournal);
    for whole in [&history.closed, &history.after.0] {
        for len in places(whole[0].len(), 48 * 1024, 5) {
            let Some(found) = history.found_or_damaged(&[whole[0][..len].to_vec(), whole[1].clone()]) else { continue };
            assert!(found == history.after.1, "cut at {len} of {}", whole[0].len());
        }
        for len in places(whole[1].len(), SECTOR, 1000) {
            let found = history.found_or_damaged(&[whole[0].clone(), whole[1][..len].to_vec()]);
            assert!(found.is_none(), "a journal cut at {len}");
        }
    }
}

#[test]
fn a_commit_that_was_torn_by_a_crash_is_there_or_not_and_all_before_it_is() {
    for goes in [Last::IntoJournal, Last::IntoDatabase] {
        let history = History::make(goes);
        let mut written = 0;
        let mut whole = 0;
        let mut check = |torn: &Files, what: &str| {
            let found = history.found(torn).unwrap_or_else(|error| panic!("{goes:?}, {what}: {error}"));
            assert!(found == history.before.1 || found == history.after.1, "{goes:?}, {what}: {found:#?}");
            whole += usize::from(found == history.after.1);
        };
        let mut before = &history.before.0;
        for after in &history.synced {
            written += tear(before, after, &mut check);
            before = after;
        }
        check(&history.after.0, "all of it was written");
        assert!(written > 4 && whole > 0, "{goes:?}: {written} sectors, whole {whole} times");
    }
}

/// Checks all ways in which a disk may have written some sectors between two syncs, or a number of them. Says how many sectors differ.
fn tear(before: &Files, after: &Files, check: &mut impl FnMut(&Files, &str)) -> usize {
    let mut old = before.clone();
    for (old, after) in old.iter_mut().zip(after) {
        old.resize(after.len().max(old.len()), 0);
    }
    fn sector(files: &Files, (file, at): (usize, usize)) -> &[u8] {
        &files[file][at..(at + SECTOR).min(files[file].len())]
    }
    let all = (0..FILES.len()).flat_map(|file| (0..after[file].len()).step_by(SECTOR).map(move |at| (file, at)));
    let written: Vec<_> = all.filter(|place| sector(&old, *place) != sector(after, *place)).collect();
    let put = |files: &mut Files, from: &Files, place: (usize, usize)| {
        let sector = sector(from, place);
        files[place.0][place.1..place.1 + sector.len()].copy_from_slice(sector);
    };
    // A hundred of them, all over the files.
    for place in written.iter().step_by(written.len().div_ceil(100).max(1)) {
        let mut alone = old.clone();
        put(&mut alone, after, *place);
        check(&alone, &format!("only the sector at {place:?} was written"));
        let mut missing = after.clone();
        put(&mut missing, &old, *place);
        check(&missing, &format!("the sector at {place:?} was not written"));
    }
    let mut seed = 0x5EED_u64;
    for round in 0..40 {
        let mut some = old.clone();
        for place in &written {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if seed >> 63 == 1 {
                put(&mut some, after, *place);
            }
        }
        check(&some, &format!("round {round}"));
    }
    written.len()
}

#[test]
fn a_sector_of_nonsense_anywhere_is_recovered_from_or_refused_and_never_falls_over() {
    let history = History::make(Last::IntoJournal);
    let used = history.after.0[1].iter().rposition(|byte| *byte != 0).unwrap();
    for file in 0..FILES.len() {
        let mut refused = 0;
        for (name, whole) in [("killed", &history.after.0), ("closed", &history.closed)] {
            let len = if file == 0 { whole[file].len() } else { used + 16 * SECTOR };
            for (round, at) in places(len, 4 * 1024, if file == 0 { 43 } else { 3 }).enumerate() {
                let mut damaged = whole.clone();
                let end = (at + SECTOR).min(damaged[file].len());
                damaged[file][at..end].fill(if round % 2 == 0 { 0 } else { 0xA5 });
                let Some(found) = history.found_or_damaged(&damaged) else {
                    refused += 1;
                    continue;
                };
                let right = found == history.after.1 || (name == "killed" && found == history.before.1);
                assert!(right, "{name}, nonsense at {at} of {}: {found:#?}", FILES[file]);
            }
        }
        assert!(refused > 5, "{}: {refused}", FILES[file]);
    }
}

#[test]
fn a_database_that_was_taken_away_from_its_logs_is_missed() {
    let history = History::make(Last::IntoJournal);
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
