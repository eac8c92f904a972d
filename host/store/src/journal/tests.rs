//! Journals as a crash, a disk or a stranger may leave them.

use tempfile::TempDir;

use super::*;
use crate::RealDisk;

fn made() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    Journal::make(directory.path(), &RealDisk).unwrap();
    directory
}

fn open(directory: &TempDir, known: u64) -> Journal {
    Journal::open(directory.path(), Arc::new(RealDisk), known).unwrap().0
}

fn found(directory: &TempDir, known: u64) -> Result<Vec<Vec<u8>>, StoreError> {
    Journal::look(directory.path(), known).map(|newer| newer.records)
}

/// Overwrites a part of the file.
fn put(directory: &TempDir, at: usize, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(directory.path().join(FILE)).unwrap();
    file.write_all_at(bytes, at as u64).unwrap();
}

/// Records of 1, 3 and 2 pages.
fn records() -> Vec<Vec<u8>> {
    [10, 2 * BODY + 1, 2 * BODY].iter().zip(1..).map(|(len, byte)| vec![byte; *len]).collect()
}

fn filled() -> TempDir {
    let directory = made();
    let mut journal = open(&directory, 7);
    assert!(found(&directory, 7).unwrap().is_empty());
    for record in records() {
        journal.append(&record).unwrap();
    }
    assert_eq!(journal.next(), 11);
    directory
}

#[test]
fn records_come_back_in_order_and_those_that_are_known_do_not() {
    let directory = filled();
    assert_eq!(found(&directory, 7).unwrap(), records());
    assert!(found(&directory, 10).unwrap().is_empty());
    assert!(found(&directory, 11).unwrap().is_empty());
    // What is known ends in the middle of the file.
    assert_eq!(found(&directory, 8).unwrap(), records()[1..]);
    assert_eq!(found(&directory, 9).unwrap(), records()[2..]);
}

#[test]
fn a_journal_begins_anew_over_its_old_records() {
    let directory = filled();
    let mut journal = open(&directory, 10);
    journal.append(b"eleven").unwrap();
    assert_eq!(found(&directory, 10).unwrap(), [b"eleven"]);
    journal.append(&vec![12; BODY]).unwrap();
    journal.restart();
    journal.append(b"thirteen").unwrap();
    assert_eq!(found(&directory, 12).unwrap(), [b"thirteen"]);
}

#[test]
fn only_the_last_record_may_be_torn() {
    for page in 0..6 {
        let directory = filled();
        put(&directory, page * PAGE + 100, b"nonsense");
        match found(&directory, 7) {
            Ok(found) => assert_eq!((page >= 4, found), (true, records()[..2].to_vec()), "page {page}"),
            Err(error) => {
                let number = if page == 0 { 8 } else { 9 };
                let said = format!("record {number} can't be read, and record 10 can");
                assert!(page < 4 && error.to_string().contains(&said), "page {page}: {error}");
            }
        }
    }
}

#[test]
fn a_number_of_which_there_is_a_part_is_told() {
    let last = |directory: &TempDir| Journal::look(directory.path(), 7).unwrap().last;
    assert_eq!(last(&made()), None);
    assert_eq!(last(&filled()), Some(10));
    let directory = made();
    open(&directory, 7).append(&records()[1]).unwrap();
    for page in [0, 2] {
        // Nothing of it can be used, and its number is not free.
        put(&directory, page * PAGE + 100, b"nonsense");
        assert_eq!((found(&directory, 7).unwrap(), last(&directory)), (vec![], Some(8)), "page {page}");
    }
    // A page alone is no record.
    let directory = made();
    open(&directory, 7).append(&records()[1]).unwrap();
    put(&directory, 100, b"nonsense");
    put(&directory, PAGE + 100, b"nonsense");
    assert_eq!((found(&directory, 7).unwrap(), last(&directory)), (vec![], Some(8)));
}

#[test]
fn a_journal_that_does_not_follow_on_its_database_is_refused() {
    let directory = filled();
    let error = found(&directory, 5).unwrap_err().to_string();
    assert!(error.contains("record 6 can't be read, and record 10 can"), "{error}");
}

#[test]
fn a_journal_of_another_length_is_refused() {
    let directory = filled();
    for len in [0, 1, PAGE, JOURNAL_BYTES - 1, JOURNAL_BYTES + 1] {
        File::options().write(true).open(directory.path().join(FILE)).unwrap().set_len(len as u64).unwrap();
        let error = found(&directory, 7).unwrap_err().to_string();
        assert!(error.contains(&format!("it has {len} bytes instead of 4194304")), "{error}");
    }
}

#[test]
fn what_a_record_says_is_never_taken_for_a_record() {
    let directory = made();
    let mut journal = open(&directory, 0);
    let forged = pages(b"a record of a stranger", 3);
    // At each place where a page may begin, in whatever way pages are cut.
    for every in [PAGE, BODY, HEAD] {
        let mut record = Vec::new();
        while record.len() < 40 * PAGE {
            record.extend_from_slice(&forged);
            record.truncate(record.len().next_multiple_of(every).min(record.len()));
            record.resize(record.len().next_multiple_of(every), 0);
        }
        journal.restart_after(0);
        journal.append(&record).unwrap();
        journal.restart();
        journal.append(b"two").unwrap();
        assert_eq!(found(&directory, 1).unwrap(), [b"two"]);
    }
}

#[test]
fn a_record_has_room_or_not() {
    let directory = made();
    let mut journal = open(&directory, 0);
    let most = RECORD_BYTES_MAX;
    assert!(journal.has_room_for(&vec![1; most]) && !journal.has_room_for(&vec![1; most + 1]));
    journal.append(b"one").unwrap();
    assert!(journal.has_room_for(&vec![1; most - BODY]) && !journal.has_room_for(&vec![1; most - BODY + 1]));
    journal.append(&vec![2; most - BODY]).unwrap();
    assert!(!journal.has_room_for(b"x"));
    assert_eq!(found(&directory, 0).unwrap().len(), 2);
}
