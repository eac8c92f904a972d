//! Events as GitHub's documentation shows them, shortened.

use super::*;
use stampmill_sdk::serde_json::json;

fn config(extra: &str) -> Config {
    serde_json::from_str(&format!(r#"{{"insecure": true, "repositories": ["mailinc/Mailsuite"]{extra}}}"#))
        .expect("a configuration")
}

fn commit(id: &str) -> Value {
    json!({
        "id": id, "tree_id": "t", "distinct": true, "message": "Fix\n\nall of it", "timestamp": "2023-11-14T23:13:20+01:00",
        "url": format!("https://github.com/mailinc/mailsuite/commit/{id}"),
        "author": {"name": "Ann", "email": "ann@example", "username": "ann"}, "committer": {"name": "GitHub", "email": "noreply@github.com"},
        "added": ["new.c"], "removed": ["old.c"], "modified": ["a.c", "new.c"]
    })
}

fn push(reference: &str, deleted: bool, commits: &[Value], head: Value) -> Vec<u8> {
    json!({
        "ref": reference, "before": "0", "after": "1", "created": false, "deleted": deleted, "forced": false, "base_ref": null,
        "commits": commits, "head_commit": head, "pusher": {"name": "ann"},
        "repository": {
            "id": 1, "full_name": "mailinc/mailsuite", "clone_url": "https://github.com/mailinc/mailsuite.git",
            "ssh_url": "git@github.com:mailinc/mailsuite.git", "html_url": "https://github.com/mailinc/mailsuite"
        }
    })
    .to_string()
    .into_bytes()
}

fn changes(config: &Config, body: &[u8]) -> Vec<SeenChange> {
    match read(config, body) {
        Pushed::Changes(changes) => changes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_commit_of_a_push_is_a_change_with_all_its_files() {
    let changes =
        changes(&config(""), &push("refs/heads/feature/x", false, &[commit("a1"), commit("b2")], commit("b2")));
    assert_eq!(changes.iter().map(|change| change.revision.as_deref()).collect::<Vec<_>>(), [Some("a1"), Some("b2")]);
    let first = &changes[0];
    assert_eq!(first.branch.as_deref(), Some("feature/x"));
    assert_eq!(
        (first.author.as_str(), first.committer.as_deref()),
        ("Ann <ann@example>", Some("GitHub <noreply@github.com>"))
    );
    assert_eq!(first.files, ["new.c", "old.c", "a.c"]);
    assert_eq!(first.comments, "Fix\n\nall of it");
    assert_eq!(
        (first.repository.as_str(), first.project.as_str()),
        ("https://github.com/mailinc/mailsuite.git", "mailinc/mailsuite")
    );
    assert_eq!(first.committed_at, Some(1_700_000_000_000));
    assert_eq!(first.link.as_deref(), Some("https://github.com/mailinc/mailsuite/commit/a1"));
}

#[test]
fn a_new_branch_without_commits_of_its_own_is_known_by_its_head() {
    let changes = changes(&config(""), &push("refs/heads/release", false, &[], commit("b2")));
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].revision.as_deref(), Some("b2"));
}

#[test]
fn a_deleted_branch_is_nothing_to_build() {
    let body = push("refs/heads/gone", true, &[], Value::Null);
    assert!(matches!(read(&config(""), &body), Pushed::Nothing(why) if why == "refs/heads/gone was deleted"));
}

#[test]
fn tags_are_changes_only_where_they_are_wanted() {
    let body = push("refs/tags/v1", false, &[], commit("b2"));
    assert!(matches!(read(&config(""), &body), Pushed::Nothing(_)));
    let changes = changes(&config(r#", "tags": true"#), &body);
    assert_eq!(changes[0].branch.as_deref(), Some("refs/tags/v1"));
    assert_eq!(changes[0].properties[0].value, "\"v1\"");
}

#[test]
fn a2_16_another_repository_is_not_taken() {
    let config: Config =
        serde_json::from_str(r#"{"insecure": true, "repositories": ["mailinc/other"]}"#).expect("a configuration");
    assert!(
        matches!(read(&config, &push("refs/heads/main", false, &[commit("a")], commit("a"))), Pushed::NotListed(name) if name == "mailinc/mailsuite")
    );
}

#[test]
fn the_address_of_a_change_is_the_configured_form() {
    let body = push("refs/heads/main", false, &[commit("a1")], commit("a1"));
    for (form, address) in
        [("ssh", "git@github.com:mailinc/mailsuite.git"), ("page", "https://github.com/mailinc/mailsuite")]
    {
        assert_eq!(changes(&config(&format!(r#", "address": "{form}""#)), &body)[0].repository, address);
    }
}

#[test]
fn what_is_no_push_is_malformed_and_says_why() {
    for body in ["", "{", "{}", r#"{"ref": "refs/heads/main"}"#, r#"{"ref": 7}"#] {
        assert!(matches!(read(&config(""), body.as_bytes()), Pushed::Malformed(_)), "{body}");
    }
}
