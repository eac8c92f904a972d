//! Disks that fail under logs, and files that have lost what was acknowledged.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::tests::{BUILD, frames, text_of};
use super::*;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// Operations that still succeed; then this error, until it is mended or just once.
#[derive(Clone, Copy)]
struct Plan {
    left: usize,
    error: i32,
    lasting: bool,
}

#[derive(Default)]
struct Faulty(Mutex<Option<Plan>>);

impl Faulty {
    fn plan(&self, plan: Option<Plan>) {
        *self.0.lock().unwrap() = plan;
    }

    /// Whether the fault is still to come.
    fn is_planned(&self) -> bool {
        self.0.lock().unwrap().is_some_and(|plan| plan.left > 0)
    }

    fn work(&self) -> io::Result<()> {
        let mut planned = self.0.lock().unwrap();
        let Some(plan) = *planned else { return Ok(()) };
        if plan.left > 0 {
            *planned = Some(Plan { left: plan.left - 1, ..plan });
            return Ok(());
        }
        if !plan.lasting {
            *planned = None;
        }
        Err(io::Error::from_raw_os_error(plan.error))
    }
}

impl Disk for Faulty {
    fn make(&self, options: &mut OpenOptions, path: &Path) -> io::Result<File> {
        self.work()?;
        options.create_new(true).open(path)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.work().or_else(|error| {
            // A full disk takes what it has room for.
            file.write_all_at(&bytes[..bytes.len() / 2], at)?;
            Err(error)
        })?;
        file.write_all_at(bytes, at)
    }

    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        self.work()?;
        file.set_len(len)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.work()?;
        file.sync_data()
    }
}

fn open_on(disk: &Arc<Faulty>) -> (tempfile::TempDir, LogFiles) {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::clone(disk) as Arc<dyn Disk>;
    let logs = LogFiles::open_on(directory.path(), disk).unwrap();
    (directory, logs)
}

/// What the gateway does with a batch; afterwards the worker forgets it.
fn store(logs: &LogFiles, batch: &[Frame]) -> Result<usize, LogError> {
    let taken = logs.take(BUILD, batch)?;
    logs.sync(&[BUILD])?;
    Ok(taken.lost)
}

#[test]
fn whatever_operation_of_a_log_fails_what_was_acknowledged_is_there_and_the_rest_comes_again() {
    let text: String = (0..200).map(|number| format!("line {number}\n")).collect();
    let all = frames(&text, 100);
    for (error, lasting) in [(EIO, false), (ENOSPC, false), (ENOSPC, true), (EIO, true)] {
        for left in 0.. {
            let disk = Arc::new(Faulty::default());
            let (directory, logs) = open_on(&disk);
            disk.plan(Some(Plan { left, error, lasting }));
            let mut acknowledged = 0;
            let mut failures = 0;
            while acknowledged < all.len() {
                let end = (acknowledged + 3).min(all.len());
                match store(&logs, &all[acknowledged..end]) {
                    Ok(lost) => {
                        assert_eq!(lost, 0);
                        acknowledged = end;
                    }
                    Err(error) => {
                        assert!(error.disk_trouble().is_some(), "{error}");
                        failures += 1;
                        if acknowledged > 0 {
                            let stored = text_of(&LogFiles::open(directory.path()).unwrap());
                            assert!(stored.len() >= acknowledged * 100 && text.starts_with(&stored), "{left}");
                        }
                        if failures == 3 {
                            disk.plan(None);
                        }
                    }
                }
            }
            let never = failures == 0 && disk.is_planned();
            disk.plan(None);
            logs.finish(BUILD, None).unwrap();
            logs.sync(&[BUILD]).unwrap();
            assert_eq!(text_of(&LogFiles::open(directory.path()).unwrap()), text);
            assert!(logs.info(BUILD, 1, "stdio").unwrap().unwrap().ended);
            if never {
                assert!(left > 10, "only {left} operations");
                break;
            }
        }
    }
}

#[test]
fn what_a_failed_sync_has_cut_away_is_not_called_safe_to_another_who_appended_it() {
    let text = "a\nb\nc\n";
    let all = frames(text, 2);
    let disk = Arc::new(Faulty::default());
    let (_directory, logs) = open_on(&disk);
    // One connection appends, then another of the same worker, and the first one's sync fails.
    logs.take(BUILD, &all[..1]).unwrap();
    logs.take(BUILD, &all).unwrap();
    disk.plan(Some(Plan { left: 0, error: EIO, lasting: false }));
    assert!(logs.sync(&[BUILD]).is_err());
    assert!(logs.sync(&[BUILD]).is_err(), "what the other has appended is gone too");
    store(&logs, &all).unwrap();
    assert_eq!(text_of(&logs), text);
}

/// A disk whose first sync waits until it is told, and fails.
struct Held {
    syncing: Sender<()>,
    go: Mutex<Option<Receiver<()>>>,
}

impl Disk for Held {
    fn sync(&self, file: &File) -> io::Result<()> {
        let Some(go) = self.go.lock().unwrap().take() else { return file.sync_data() };
        self.syncing.send(()).unwrap();
        go.recv().unwrap();
        Err(io::Error::from_raw_os_error(EIO))
    }
}

#[test]
fn frames_whose_sync_is_under_way_are_not_safe_to_another_who_sends_them_again() {
    let text = "a\nb\nc\n";
    let all = frames(text, 2);
    let (syncing, begun) = channel();
    let (let_go, go) = channel();
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(Held { syncing, go: Mutex::new(Some(go)) });
    let logs = LogFiles::open_on(directory.path(), disk).unwrap();
    let send = || logs.store(BUILD, |logs| logs.take(BUILD, &all));
    thread::scope(|scope| {
        let first = scope.spawn(send);
        begun.recv().unwrap();
        let second = scope.spawn(send);
        // Time enough to find them there, were it let.
        thread::sleep(Duration::from_millis(100));
        let_go.send(()).unwrap();
        assert!(first.join().unwrap().is_err());
        assert_eq!(second.join().unwrap().unwrap().written, all.len());
    });
    assert_eq!(text_of(&logs), text);
}

#[test]
fn an_end_that_finds_a_part_of_the_file_gone_says_so() {
    let (directory, logs, _) = shortened(1);
    logs.finish(BUILD, None).unwrap();
    logs.sync(&[BUILD]).unwrap();
    for logs in [logs, LogFiles::open(directory.path()).unwrap()] {
        let info = logs.info(BUILD, 1, "stdio").unwrap().unwrap();
        assert!(info.lost && !info.ended, "{info:?}");
    }
}

/// A log whose file has lost the end of what was acknowledged, and its frames.
fn shortened(by: u64) -> (tempfile::TempDir, LogFiles, Vec<Frame>) {
    let directory = tempfile::tempdir().unwrap();
    let all = frames("one\ntwo\nthree\nfour\nfive\nsix\n", 6);
    let logs = LogFiles::open(directory.path()).unwrap();
    store(&logs, &all[..4]).unwrap();
    let path = logs.path(BUILD);
    drop(logs);
    let len = fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(len.saturating_sub(by)).unwrap();
    // As the next host does.
    let logs = LogFiles::open(directory.path()).unwrap();
    (directory, logs, all)
}

#[test]
fn a_log_that_lost_what_was_acknowledged_takes_no_more_and_says_so_for_ever() {
    for by in [1, 70, 100, 10_000] {
        let (directory, logs, all) = shortened(by);
        assert!(matches!(logs.append(BUILD, &all[4..]), Err(LogError::Gap { found: 4, .. })), "whoever asks is told");
        // The worker has forgotten the first four: it goes on with the fifth, and its build must not wait for ever.
        assert_eq!(store(&logs, &all[4..]).unwrap(), all.len() - 4);
        logs.finish(BUILD, None).unwrap();
        logs.sync(&[BUILD]).unwrap();
        for logs in [logs, LogFiles::open(directory.path()).unwrap()] {
            let info = logs.info(BUILD, 1, "stdio").unwrap().unwrap();
            assert!(info.lost && !info.ended, "{by}: {info:?}");
            assert!("one\ntwo\nthree\nfour\n".starts_with(&text_of(&logs)), "what is left can be read");
        }
    }
}

#[test]
fn a_gap_within_what_one_host_has_taken_is_the_senders_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let logs = LogFiles::open(directory.path()).unwrap();
    let all = frames("one\ntwo\nthree\nfour\nfive\nsix\n", 6);
    store(&logs, &all[..2]).unwrap();
    assert!(matches!(logs.take(BUILD, &all[3..]), Err(LogError::Gap { expected: 2, found: 3, .. })));
    assert_eq!(store(&logs, &all[2..]).unwrap(), 0);
}

#[test]
fn a_log_at_its_limit_is_given_up_and_the_build_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let logs = LogFiles::with_limit(directory.path(), 400).unwrap();
    let text: String = (0..100).map(|number| format!("line {number}\n")).collect();
    let all = frames(&text, 50);
    assert!(matches!(logs.append(BUILD, &all), Err(LogError::Full { .. })));
    assert!(store(&logs, &all).unwrap() > 0);
    logs.finish(BUILD, None).unwrap();
    let info = logs.info(BUILD, 1, "stdio").unwrap().unwrap();
    assert!(info.lost && !info.ended && info.bytes > 0, "{info:?}");
    assert!(text.starts_with(&text_of(&logs)));
}
