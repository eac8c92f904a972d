//! Appending, reading, and files that a crash or a liar has left.

use std::fs::OpenOptions;
use std::ops::Range;

use tempfile::TempDir;

use super::*;
use crate::limits::{FRAME_RAW_BYTES_MAX, LOG_PAGE_BYTES_MAX, OPEN_LOG_FILES};

pub(super) const BUILD: BuildId = BuildId(4321);

fn open() -> (TempDir, LogFiles) {
    let directory = tempfile::tempdir().unwrap();
    let logs = LogFiles::open(directory.path()).unwrap();
    (directory, logs)
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Frames of a log that is cut at these places.
fn frames_of(step: u32, log: &str, text: &[u8], pieces: impl IntoIterator<Item = Range<usize>>) -> Vec<Frame> {
    let mut first_line = 0;
    let mut all = Vec::new();
    for (piece, ordinal) in pieces.into_iter().zip(0..) {
        let piece = &text[piece];
        all.push(Frame {
            step,
            log: log.to_owned(),
            ordinal,
            first_line,
            newlines: newlines(piece) as u32,
            raw_len: piece.len() as u32,
            body: zstd::bulk::compress(piece, 1).unwrap(),
        });
        first_line += newlines(piece) as u64;
    }
    all
}

pub(super) fn frames(text: &str, size: usize) -> Vec<Frame> {
    let ends = (0..text.len()).step_by(size).map(|start| start..(start + size).min(text.len()));
    frames_of(1, "stdio", text.as_bytes(), ends)
}

fn raw(logs: &LogFiles, step: u32, log: &str, from: u64) -> Vec<u8> {
    logs.raw(BUILD, step, log, from).unwrap().unwrap().flat_map(Result::unwrap).collect()
}

pub(super) fn text_of(logs: &LogFiles) -> String {
    String::from_utf8(raw(logs, 1, "stdio", 0)).unwrap()
}

/// Numbers that look random and are the same every time.
fn numbers(mut seed: u64) -> impl Iterator<Item = u64> {
    std::iter::repeat_with(move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    })
}

#[test]
fn every_page_of_a_log_is_right_wherever_its_frames_are_cut() {
    for seed in 0..25 {
        let mut random = numbers(seed);
        let mut next = |below: u64| (random.next().unwrap() % below) as usize;
        let mut text = Vec::new();
        for _ in 0..next(30) {
            text.extend(std::iter::repeat_n(b'a' + next(26) as u8, [0, 0, 1, 5, 70][next(5)]));
            text.push(b'\n');
        }
        if next(2) == 0 || text.is_empty() {
            text.extend(b"the last line has no newline");
        }
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let end = (at + 1 + next(40)).min(text.len());
            pieces.push(at..end);
            at = end;
        }
        let (_directory, logs) = open();
        logs.append(BUILD, &frames_of(1, "stdio", &text, pieces)).unwrap();
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        for first in 0..lines.len() + 2 {
            for count in 0..lines.len() + 2 {
                let page = logs.lines(BUILD, 1, "stdio", first as u64, count).unwrap().unwrap();
                let expected = &lines[first.min(lines.len())..(first + count).min(lines.len())];
                let context = format!("seed {seed}, {count} lines from {first}");
                assert_eq!(page.bytes, expected.concat(), "{context}");
                assert_eq!((page.count, page.cut), (expected.len() as u64, false), "{context}");
            }
        }
        let info = logs.info(BUILD, 1, "stdio").unwrap().unwrap();
        assert_eq!((info.lines, info.bytes), (lines.len() as u64, text.len() as u64), "seed {seed}");
        assert_eq!(info.whole_lines, newlines(&text) as u64, "seed {seed}");
        for from in 0..=text.len() {
            assert_eq!(raw(&logs, 1, "stdio", from as u64), text[from..], "seed {seed} from byte {from}");
        }
    }
}

#[test]
fn pages_and_tail_of_a_million_lines_are_right() {
    let text: String = (0..1_000_000).map(|line| format!("line {line}: compiling something\n")).collect();
    let (directory, logs) = open();
    for frames in frames(&text, 65_536).chunks(24) {
        logs.append(BUILD, frames).unwrap();
    }
    logs.finish(BUILD, None).unwrap();
    logs.sync(&[BUILD]).unwrap();
    // Warm, and as another process finds it.
    for logs in [logs, LogFiles::open(directory.path()).unwrap()] {
        let info = logs.info(BUILD, 1, "stdio").unwrap().unwrap();
        assert_eq!((info.lines, info.bytes, info.ended), (1_000_000, text.len() as u64, true));
        for first in [0, 1, 1_977, 123_456, 500_000, 999_899].into_iter().chain(numbers(1).take(50)) {
            let first = first % 1_000_000;
            let page = logs.lines(BUILD, 1, "stdio", first, 100).unwrap().unwrap();
            let expected: String = (first..(first + 100).min(1_000_000))
                .map(|line| format!("line {line}: compiling something\n"))
                .collect();
            assert_eq!(String::from_utf8(page.bytes).unwrap(), expected);
            assert_eq!(page.first_line, first);
        }
        let tail = logs.tail(BUILD, 1, "stdio", 3).unwrap().unwrap();
        assert_eq!((tail.first_line, tail.count), (999_997, 3));
        assert!(tail.bytes.starts_with(b"line 999997:") && tail.bytes.ends_with(b"line 999999: compiling something\n"));
    }
}

#[test]
fn logs_of_one_build_are_apart_and_listed_by_step_and_name() {
    let (_directory, logs) = open();
    let of = |step, log, text: &str| frames_of(step, log, text.as_bytes(), [0..2, 2..text.len()]);
    let mut all = Vec::new();
    for frames in [of(2, "stdio", "two\nline"), of(1, "b", "bee\n"), of(1, "a", "aye\n")] {
        all.push(frames);
    }
    // They arrive mixed.
    for place in 0..2 {
        for frames in &all {
            logs.append(BUILD, &frames[place..=place]).unwrap();
        }
    }
    let names: Vec<_> = logs.logs(BUILD).unwrap().into_iter().map(|info| (info.step, info.log, info.lines)).collect();
    assert_eq!(names, [(1, "a".to_owned(), 1), (1, "b".to_owned(), 1), (2, "stdio".to_owned(), 2)]);
    assert_eq!(raw(&logs, 2, "stdio", 0), b"two\nline");
    assert_eq!(raw(&logs, 1, "b", 0), b"bee\n");
    assert_eq!(logs.info(BUILD, 3, "stdio").unwrap(), None);
    assert_eq!(logs.lines(BUILD, 1, "stdio", 0, 1).unwrap(), None);
    assert!(logs.raw(BuildId(1), 1, "stdio", 0).unwrap().is_none());
    assert_eq!(logs.logs(BuildId(1)).unwrap(), []);
}

#[test]
fn a_frame_that_is_sent_again_is_skipped_and_one_that_is_missing_is_asked_for() {
    let (_directory, logs) = open();
    let all = frames("one\ntwo\nthree\nfour\n", 4);
    assert_eq!(logs.append(BUILD, &all[..2]).unwrap(), Appended { written: 2, skipped: 0, torn_bytes: 0, lost: 0 });
    assert_eq!(logs.append(BUILD, &all[..3]).unwrap(), Appended { written: 1, skipped: 2, torn_bytes: 0, lost: 0 });
    let error = logs.append(BUILD, &all[4..]).unwrap_err();
    assert!(matches!(error, LogError::Gap { expected: 3, found: 4, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "log \"stdio\" of step 1 of build 4321 goes on with frame 3, not 4; send again from 3"
    );
    // What came before the gap in the same call is kept, and nothing after it.
    let gap = [all[3].clone(), Frame { ordinal: 9, ..all[3].clone() }];
    assert!(logs.append(BUILD, &gap).is_err());
    assert_eq!(logs.info(BUILD, 1, "stdio").unwrap().unwrap().frames, 4);
    assert_eq!(text_of(&logs), "one\ntwo\nthree\nfo");
}

#[test]
fn frames_that_break_a_bound_are_refused() {
    let (_directory, logs) = open();
    let good = frames("one\n", 9).remove(0);
    let bad = [
        (
            "a frame has 1 to 1048576 bytes, this one 1048577",
            Frame { raw_len: FRAME_RAW_BYTES_MAX + 1, ..good.clone() },
        ),
        ("a frame has 1 to 1048576 bytes, this one 0", Frame { raw_len: 0, newlines: 0, ..good.clone() }),
        ("a body has 1 to 1056768 bytes, this one 0", Frame { body: Vec::new(), ..good.clone() }),
        ("a body has 1 to 1056768 bytes, this one 1056769", Frame { body: vec![0; 1_056_769], ..good.clone() }),
        ("5 newlines can't be in 4 bytes", Frame { newlines: 5, ..good.clone() }),
        ("a name has 1 to 128 bytes, this one 0", Frame { log: String::new(), ..good.clone() }),
        ("a name has 1 to 128 bytes, this one 129", Frame { log: "x".repeat(129), ..good.clone() }),
        ("it starts in line 3 and must start in 0", Frame { first_line: 3, ..good.clone() }),
    ];
    for (problem, frame) in bad {
        match logs.append(BUILD, &[frame]) {
            Err(LogError::Refused { problem: said, .. }) => assert_eq!(said, problem),
            other => panic!("{problem}: {other:?}"),
        }
    }
    assert_eq!(logs.logs(BUILD).unwrap(), []);
    logs.append(BUILD, &[Frame { log: "x".repeat(128), ..good }]).unwrap();
}

#[test]
fn a_worker_that_lies_about_a_frame_gets_an_error_at_reading_and_no_memory() {
    let (_directory, logs) = open();
    let zeros = zstd::bulk::compress(&vec![0; 100_000_000], 1).unwrap();
    assert!(zeros.len() < 100_000);
    let frame = |log: &str, newlines, raw_len, body: &[u8]| Frame {
        step: 1,
        log: log.to_owned(),
        ordinal: 0,
        first_line: 0,
        newlines,
        raw_len,
        body: body.to_vec(),
    };
    let two = zstd::bulk::compress(b"a\nb\n", 1).unwrap();
    for (log, newlines, raw_len, body, problem) in [
        ("bomb", 0, 1000, &zeros[..], "it can't be decompressed"),
        ("short", 0, 1000, &two, "it has 4 bytes and says 1000"),
        ("lines", 3, 4, &two, "it has 2 newlines and says 3"),
        ("noise", 0, 4, b"not zstd", "it can't be decompressed"),
    ] {
        logs.append(BUILD, &[frame(log, newlines, raw_len, body)]).unwrap();
        for error in [
            logs.lines(BUILD, 1, log, 0, 10).unwrap_err(),
            logs.raw(BUILD, 1, log, 0).unwrap().unwrap().next().unwrap().unwrap_err(),
            logs.tail(BUILD, 1, log, 1).unwrap_err(),
        ] {
            assert!(error.to_string().contains(problem), "{log}: {error}");
        }
    }
    assert_eq!(logs.logs(BUILD).unwrap().len(), 4, "the list of logs does not depend on them");
}

#[test]
fn a_log_that_has_ended_takes_nothing_but_what_it_has() {
    let (directory, logs) = open();
    let all = frames("one\ntwo\nthree\n", 4);
    logs.append(BUILD, &all[..3]).unwrap();
    logs.append(BUILD, &frames_of(2, "stdio", b"x", std::iter::once(0..1))).unwrap();
    logs.finish(BUILD, Some(1)).unwrap();
    logs.finish(BUILD, Some(1)).unwrap();
    for logs in [logs, LogFiles::open(directory.path()).unwrap()] {
        let ended: Vec<_> = logs.logs(BUILD).unwrap().iter().map(|info| (info.step, info.ended)).collect();
        assert_eq!(ended, [(1, true), (2, false)]);
        assert_eq!(logs.append(BUILD, &all[..3]).unwrap().skipped, 3);
        assert!(matches!(logs.append(BUILD, &all[3..]), Err(LogError::Closed { step: 1, .. })));
        assert_eq!(text_of(&logs), "one\ntwo\nthre");
    }
    let logs = LogFiles::open(directory.path()).unwrap();
    logs.finish(BUILD, None).unwrap();
    assert!(logs.logs(BUILD).unwrap().iter().all(|info| info.ended));
    logs.finish(BuildId(77), None).unwrap();
    assert_eq!(logs.logs(BuildId(77)).unwrap(), [], "ending what is not there makes nothing");
}

#[test]
fn a_log_is_full_at_its_limit_and_what_is_there_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let logs = LogFiles::with_limit(directory.path(), 10).unwrap();
    let all = frames("12345678\n12", 9);
    // One frame of nine bytes fits by its raw length, but not with its overhead on disk.
    assert!(matches!(logs.append(BUILD, &all[..1]), Err(LogError::Full { limit: 10, .. })));
    let logs = LogFiles::with_limit(directory.path(), 200).unwrap();
    let long = "x".repeat(150) + "\n";
    let all = frames(&(long.clone() + &long), 151);
    assert!(matches!(logs.append(BUILD, &all), Err(LogError::Full { limit: 200, unit: "bytes", .. })));
    assert_eq!(text_of(&logs), long);
    logs.finish(BUILD, None).unwrap();
    assert!(logs.info(BUILD, 1, "stdio").unwrap().unwrap().ended, "a full log can be ended");
}

#[test]
fn a_line_too_long_for_a_page_is_cut_and_the_next_one_is_reached() {
    let long = "x".repeat(LOG_PAGE_BYTES_MAX + 100_000);
    let text = format!("first\n{long}\nafter\n{}\nend\n", "y".repeat(LOG_PAGE_BYTES_MAX - 10));
    let (_directory, logs) = open();
    logs.append(BUILD, &frames(&text, 65_536)).unwrap();
    let page = |first| logs.lines(BUILD, 1, "stdio", first, 100).unwrap().unwrap();
    let mut at = 0;
    let mut pages = Vec::new();
    while at < 5 {
        let page = page(at);
        assert!(page.bytes.len() <= LOG_PAGE_BYTES_MAX);
        pages.push((page.first_line, page.count, page.cut, page.bytes.len()));
        at += page.count;
    }
    assert_eq!(
        pages,
        [(0, 1, false, 6), (1, 1, true, LOG_PAGE_BYTES_MAX), (2, 2, false, LOG_PAGE_BYTES_MAX - 3), (4, 1, false, 4)]
    );
}

/// What may follow after [`three_frames`].
fn fourth() -> Frame {
    Frame { ordinal: 3, first_line: 2, ..frames(" and more", 9).remove(0) }
}

/// A file of three frames, and where each ends.
fn three_frames(directory: &Path) -> (PathBuf, Vec<Frame>, Vec<u64>) {
    let logs = LogFiles::open(directory).unwrap();
    let all = frames("first line\nsecond line\nthird line", 11);
    let path = logs.path(BUILD);
    let mut ends = Vec::new();
    for frame in &all {
        logs.append(BUILD, std::slice::from_ref(frame)).unwrap();
        ends.push(fs::metadata(&path).unwrap().len());
    }
    logs.sync(&[BUILD]).unwrap();
    (path, all, ends)
}

#[test]
fn a_file_torn_at_any_byte_is_read_to_its_last_whole_frame_and_goes_on_from_there() {
    let directory = tempfile::tempdir().unwrap();
    let (path, all, ends) = three_frames(directory.path());
    let whole = fs::read(&path).unwrap();
    for len in 0..=whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let kept = ends.iter().filter(|end| **end <= len as u64).count();
        let last_end = kept.checked_sub(1).map_or(0, |last| ends[last]);
        let logs = LogFiles::open(directory.path()).unwrap();
        let frames = logs.info(BUILD, 1, "stdio").unwrap().map_or(0, |info| info.frames);
        assert_eq!(frames, kept as u64, "torn at {len}");
        if kept > 0 {
            let expected: String = "first line\nsecond line\nthird line".chars().take(kept * 11).collect();
            assert_eq!(text_of(&logs), expected, "torn at {len}");
        }
        let appended = logs.append(BUILD, &all).unwrap();
        let expected =
            Appended { written: all.len() - kept, skipped: kept, torn_bytes: len as u64 - last_end, lost: 0 };
        assert_eq!(appended, expected, "torn at {len}");
        assert_eq!(fs::read(&path).unwrap(), whole, "torn at {len}");
        assert_eq!(text_of(&logs), "first line\nsecond line\nthird line", "torn at {len}");
    }
}

#[test]
fn a_file_with_any_byte_wrong_is_cut_before_the_frame_that_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let (path, all, ends) = three_frames(directory.path());
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        fs::write(&path, &damaged).unwrap();
        let kept = ends.iter().filter(|end| **end <= at as u64).count();
        let logs = LogFiles::open(directory.path()).unwrap();
        // A reader may see frames whose bodies are wrong, but says so instead of showing them.
        if let Some(log) = logs.raw(BUILD, 1, "stdio", 0).unwrap() {
            let shown: Vec<u8> = log.map_while(Result::ok).flatten().collect();
            assert!(b"first line\nsecond line\nthird line".starts_with(&shown), "wrong at {at}");
        }
        let appended = logs.append(BUILD, &all).unwrap();
        assert_eq!(appended.skipped, kept, "wrong at {at}");
        assert_eq!(fs::read(&path).unwrap(), whole, "wrong at {at}");
        assert_eq!(text_of(&logs), "first line\nsecond line\nthird line");
    }
}

#[test]
fn what_a_crash_left_behind_the_last_frame_is_cut_away_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _, ends) = three_frames(directory.path());
    let mut torn = fs::read(&path).unwrap();
    torn.extend([0; 5000]);
    fs::write(&path, torn).unwrap();
    let logs = LogFiles::open(directory.path()).unwrap();
    assert_eq!(text_of(&logs), "first line\nsecond line\nthird line");
    assert_eq!(logs.append(BUILD, &[]).unwrap(), Appended { written: 0, skipped: 0, torn_bytes: 5000, lost: 0 });
    assert_eq!(fs::metadata(&path).unwrap().len(), ends[2]);
    assert_eq!(logs.append(BUILD, &[fourth()]).unwrap().torn_bytes, 0, "that was told once");
}

#[test]
fn a_last_line_counts_before_and_after_its_newline() {
    let (_directory, logs) = open();
    let mut counts = Vec::new();
    for frame in frames("one\ntwo\n", 2) {
        logs.append(BUILD, &[frame]).unwrap();
        let info = logs.info(BUILD, 1, "stdio").unwrap().unwrap();
        counts.push((info.whole_lines, info.lines));
    }
    assert_eq!(counts, [(0, 1), (1, 1), (1, 2), (2, 2)]);
}

#[test]
fn a_reader_sees_what_is_appended_while_it_reads() {
    let (_directory, logs) = open();
    let text: String = (0..3000).map(|line| format!("line {line}\n")).collect();
    let all = frames(&text, 50);
    let writer = {
        let logs = logs.clone();
        std::thread::spawn(move || {
            for frame in all {
                logs.append(BUILD, &[frame]).unwrap();
                logs.sync(&[BUILD]).unwrap();
            }
        })
    };
    let mut last = 0;
    while last < text.len() as u64 {
        let Some(info) = logs.info(BUILD, 1, "stdio").unwrap() else { continue };
        assert!(info.bytes >= last);
        last = info.bytes;
        assert!(text.as_bytes().starts_with(&raw(&logs, 1, "stdio", 0)));
        let tail = logs.tail(BUILD, 1, "stdio", 2).unwrap().unwrap();
        let from = text.split_inclusive('\n').take(tail.first_line as usize).map(str::len).sum::<usize>();
        assert!(text.as_bytes()[from..].starts_with(&tail.bytes));
    }
    writer.join().unwrap();
}

#[test]
fn more_builds_than_open_files_can_be_written_and_read() {
    let (_directory, logs) = open();
    let all = frames("one\ntwo\n", 4);
    let builds: Vec<_> = (0..OPEN_LOG_FILES as u64 + 50).map(BuildId).collect();
    for build in &builds {
        logs.append(*build, &all[..1]).unwrap();
    }
    // Nothing is synced yet, so nothing may be closed; then it may.
    assert_eq!(logs.open_files(), builds.len());
    logs.sync(&builds).unwrap();
    for build in &builds {
        assert_eq!(logs.append(*build, &all).unwrap(), Appended { written: 1, skipped: 1, torn_bytes: 0, lost: 0 });
        logs.sync(&[*build]).unwrap();
        assert_eq!(logs.tail(*build, 1, "stdio", 1).unwrap().unwrap().bytes, b"two\n");
    }
    logs.append(BuildId(100_000), &all).unwrap();
    assert!(logs.open_files() <= OPEN_LOG_FILES);
}

#[test]
fn a_file_that_was_read_first_can_be_appended_to_and_one_that_was_removed_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (path, all, _) = three_frames(directory.path());
    let logs = LogFiles::open(directory.path()).unwrap();
    assert_eq!(text_of(&logs), "first line\nsecond line\nthird line");
    logs.append(BUILD, &[fourth()]).unwrap();
    assert_eq!(text_of(&logs), "first line\nsecond line\nthird line and more");
    let held = logs.raw(BUILD, 1, "stdio", 0).unwrap().unwrap();
    logs.remove(BUILD).unwrap();
    logs.remove(BUILD).unwrap();
    assert!(!path.exists());
    assert_eq!(logs.info(BUILD, 1, "stdio").unwrap(), None);
    assert_eq!(held.map(|frame| frame.unwrap().len()).sum::<usize>(), 42);
    logs.append(BUILD, &all).unwrap();
    assert_eq!(text_of(&logs), "first line\nsecond line\nthird line");
}

#[test]
fn an_append_that_the_disk_refuses_leaves_what_was_there_and_can_be_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let (path, all, _) = three_frames(directory.path());
    let logs = LogFiles::open(directory.path()).unwrap();
    logs.append(BUILD, &all).unwrap();
    // A descriptor that can't be written to stands for a disk that refuses.
    {
        let entry = logs.shared.cache.get(BUILD).unwrap();
        let mut state = entry.lock();
        let cache::State::Writing(open) = &mut *state else { panic!("it was written to") };
        open.file = Arc::new(OpenOptions::new().read(true).open(&path).unwrap());
    }
    assert!(matches!(logs.append(BUILD, &[fourth()]), Err(LogError::Io { action: "write", .. })));
    assert_eq!(text_of(&logs), "first line\nsecond line\nthird line");
    assert_eq!(logs.append(BUILD, &[fourth()]).unwrap().written, 1);
    assert_eq!(text_of(&logs), "first line\nsecond line\nthird line and more");
}
