use std::path::Path;

use stampmill_protocol::limits::FRAME_RAW_BYTES_MAX;
use stampmill_protocol::{LogFrame, WorkerMessage};

use super::*;

fn logs(directory: &Path, secrets: &[&str], output_bytes: u64) -> (StepLogs, Arc<Journal>) {
    let journal = Journal::create(directory, 7, 1 << 30, Arc::new(Notify::new())).unwrap();
    let journal = Arc::new(journal);
    let patterns = Arc::new(Patterns::new(secrets.iter().copied()));
    (StepLogs::new(Arc::clone(&journal), 3, patterns, output_bytes), journal)
}

/// The logs opened, in order, and all frames.
fn recorded(journal: &Journal) -> (Vec<String>, Vec<LogFrame>) {
    let (mut opened, mut frames, mut after) = (Vec::new(), Vec::new(), 0);
    while let Some((sequence, bytes)) = journal.after(after).unwrap() {
        after = sequence;
        match WorkerMessage::decode(&bytes).unwrap() {
            WorkerMessage::Told { event: Event::LogOpened { step: 3, log }, .. } => opened.push(log),
            WorkerMessage::Logs { frames: some, .. } => frames.extend(some),
            other => panic!("{other:?}"),
        }
    }
    (opened, frames)
}

/// The bytes of one log; checks that its frames fit together.
fn text(frames: &[LogFrame], log: &str) -> Vec<u8> {
    let (mut all, mut lines) = (Vec::new(), 0);
    for (ordinal, frame) in frames.iter().filter(|frame| frame.log == log).enumerate() {
        assert_eq!((frame.ordinal, frame.first_line), (ordinal as u64, lines));
        let raw = zstd::bulk::decompress(&frame.body, FRAME_RAW_BYTES_MAX as usize).unwrap();
        assert_eq!(raw.len(), frame.raw_len as usize);
        assert_eq!(raw.iter().filter(|byte| **byte == b'\n').count(), frame.newlines as usize);
        lines += u64::from(frame.newlines);
        all.extend(raw);
    }
    all
}

#[tokio::test]
async fn bytes_arrive_as_they_were_in_frames_that_fit_together() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, journal) = logs(directory.path(), &[], 1 << 30);
    let mut expected = Vec::new();
    let mut stream = logs.stream("stdio").unwrap();
    for number in 0..20_000u32 {
        let line = format!("line {number} \u{fc}\n");
        stream.write(line.as_bytes()).await.unwrap();
        expected.extend(line.into_bytes());
    }
    stream.write(b"\xff\xfe no text").await.unwrap();
    expected.extend(b"\xff\xfe no text");
    logs.line("other", "a line").await.unwrap();
    drop(stream);
    logs.flush().await.unwrap();
    let (opened, frames) = recorded(&journal);
    assert_eq!(opened, ["stdio", "other"]);
    assert!(text(&frames, "stdio") == expected);
    assert_eq!(text(&frames, "other"), b"a line\n");
    let torn = frames.iter().filter(|frame| frame.log == "stdio" && frame.raw_len > 40_000);
    for frame in torn {
        let raw = zstd::bulk::decompress(&frame.body, FRAME_RAW_BYTES_MAX as usize).unwrap();
        assert_eq!(raw.last(), Some(&b'\n'), "a full frame ends with its line");
    }
}

#[tokio::test]
async fn a_line_is_cut_into_a_frame_a_moment_later_without_anyone_asking() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = Arc::new(Notify::new());
    let journal = Arc::new(Journal::create(directory.path(), 7, 1 << 30, Arc::clone(&outbox)).unwrap());
    let logs = StepLogs::new(Arc::clone(&journal), 3, Arc::new(Patterns::default()), 1 << 30);
    let flushing = {
        let logs = logs.clone();
        tokio::spawn(async move { logs.flush_in_time().await })
    };
    let mut stream = logs.stream("stdio").unwrap();
    outbox.notified().await;
    for (written, expected) in [("one", "one"), (" two", "one two")] {
        stream.write(written.as_bytes()).await.unwrap();
        outbox.notified().await;
        assert_eq!(text(&recorded(&journal).1, "stdio"), expected.as_bytes());
    }
    flushing.abort();
}

#[tokio::test]
async fn a_secret_cut_by_two_writes_is_masked_even_when_the_writer_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, journal) = logs(directory.path(), &["hunter2"], 1 << 30);
    let mut stream = logs.stream("stdio").unwrap();
    for piece in ["the word is hun", "ter", "2, not hunt"] {
        stream.write(piece.as_bytes()).await.unwrap();
    }
    drop(stream);
    logs.flush().await.unwrap();
    assert_eq!(text(&recorded(&journal).1, "stdio"), b"the word is ***, not hunt");
}

#[tokio::test]
async fn whoever_gives_up_waiting_for_room_leaves_the_frame_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::create(directory.path(), 7, 1, Arc::new(Notify::new())).unwrap());
    let logs = StepLogs::new(Arc::clone(&journal), 3, Arc::new(Patterns::default()), 1 << 30);
    let mut stream = logs.stream("stdio").unwrap();
    stream.write(b"one ").await.unwrap();
    {
        let mut flushing = Box::pin(logs.flush());
        assert!(futures_util::poll!(&mut flushing).is_pending(), "the opened log fills the journal");
    }
    stream.write(b"two").await.unwrap();
    journal.acknowledge(1);
    logs.flush().await.unwrap();
    let (_, bytes) = journal.after(1).unwrap().unwrap();
    let WorkerMessage::Logs { frames, .. } = WorkerMessage::decode(&bytes).unwrap() else {
        panic!("a frame");
    };
    assert_eq!(text(&frames, "stdio"), b"one two");
}

#[tokio::test]
async fn a_step_that_writes_too_much_is_cut_with_a_word() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, journal) = logs(directory.path(), &[], 10);
    let mut stream = logs.stream("stdio").unwrap();
    for _ in 0..100 {
        stream.write(b"12345678").await.unwrap();
    }
    logs.line("other", "too late").await.unwrap();
    logs.flush().await.unwrap();
    let frames = recorded(&journal).1;
    let expected = "1234567812\n[stampmill: the logs of this step are longer than 10 bytes; the rest is cut]\n";
    assert_eq!(String::from_utf8(text(&frames, "stdio")).unwrap(), expected);
    assert_eq!(text(&frames, "other"), b"");
}

#[tokio::test]
async fn names_and_numbers_of_logs_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, _journal) = logs(directory.path(), &[], 10);
    for bad in ["", "a/b", "a\nb", &"x".repeat(LOG_NAME_BYTES_MAX + 1)] {
        assert!(matches!(logs.stream(bad), Err(Fault::Refused(_))), "{bad:?}");
    }
    for number in 0..LOGS_MAX {
        logs.stream(&format!("log {number}")).unwrap();
    }
    assert!(logs.stream("log 0").is_ok());
    assert!(matches!(logs.stream("one more"), Err(Fault::Refused(_))));
}
