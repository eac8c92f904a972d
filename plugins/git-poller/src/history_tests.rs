//! Output as git 2.47 writes it.

use super::*;

fn header(object: char, message: &str) -> Vec<u8> {
    let object = object.to_string().repeat(40);
    format!("{object}\0Ann\0ann@example\0Bob\0bob@example\01700000000\0{message}\0\0").into_bytes()
}

fn file(first: bool, name: &[u8]) -> Vec<u8> {
    let zeros = "0".repeat(40);
    let mut bytes = if first { b"\n".to_vec() } else { Vec::new() };
    bytes.extend(format!(":100644 100644 {zeros} {zeros} M\0").into_bytes());
    bytes.extend(name);
    bytes.push(0);
    bytes
}

fn output() -> Vec<u8> {
    [
        header('a', "first\n\nbody line\n"),
        file(true, b"d/a.c"),
        header('b', "empty\n"),
        header('c', ""),
        file(true, b"new\nline"),
        file(false, b"caf\xe9"),
        file(false, b":odd"),
    ]
    .concat()
}

fn read(bytes: &[u8], piece: usize) -> Vec<Commit> {
    let mut reader = Reader::new();
    let mut commits = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.push(piece).expect("right output");
        commits.extend(reader.complete());
    }
    commits.extend(reader.end().expect("a right end"));
    commits
}

#[test]
fn commits_are_the_same_whatever_the_pieces() {
    let whole = read(&output(), usize::MAX);
    assert_eq!(whole.len(), 3);
    for piece in 1..40 {
        assert_eq!(read(&output(), piece), whole, "pieces of {piece}");
    }
}

#[test]
fn a_commit_has_its_people_time_message_and_files() {
    let commits = read(&output(), usize::MAX);
    let first = &commits[0];
    assert_eq!(first.object, "a".repeat(40));
    assert_eq!((first.author.as_str(), first.committer.as_str()), ("Ann <ann@example>", "Bob <bob@example>"));
    assert_eq!((first.committed_at, first.message.as_str()), (1_700_000_000, "first\n\nbody line"));
    assert_eq!(first.files, ["d/a.c"]);
    assert_eq!(commits[1].files, Vec::<String>::new());
    assert_eq!(commits[2].files, ["new\nline", "\"caf\\351\"", ":odd"]);
    assert_eq!(commits[2].message, "");
}

#[test]
fn a_commit_is_complete_when_the_next_begins() {
    let mut reader = Reader::new();
    reader.push(&[header('a', "one"), file(true, b"x")].concat()).expect("right output");
    assert_eq!(reader.complete(), Vec::new());
    reader.push(&header('b', "two")).expect("right output");
    assert_eq!(reader.complete().len(), 1);
    assert_eq!(reader.end().expect("a right end").len(), 1);
}

#[test]
fn too_many_files_are_counted_and_left_out() {
    let mut bytes = header('a', "import");
    for number in 0..FILES_OF_A_CHANGE + 3 {
        bytes.extend(file(number == 0, format!("f{number}").as_bytes()));
    }
    let commits = read(&bytes, 8192);
    assert_eq!((commits[0].files.len(), commits[0].files_omitted), (FILES_OF_A_CHANGE, 3));
}

#[test]
fn a_very_long_message_is_cut() {
    let commits = read(&header('a', &"x".repeat(TOKEN_BYTES * 2)), 8192);
    assert_eq!(commits[0].message.len(), TOKEN_BYTES);
}

#[test]
fn output_that_is_no_log_is_an_error() {
    let mut reader = Reader::new();
    assert!(reader.push(b"fatal\0a\0b\0c\0d\0e\0f\0").is_err());
    let mut reader = Reader::new();
    reader.push(b"half a commit\0").expect("nothing wrong yet");
    assert!(reader.end().is_err());
    assert_eq!(Reader::new().end(), Ok(Vec::new()));
}

#[test]
fn people_without_a_name_or_mail_are_shown_with_what_they_have() {
    assert_eq!(person("Ann", "a@b"), "Ann <a@b>");
    assert_eq!(person("Ann", ""), "Ann");
    assert_eq!(person("", "a@b"), "<a@b>");
}
