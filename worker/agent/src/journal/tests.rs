use super::*;

fn event(summary: &str) -> Event {
    Event::StepSummary { step: 0, summary: summary.to_owned() }
}

fn finished() -> Event {
    Event::Finished { outcome: stampmill_protocol::Outcome::Success, summary: String::new(), at: 1, program: None }
}

fn frame(bytes: usize) -> LogFrame {
    LogFrame {
        step: 0,
        log: "stdio".to_owned(),
        ordinal: 0,
        first_line: 0,
        newlines: 0,
        raw_len: 1,
        body: vec![7; bytes],
    }
}

fn journal(directory: &Path, bytes_max: u64) -> Journal {
    Journal::create(directory, 7, bytes_max, Arc::new(Notify::new())).unwrap()
}

fn recover(directory: &Path) -> Vec<Journal> {
    Journal::recover(directory, 1 << 20, &Arc::new(Notify::new()), "killed").unwrap()
}

fn summaries(journal: &Journal, mut after: u64) -> Vec<String> {
    let mut all = Vec::new();
    while let Some((sequence, bytes)) = journal.after(after).unwrap() {
        assert_eq!(sequence, after + 1);
        after = sequence;
        all.push(match WorkerMessage::decode(&bytes).unwrap() {
            WorkerMessage::Told { sequence: told, event: Event::StepSummary { summary, .. }, .. }
                if told == sequence =>
            {
                summary
            }
            WorkerMessage::Told { event: Event::Finished { outcome, summary, .. }, .. } => match outcome {
                stampmill_protocol::Outcome::Retry => summary,
                _ => "end".to_owned(),
            },
            other => panic!("{other:?}"),
        });
    }
    all
}

#[test]
fn what_is_not_acknowledged_can_be_read_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path(), 1 << 20);
    for summary in ["a", "b", "c"] {
        journal.tell(event(summary)).unwrap();
    }
    assert_eq!(summaries(&journal, 0), ["a", "b", "c"]);
    assert!(!journal.acknowledge(2));
    assert_eq!(summaries(&journal, 2), ["c"]);
    assert!(!journal.acknowledge(3));
    assert!(journal.after(3).unwrap().is_none());
    journal.tell(event("d")).unwrap();
    assert_eq!(summaries(&journal, 3), ["d"]);
    assert_eq!(journal.last_sequence(), 4);
    journal.tell(finished()).unwrap();
    assert!(matches!(journal.tell(event("late")), Err(JournalError::Closed)));
    assert!(journal.acknowledge(5), "everything is handed in");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn after_a_restart_a_finished_build_is_handed_in_and_another_ends_to_be_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let done = journal(directory.path(), 1 << 20);
    for told in [event("a"), event("b"), finished()] {
        done.tell(told).unwrap();
    }
    done.acknowledge(1);
    let open = Journal::create(directory.path(), 8, 1 << 20, Arc::new(Notify::new())).unwrap();
    open.tell(event("x")).unwrap();
    let taken = Journal::create(directory.path(), 11, 1 << 20, Arc::new(Notify::new())).unwrap();
    taken.tell(event("y")).unwrap();
    assert!(!taken.acknowledge(1));
    std::fs::write(directory.path().join("9.spool"), b"rubbish, and long enough").unwrap();
    std::fs::write(directory.path().join("10.spool"), b"").unwrap();
    drop((done, open, taken));

    for times in 1..=2 {
        let found = recover(directory.path());
        let builds: Vec<u64> = found.iter().map(Journal::build).collect();
        assert_eq!(builds, [7, 8], "of the others nothing is left that the host has not had");
        assert_eq!(found[0].last_sequence(), 3);
        assert_eq!(summaries(&found[0], 1), ["b", "end"]);
        assert_eq!(found[1].last_sequence(), 2, "it ends once, in {times} lives");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }
    let found = recover(directory.path());
    assert_eq!(summaries(&found[1], 0).len(), 2);
    assert!(found[0].acknowledge(3) && found[1].acknowledge(2));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_spool_that_was_cut_is_read_as_far_as_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let done = journal(directory.path(), 1 << 20);
    for told in [event("a"), event("b"), finished()] {
        done.tell(told).unwrap();
    }
    let path = file::path(directory.path(), 7);
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let found = recover(directory.path());
        let told = found.first().map(|journal| summaries(journal, 0)).unwrap_or_default();
        let expected = ["a", "b"].iter().take(told.len().saturating_sub(1)).copied().chain(["killed"]);
        assert!(told.is_empty() || told.iter().eq(expected), "cut to {length}: {told:?}");
    }
    assert_eq!(
        recover(directory.path()).first().map(|journal| summaries(journal, 0)),
        Some(vec!["a".to_owned(), "b".to_owned(), "killed".to_owned()])
    );
    for position in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[position] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        for journal in recover(directory.path()) {
            let told = summaries(&journal, 0);
            assert_ne!(told.last().map(String::as_str), Some("end"), "a flipped bit at {position} goes unnoticed");
        }
    }
}

#[tokio::test]
async fn logs_wait_while_the_spool_is_full_and_go_on_when_the_host_has_taken_it() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(journal(directory.path(), 1000));
    assert!(journal.log(frame(2000)).unwrap().is_none());
    assert!(journal.log(frame(10)).unwrap().is_some(), "there is no room");
    let waiting = {
        let journal = Arc::clone(&journal);
        tokio::spawn(async move { journal.room().await })
    };
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    journal.tell(event("events pass")).unwrap();
    assert!(!journal.acknowledge(1));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "something is left that the host has not taken");
    journal.acknowledge(2);
    waiting.await.unwrap().unwrap();
    assert!(journal.log(frame(10)).unwrap().is_none());
    assert_eq!(journal.last_sequence(), 3);
}

#[tokio::test]
async fn a_forgotten_build_stops_whoever_waits() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(journal(directory.path(), 10));
    assert!(journal.log(frame(100)).unwrap().is_none());
    let waiting = {
        let journal = Arc::clone(&journal);
        tokio::spawn(async move { journal.room().await })
    };
    tokio::task::yield_now().await;
    journal.forget();
    assert!(matches!(waiting.await.unwrap(), Err(JournalError::Closed)));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
