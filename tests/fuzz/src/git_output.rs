//! What git prints: lists of references, logs, complaints.

use std::sync::LazyLock;

use stampmill_plugin_git_poller::GitPoller;
use stampmill_plugin_git_poller::history::{Commit, Reader, Unexpected};
use stampmill_plugin_git_poller::limits::{FILES_OF_A_CHANGE, TOKEN_BYTES};
use stampmill_plugin_git_poller::references::Selection;
use stampmill_sdk::git::{self, Repository};
use stampmill_sdk::{Plugin as _, serde_json};

const CONFIG: &str = r#"{"repository": "https://git.example/app.git", "branches": ["main", "release/*", "a/**"], "tags": ["v*"],
    "link": "https://git.example/app/commit/{revision}"}"#;

static POLLER: LazyLock<(GitPoller, Selection)> = LazyLock::new(|| {
    let config = || serde_json::from_str(CONFIG).expect("the configuration is right");
    (GitPoller::new(config()).expect("a poller"), Selection::new(&config()).expect("a selection"))
});

/// Reads the bytes as each kind of output.
pub fn run(bytes: &[u8]) {
    log(bytes);
    references(bytes);
    complaint(bytes);
    names(bytes);
    if let Ok(object) = git::printed_object(bytes) {
        assert!(is_object(&object), "{object:?}");
    }
}

fn read(pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<Vec<Commit>, Unexpected> {
    let mut reader = Reader::new();
    let mut commits = Vec::new();
    for piece in pieces {
        reader.push(piece.as_ref())?;
        commits.extend(reader.complete());
    }
    commits.extend(reader.end()?);
    Ok(commits)
}

fn log(bytes: &[u8]) {
    let commits = read(std::iter::once(bytes));
    assert_eq!(commits, read(bytes.chunks(1)), "byte by byte");
    assert_eq!(commits, read(bytes.chunks(7)), "in pieces of seven");
    for commit in commits.unwrap_or_default() {
        assert!(commit.files.len() <= FILES_OF_A_CHANGE);
        // Bytes that are no text become three each.
        assert!(commit.message.len() <= 3 * TOKEN_BYTES && commit.author.len() <= 6 * TOKEN_BYTES + 8);
        let object = commit.object.clone();
        let change = POLLER.0.change("refs/heads/main", commit);
        assert!(change.revision.as_deref().is_some_and(is_object), "{change:?}");
        assert_eq!(change.revision, Some(object));
        assert_eq!(
            (change.branch.as_deref(), change.repository.as_str()),
            (Some("main"), "https://git.example/app.git")
        );
    }
}

/// Our own words for what a revision is, so that they can't be wrong in the same way.
fn is_object(revision: &str) -> bool {
    (revision.len() == 40 || revision.len() == 64) && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn references(bytes: &[u8]) {
    for (reference, object) in POLLER.1.choose(bytes) {
        assert!(is_object(&object), "{object:?}");
        let branch = reference.strip_prefix("refs/heads/").filter(|name| !name.starts_with('-'));
        let tag = reference.strip_prefix("refs/tags/").filter(|name| name.starts_with('v'));
        assert!(branch.or(tag).is_some(), "{reference:?}");
        assert!(!reference.contains(|c: char| c.is_control() || " ~^:?*[\\".contains(c)), "{reference:?}");
    }
}

fn complaint(bytes: &[u8]) {
    let said = git::explain(bytes);
    assert!(!said.contains('\n') && said.chars().count() <= 1200, "{said:?}");
    let shown = git::redact(&String::from_utf8_lossy(bytes));
    assert_eq!(git::redact(&shown), shown, "hiding twice hides no more");
    for (at, _) in shown.match_indices("://") {
        let rest = &shown[at + 3..];
        let end = rest.find(|c: char| c == '/' || c.is_whitespace() || c == '\'' || c == '"').unwrap_or(rest.len());
        assert!(!rest[..end].contains('@') || rest.starts_with("***@"), "{shown:?}");
    }
}

fn names(bytes: &[u8]) {
    let name = git::file_name(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            assert_eq!(name, text);
            address(text);
        }
        Err(_) => assert!(name.is_ascii() && !name.contains(char::is_control), "{name:?}"),
    }
}

fn address(text: &str) {
    if let Ok(repository) = Repository::parse(text) {
        assert_eq!(repository.as_str(), text);
        assert!(!text.starts_with('-') && !text.contains(char::is_control), "{text:?}");
    }
    if let Ok(reference) = git::branch_ref(text) {
        assert!(reference.starts_with("refs/") && !reference.contains([' ', '\0', '\n', ':', '^']), "{reference:?}");
    }
}
