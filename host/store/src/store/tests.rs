//! Opening, committing, loading, and what happens when the disk fails.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use redb::StorageBackend;
use redb::backends::FileBackend;
use tempfile::TempDir;

use super::*;
use crate::limits::JOURNAL_RECORD_BYTES_MAX;
use crate::samples::*;
use crate::tables::{CURSORS, FORMAT, FORMAT_WITHOUT_JOURNAL, LAST_RECORD, META};

fn open() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("data")).unwrap();
    (directory, store)
}

fn snapshot(store: &Store) -> Snapshot {
    store.load().unwrap().0
}

#[test]
fn a_second_host_is_refused_and_told_which_process_has_the_directory() {
    let (_directory, store) = open();
    let error = Store::open(store.directory()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the data directory {} is in use by another host (process {}); stop that one or choose another directory",
            store.directory().display(),
            std::process::id()
        )
    );
    let path = store.directory().to_owned();
    let clone = store.clone();
    drop(store);
    assert!(Store::open(&path).is_err(), "a clone still has it");
    drop(clone);
    Store::open(&path).unwrap();
}

#[test]
fn nobody_else_can_read_the_data_directory() {
    let (_directory, store) = open();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(store.directory()), 0o700);
    assert_eq!(mode(&store.database_path()), 0o600);
    assert_eq!(mode(&store.directory().join("stampmill.journal")), 0o600);
    assert_eq!(mode(&store.directory().join("lock")), 0o600);
    assert_eq!(mode(&store.directory().join("logs")), 0o700);
}

#[test]
fn a_database_of_a_later_release_is_refused() {
    let (_directory, store) = open();
    store
        .write(|transaction| {
            transaction.open_table(META)?.insert("format", 99)?;
            Ok(())
        })
        .unwrap();
    let path = store.directory().to_owned();
    drop(store);
    assert!(matches!(Store::open(&path), Err(StoreError::Format { found: 99, known: FORMAT })));
}

/// One of every write, all of it open work.
fn everything() -> Vec<Write> {
    let (buildset, request, build) = running(1, "linux", "w1");
    let mut change = full_change();
    change.decided = false;
    vec![
        Write::Change(Arc::new(change)),
        Write::Change(Arc::new(bare_change())),
        Write::Buildset(buildset),
        Write::Request(request),
        Write::Build(Arc::clone(&build)),
        Write::BuildSequence(build.id, 17),
        Write::Cursor("forge".into(), "c1".to_owned()),
        Write::Delivery(delivery("d1", 1_000)),
        Write::SchedulerState("quick".into(), scheduler_state()),
        Write::Worker("w1".into(), paused_worker()),
        Write::Notice(notices()[0].1.clone()),
        Write::Notice(notices()[1].1.clone()),
    ]
}

fn everything_loaded() -> Snapshot {
    let (buildset, request, build) = running(1, "linux", "w1");
    let mut change = full_change();
    change.decided = false;
    Snapshot {
        changes: vec![Arc::new(change), Arc::new(bare_change())],
        buildsets: vec![buildset],
        requests: vec![request],
        builds: vec![(build, 17)],
        cursors: vec![("forge".into(), "c1".to_owned())],
        schedulers: vec![("quick".into(), scheduler_state())],
        workers: vec![("w1".into(), paused_worker())],
        notices: vec![notices()[0].1.clone(), notices()[1].1.clone()],
        deliveries: vec![delivery("d1", 1_000)],
        build_numbers: vec![("linux".into(), 1)],
        last: stampmill_engine::snapshot::LastIds {
            change: ChangeId(8),
            buildset: BuildsetId(1),
            request: RequestId(1),
            build: BuildId(1),
            notice: NoticeId(2),
        },
    }
}

#[test]
fn what_was_committed_is_loaded_as_it_was_also_by_the_next_host() {
    let (_directory, store) = open();
    assert_eq!(store.load().unwrap(), (Snapshot::default(), Steady(0)));
    store.commit(&everything(), Steady(5_000)).unwrap();
    assert_eq!(store.load().unwrap(), (everything_loaded(), Steady(5_000)));
    let path = store.directory().to_owned();
    drop(store);
    assert_eq!(Store::open(&path).unwrap().load().unwrap(), (everything_loaded(), Steady(5_000)));
}

#[test]
fn a_host_that_was_killed_leaves_everything_that_was_committed() {
    let (directory, store) = open();
    store.commit(&everything(), Steady(5_000)).unwrap();
    // The files as they are on the disk while the host runs: nothing was closed.
    let copy = directory.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for file in ["stampmill.redb", "stampmill.journal"] {
        fs::copy(store.directory().join(file), copy.join(file)).unwrap();
    }
    assert_eq!(Store::open(&copy).unwrap().load().unwrap(), (everything_loaded(), Steady(5_000)));
    // A second time it is in the database.
    assert_eq!(Store::open(&copy).unwrap().load().unwrap(), (everything_loaded(), Steady(5_000)));
}

#[test]
fn a_data_directory_without_a_journal_gets_one_and_one_that_has_lost_its_own_is_refused() {
    let (_directory, store) = open();
    store.commit(&everything(), Steady(5_000)).unwrap();
    store
        .write(|transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert("format", FORMAT_WITHOUT_JOURNAL)?;
            meta.remove(LAST_RECORD)?;
            Ok(())
        })
        .unwrap();
    let path = store.directory().to_owned();
    drop(store);
    fs::remove_file(path.join("stampmill.journal")).unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.load().unwrap(), (everything_loaded(), Steady(5_000)));
    store.commit(&[Write::NoticeDone(NoticeId(1))], Steady(6_000)).unwrap();
    drop(store);
    assert_eq!(Store::open(&path).unwrap().load().unwrap().1, Steady(6_000));
    fs::remove_file(path.join("stampmill.journal")).unwrap();
    let error = Store::open(&path).unwrap_err().to_string();
    assert!(error.contains("stampmill.journal is damaged: it is not there; put the data directory back"), "{error}");
}

#[test]
fn a_commit_larger_than_the_journal_and_many_that_fill_it_are_all_there_after_a_crash() {
    let (directory, store) = open();
    let mut expected = Vec::new();
    for (round, kib) in (0..).zip([1, 3_000, 900, 300, 5_000, 1, 4_090, 2, 4_090]) {
        let (source, cursor) = (format!("source-{round}"), format!("{round}").repeat(1024 * kib));
        store.commit(&[Write::Cursor(source.as_str().into(), cursor.clone())], Steady(round)).unwrap();
        expected.push((source.as_str().into(), cursor));
        let copy = directory.path().join(format!("copy-{round}"));
        fs::create_dir(&copy).unwrap();
        for file in ["stampmill.redb", "stampmill.journal"] {
            fs::copy(store.directory().join(file), copy.join(file)).unwrap();
        }
        let (found, steady) = Store::open(&copy).unwrap().load().unwrap();
        assert!(found.cursors == expected, "after {kib} KiB");
        assert_eq!(steady, Steady(round));
    }
}

#[test]
fn steady_time_never_goes_back() {
    let (_directory, store) = open();
    store.commit(&[], Steady(9)).unwrap();
    store.commit(&[], Steady(4)).unwrap();
    assert_eq!(store.load().unwrap().1, Steady(9));
}

#[test]
fn the_last_write_of_a_key_counts_and_the_one_of_another_kind_does_not_disturb_it() {
    let (_directory, store) = open();
    let (buildset, request, build) = running(1, "linux", "w1");
    let ended = Arc::new(Build { state: finished_build().state, ..(*build).clone() });
    store
        .commit(
            &[
                Write::Buildset(buildset),
                Write::Request(request),
                Write::Build(build),
                Write::BuildSequence(BuildId(1), 3),
                Write::Build(Arc::clone(&ended)),
                Write::Notice(notices()[0].1.clone()),
                Write::NoticeDone(notices()[0].1.id),
                Write::Cursor("forge".into(), "c1".to_owned()),
                Write::Cursor("forge".into(), "c2".to_owned()),
            ],
            Steady(1),
        )
        .unwrap();
    let snapshot = snapshot(&store);
    assert_eq!(snapshot.builds, []);
    assert_eq!(snapshot.notices, []);
    assert_eq!(snapshot.cursors, [("forge".into(), "c2".to_owned())]);
    assert_eq!(store.read().unwrap().build(BuildId(1)).unwrap(), Some((*ended).clone()));
}

#[test]
fn history_is_not_loaded_but_its_ids_and_numbers_are_known() {
    let (_directory, store) = open();
    let mut writes = Vec::new();
    for id in 1..=50 {
        let (buildset, request, build) = running(id, "linux", "w1");
        writes.push(Write::Buildset(buildset));
        writes.push(Write::Request(request));
        writes.push(Write::Build(build));
    }
    writes.push(Write::Change(Arc::new(full_change())));
    writes.extend(notices().into_iter().map(|(_, notice)| Write::Notice(notice)));
    store.commit(&writes, Steady(1)).unwrap();
    assert_eq!(snapshot(&store).builds.len(), 50);
    assert_eq!(snapshot(&store).changes, [Arc::new(full_change())], "decided, but of open buildsets");

    let mut ends = Vec::new();
    for id in 1..=50 {
        let (buildset, request, build) = running(id, "linux", "w1");
        let finished = finished_buildset().state;
        ends.push(Write::Buildset(Arc::new(Buildset { state: finished, ..(*buildset).clone() })));
        let complete =
            RequestState::Complete { outcome: Outcome::Warnings, build: None, at: Wall(99), reason: String::new() };
        ends.push(Write::Request(Arc::new(Request { state: complete, ..(*request).clone() })));
        ends.push(Write::Build(Arc::new(Build { state: finished_build().state, ..(*build).clone() })));
        ends.push(Write::BuildSequence(BuildId(id), 99));
    }
    ends.extend(notices().into_iter().map(|(_, notice)| Write::NoticeDone(notice.id)));
    store.commit(&ends, Steady(2)).unwrap();
    // A message that comes late must not bring a build back.
    store.commit(&[Write::BuildSequence(BuildId(50), 100)], Steady(3)).unwrap();
    let last = stampmill_engine::snapshot::LastIds {
        change: ChangeId(7),
        buildset: BuildsetId(50),
        request: RequestId(50),
        build: BuildId(50),
        notice: NoticeId(4),
    };
    let build_numbers = vec![("linux".into(), 50)];
    assert_eq!(snapshot(&store), Snapshot { last, build_numbers, ..Snapshot::default() });
}

#[test]
fn a_change_is_loaded_while_it_waits_and_an_id_that_never_was_is_passed_over() {
    let (_directory, store) = open();
    let state = SchedulerState {
        batches: vec![output::Batch { branch: None, changes: vec![ChangeId(7), ChangeId(1234)], fires_at: None }],
        ..SchedulerState::default()
    };
    store
        .commit(
            &[Write::Change(Arc::new(full_change())), Write::SchedulerState("quick".into(), state.clone())],
            Steady(1),
        )
        .unwrap();
    assert_eq!(snapshot(&store).changes, [Arc::new(full_change())]);
    store.commit(&[Write::SchedulerState("quick".into(), SchedulerState::default())], Steady(1)).unwrap();
    assert_eq!(snapshot(&store).changes, []);
}

#[test]
fn an_open_buildset_without_its_request_is_called_damage() {
    let (_directory, store) = open();
    store.commit(&[Write::Buildset(running(1, "linux", "w1").0)], Steady(1)).unwrap();
    assert_eq!(
        store.load().unwrap_err().to_string(),
        format!(
            "the database {} is damaged: request 1 of open buildset 1 is not there; put the data directory back from a backup, or move it \
             away to begin anew",
            store.database_path().display()
        )
    );
}

#[test]
fn values_nested_deeper_than_any_parser_allows_come_back() {
    let (_directory, store) = open();
    let mut value = serde_json::json!(0.1);
    for _ in 0..600 {
        value = serde_json::json!([value]);
    }
    let mut change = bare_change();
    change.seen.properties = vec![("deep".to_owned(), value)];
    store.commit(&[Write::Change(Arc::new(change.clone()))], Steady(1)).unwrap();
    assert_eq!(snapshot(&store).changes, [Arc::new(change)]);
}

#[test]
fn old_deliveries_go_when_new_ones_come() {
    const DAY: u64 = 24 * 3600 * 1000;
    let (_directory, store) = open();
    let ids = |store: &Store| -> Vec<String> { snapshot(store).deliveries.into_iter().map(|d| d.id).collect() };
    let take = |id: &str, day: u64| store.commit(&[Write::Delivery(delivery(id, day * DAY))], Steady(1)).unwrap();
    take("a", 100);
    take("b", 103);
    // Taken again: its time is the new one, and it is there once.
    take("a", 104);
    take("c", 110);
    assert_eq!(ids(&store), ["a", "b", "c"], "b is seven days old to the millisecond");
    take("d", 111);
    assert_eq!(ids(&store), ["a", "c", "d"]);
    assert_eq!(store.gc(Wall(117 * DAY + 1)).unwrap().deliveries, 2);
    assert_eq!(ids(&store), ["d"]);
    assert_eq!(store.gc(Wall(117 * DAY + 1)).unwrap().deliveries, 0);
}

/// What was written to the journal last: where, what was there before, what came.
type LastWrite = (u64, Vec<u8>, Vec<u8>);

/// A disk that fails at a chosen operation. What it was to sync then is gone.
#[derive(Debug, Default)]
struct Disk {
    last_write: Mutex<Option<LastWrite>>,
    /// Writes and syncs that still succeed; below zero none is counted.
    left: AtomicI64,
    armed: AtomicBool,
    /// Fails until it is mended, not just once.
    lasting: AtomicBool,
    failed: AtomicBool,
}

impl Disk {
    fn fail_after(&self, operations: i64, lasting: bool) {
        self.left.store(operations, Ordering::SeqCst);
        self.lasting.store(lasting, Ordering::SeqCst);
        self.failed.store(false, Ordering::SeqCst);
        self.armed.store(true, Ordering::SeqCst);
    }

    fn mend(&self) {
        self.armed.store(false, Ordering::SeqCst);
    }

    fn work(&self) -> io::Result<()> {
        if !self.armed.load(Ordering::SeqCst) || self.left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        self.failed.store(true, Ordering::SeqCst);
        if !self.lasting.load(Ordering::SeqCst) {
            self.mend();
        }
        Err(io::Error::from_raw_os_error(5))
    }
}

impl crate::Disk for Disk {
    fn write_all_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut old = vec![0; bytes.len()];
        // A file that is being made has nothing there.
        let _ = file.read_exact_at(&mut old, at);
        *self.last_write.lock().unwrap() = Some((at, old, bytes.to_vec()));
        self.work().or_else(|error| {
            // Some of it reaches the disk.
            file.write_all_at(&bytes[..bytes.len() / 2], at)?;
            Err(error)
        })?;
        file.write_all_at(bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.work().or_else(|error| {
            if let Some((at, old, _)) = &*self.last_write.lock().unwrap() {
                file.write_all_at(old, *at)?;
            }
            Err(error)
        })?;
        file.sync_data()
    }
}

#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    disk: Arc<Disk>,
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.work()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.work()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.work()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

fn open_on_faulty_disk() -> (TempDir, Store, Arc<Disk>) {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::default());
    let for_store = Arc::clone(&disk);
    let opener = move |file| {
        redb::Builder::new().create_with_backend(Faulty { file: FileBackend::new(file)?, disk: Arc::clone(&for_store) })
    };
    let store = Store::open_on(directory.path(), opener, Arc::clone(&disk) as Arc<dyn crate::Disk>).unwrap();
    (directory, store, disk)
}

#[test]
fn a_commit_that_fails_at_any_operation_is_all_or_nothing_and_the_next_one_works() {
    for (lasting, is_full) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut failures = 0;
        for operations in 0.. {
            let (_directory, store, disk) = open_on_faulty_disk();
            if is_full {
                // The next commit goes into the database itself, with all before it.
                store
                    .commit(&[Write::Cursor("forge".into(), "x".repeat(JOURNAL_RECORD_BYTES_MAX - 5_000))], Steady(1))
                    .unwrap();
            }
            store.commit(&[Write::Cursor("forge".into(), "before".to_owned())], Steady(1)).unwrap();
            let before = snapshot(&store);
            disk.fail_after(operations, lasting);
            let result = store.commit(&everything(), Steady(2));
            if !disk.failed.load(Ordering::SeqCst) {
                result.unwrap();
                break;
            }
            failures += 1;
            disk.mend();
            let after = snapshot(&store);
            assert!(after == before || after == everything_loaded(), "half a commit at operation {operations}");
            assert!(result.is_err() || after == everything_loaded(), "lost at operation {operations}");
            store.commit(&everything(), Steady(3)).unwrap();
            assert_eq!(store.load().unwrap(), (everything_loaded(), Steady(3)));
            let author = PersonRef::parse(&full_change().seen.author);
            assert_eq!(store.read().unwrap().find_people(&author).unwrap(), [PersonId(1)]);
        }
        // Into the journal with a write and a sync.
        assert!(if is_full { failures > 10 } else { failures == 2 }, "{failures} operations failed");
    }
}

/// Whole pages of text that differ from page to page.
fn long(word: &str) -> String {
    (0..3_000).map(|number| format!("{word} {number}\n")).collect()
}

#[test]
fn a_record_that_failed_and_reaches_the_disk_later_is_never_taken_for_another() {
    // All of one length: what comes later is behind what is written then.
    for written_later in 0.. {
        let (directory, store, disk) = open_on_faulty_disk();
        let put = |store: &Store, cursor: &str| store.commit(&[Write::Cursor("forge".into(), long(cursor))], Steady(1));
        put(&store, "first").unwrap();
        disk.fail_after(1, false);
        put(&store, "fails").unwrap_err();
        let (at, _, failed) = disk.last_write.lock().unwrap().clone().unwrap();
        if written_later * 4096 >= failed.len() {
            break;
        }
        put(&store, "again").unwrap();
        let copy = directory.path().join("copy");
        fs::create_dir(&copy).unwrap();
        for file in ["stampmill.redb", "stampmill.journal"] {
            fs::copy(store.directory().join(file), copy.join(file)).unwrap();
        }
        let journal = fs::File::options().write(true).open(copy.join("stampmill.journal")).unwrap();
        journal.write_all_at(&failed[written_later * 4096..], at + 4096 * written_later as u64).unwrap();
        let found = snapshot(&Store::open(&copy).unwrap()).cursors;
        assert!(found == [("forge".into(), long("again"))], "pages from {written_later} on came later");
    }
}

#[test]
fn two_crashes_in_a_row_never_make_one_record_of_two() {
    let (directory, store) = open();
    store.commit(&[Write::Cursor("forge".into(), "first".to_owned())], Steady(1)).unwrap();
    let mut place = store.directory().to_owned();
    drop(store);
    // Each time the host dies while it writes a record, of which another page is missing.
    for (crash, missing) in [0, 2, 1].into_iter().enumerate() {
        let store = Store::open(&place).unwrap();
        let journal = fs::read(place.join("stampmill.journal")).unwrap();
        store.commit(&[Write::Cursor("forge".into(), long(&format!("crash {crash}")))], Steady(2)).unwrap();
        let next = directory.path().join(format!("crash-{crash}"));
        fs::create_dir(&next).unwrap();
        fs::copy(place.join("stampmill.redb"), next.join("stampmill.redb")).unwrap();
        let mut torn = fs::read(place.join("stampmill.journal")).unwrap();
        torn[missing * 4096..(missing + 1) * 4096].copy_from_slice(&journal[missing * 4096..(missing + 1) * 4096]);
        fs::write(next.join("stampmill.journal"), torn).unwrap();
        place = next;
        assert_eq!(snapshot(&Store::open(&place).unwrap()).cursors, [("forge".into(), "first".to_owned())]);
    }
}

#[test]
fn a_commit_that_can_not_be_applied_does_not_come_back_at_the_next_opening() {
    let (_directory, store) = open();
    store.commit(&[Write::Cursor("forge".into(), "first".to_owned())], Steady(1)).unwrap();
    store
        .write(|transaction| {
            transaction.open_table(crate::tables::COUNTERS)?.insert("counters", b"nonsense".as_slice())?;
            Ok(())
        })
        .unwrap();
    let error = store.commit(&[Write::Cursor("forge".into(), "second".to_owned())], Steady(2)).unwrap_err();
    assert!(error.to_string().contains("counters"), "{error}");
    let cursors = |store: &Store| {
        store.view(|view| Ok(view.transaction.open_table(CURSORS)?.get("forge")?.unwrap().value().to_owned()))
    };
    assert_eq!(cursors(&store).unwrap(), "first");
    let path = store.directory().to_owned();
    drop(store);
    assert_eq!(cursors(&Store::open(&path).unwrap()).unwrap(), "first", "what there is can be read");
}

#[test]
fn while_the_disk_fails_every_call_says_so_and_afterwards_all_is_well() {
    let (_directory, store, disk) = open_on_faulty_disk();
    store.commit(&everything(), Steady(2)).unwrap();
    disk.fail_after(0, true);
    for _ in 0..3 {
        let error = store.commit(&[Write::Cursor("forge".into(), "c2".repeat(4096))], Steady(3)).unwrap_err();
        assert_eq!(error.disk_trouble(), Some("its disk fails"), "{error}");
        assert!(snapshot(&store) == everything_loaded(), "what is stored can be read meanwhile");
    }
    disk.mend();
    assert_eq!(store.load().unwrap(), (everything_loaded(), Steady(2)));
    store.commit(&everything(), Steady(4)).unwrap();
    assert_eq!(store.load().unwrap().1, Steady(4));
}

#[test]
fn a_view_that_was_open_while_the_database_was_reopened_fails_or_is_right_and_a_new_one_works() {
    let (_directory, store, _disk) = open_on_faulty_disk();
    store.commit(&everything(), Steady(2)).unwrap();
    let old = store.read().unwrap();
    store.reopen().unwrap();
    if let Ok((snapshot, _)) = old.load() {
        assert_eq!(snapshot, everything_loaded());
    }
    drop(old);
    assert_eq!(snapshot(&store), everything_loaded());
    store.commit(&[], Steady(3)).unwrap();
}
