//! Log files as a crash, a failing disk or a stranger may leave them, read by the store and by a second reader that is written from the
//! description of the format alone.

mod expected;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stampmill_model::BuildId;
use stampmill_store::LogError;
use stampmill_store::limits::{FRAME_BODY_BYTES_MAX, FRAME_RAW_BYTES_MAX, LOG_PAGE_BYTES_MAX};
use stampmill_store::logs::{Frame, LogFiles, LogInfo};

use crate::memory;
use expected::{Expected, Log};

const BUILD: BuildId = BuildId(1);
/// What reading any frame may hold: its body, what it decompresses to, and a little around them.
const FRAME_BYTES: usize = FRAME_RAW_BYTES_MAX as usize + FRAME_BODY_BYTES_MAX as usize + (64 << 10);
/// What a page may hold besides: it grows by doubling, and while it moves both are there.
const PAGE_BYTES: usize = 3 * (LOG_PAGE_BYTES_MAX + FRAME_RAW_BYTES_MAX as usize);

thread_local! {
    static PLACE: Place = Place::new();
}

/// A data directory that is used again and again.
struct Place {
    directory: tempfile::TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        // In memory where that can be: every file is synced.
        let directory =
            tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory");
        let file = directory.path().join("logs/0/1.log");
        std::fs::create_dir_all(file.parent().expect("it has one")).expect("a directory");
        Self { directory, file }
    }
}

/// Takes the bytes for a log file as they are, and then with their checksums put right, so that more than those is tried.
pub fn run(bytes: &[u8]) {
    PLACE.with(|place| {
        check(place.directory.path(), &place.file, bytes);
        check(place.directory.path(), &place.file, &expected::with_right_checksums(bytes));
    });
}

fn check(directory: &Path, file: &Path, bytes: &[u8]) {
    std::fs::write(file, bytes).expect("the file can be written");
    let expected = Expected::of(bytes, false);
    let logs = LogFiles::open(directory).expect("the directory is there");
    // Of each frame an entry in the index, in lists that grow by doubling, and its name.
    let most = FRAME_BYTES + 16 * bytes.len();
    let infos = memory::at_most(most, "the index", || logs.logs(BUILD)).expect("damage is no error before it is read");
    let names: Vec<_> = infos.iter().map(|info| (info.step, info.log.clone())).collect();
    assert_eq!(names, expected.logs.keys().cloned().collect::<Vec<_>>());
    for info in &infos {
        let log = &expected.logs[&(info.step, info.log.clone())];
        assert_eq!(
            (info.frames, info.whole_lines, info.bytes, info.ended),
            (log.count(), log.newlines(), log.bytes(), log.ended)
        );
        as_it_is(&logs, info, log);
        by_pages(&logs, info, log);
    }
    go_on(&logs, bytes, &infos);
}

/// All bytes of a log: those of its good frames, up to the first that is damaged.
fn as_it_is(logs: &LogFiles, info: &LogInfo, log: &Log) {
    let raw = logs.raw(BUILD, info.step, &info.log, 0).expect("the file can be read").expect("the log is there");
    let mut frames = log.frames.iter();
    for piece in raw {
        let frame = frames.next().expect("a frame that is there");
        match (piece, &frame.raw) {
            (Ok(piece), Some(raw)) => assert_eq!(&piece, raw),
            (Err(LogError::Corrupt { problem, .. }), None) => assert!(!problem.is_empty()),
            (found, raw) => panic!("{found:?} instead of {:?}", raw.as_ref().map(Vec::len)),
        }
    }
    assert_eq!(frames.next().map(|frame| frame.raw.as_ref().map(Vec::len)), None, "frames were left out");
}

/// The same, a few lines at a time.
fn by_pages(logs: &LogFiles, info: &LogInfo, log: &Log) {
    let whole: Option<Vec<u8>> =
        log.frames.iter().map(|frame| frame.raw.clone()).collect::<Option<Vec<_>>>().map(|raw| raw.concat());
    let (mut line, mut read, mut cut) = (0, Vec::new(), false);
    for count in [1, 3, 10, 100_000, 100_000] {
        let most = FRAME_BYTES + PAGE_BYTES + 16 * log.frames.len() * size_of::<u64>() * 8;
        let page = memory::at_most(most, "a page", || logs.lines(BUILD, info.step, &info.log, line, count));
        match page {
            Ok(page) => {
                let page = page.expect("the log is there");
                assert!(page.count <= count as u64 && page.bytes.len() <= LOG_PAGE_BYTES_MAX);
                assert_eq!(page.first_line, line);
                line += page.count;
                cut |= page.cut;
                read.extend_from_slice(&page.bytes);
            }
            Err(LogError::Corrupt { .. }) => {
                assert_eq!(whole, None, "all frames are good");
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
    if let (Some(whole), false) = (whole, cut) {
        let same = if whole.len() <= LOG_PAGE_BYTES_MAX { read == whole } else { whole.starts_with(&read) };
        assert!(same, "{} bytes by pages, {} as they are", read.len(), whole.len());
        if whole.len() <= LOG_PAGE_BYTES_MAX {
            assert_eq!(line, info.lines, "lines by pages and lines that were told");
        }
    }
    let tail = logs.tail(BUILD, info.step, &info.log, 2);
    assert!(matches!(tail, Ok(Some(page)) if page.count <= 2) || whole_is_damaged(log));
}

fn whole_is_damaged(log: &Log) -> bool {
    log.frames.iter().any(|frame| frame.raw.is_none())
}

/// The file is written on: what was whole stays, what was torn goes, and the new frame is read back.
fn go_on(logs: &LogFiles, bytes: &[u8], before: &[LogInfo]) {
    let kept = Expected::of(bytes, true);
    let open = kept.logs.iter().find(|(_, log)| !log.is_over());
    let (step, log) = open.map_or((7, "more".to_owned()), |(name, _)| name.clone());
    let (ordinal, first_line) = open.map_or((0, 0), |(_, log)| (log.count(), log.newlines()));
    if open.is_none() && kept.logs.contains_key(&(step, log.clone())) {
        return;
    }
    let body = zstd::encode_all(&b"more\n"[..], 1).expect("zstd works in memory");
    let frame = Frame { step, log: log.clone(), ordinal, first_line, newlines: 1, raw_len: 5, body };
    let appended = logs.append(BUILD, &[frame]).expect("it fits");
    assert_eq!((appended.written, appended.skipped), (1, 0));
    assert_eq!(appended.torn_bytes, bytes.len() as u64 - kept.whole_bytes);
    let after: BTreeMap<_, _> = logs
        .logs(BUILD)
        .expect("the file can be read")
        .into_iter()
        .map(|info| ((info.step, info.log.clone()), info))
        .collect();
    assert_eq!(after[&(step, log)].frames, ordinal + 1);
    for (name, log) in &kept.logs {
        as_it_was(logs, &after[name], log);
    }
    assert!(after.len() <= before.len() + 1);
}

fn as_it_was(logs: &LogFiles, info: &LogInfo, log: &Log) {
    let raw = logs.raw(BUILD, info.step, &info.log, 0).expect("the file can be read").expect("the log is there");
    for (frame, piece) in log.frames.iter().zip(raw) {
        assert_eq!(frame.raw, piece.ok(), "what was read before");
    }
}
