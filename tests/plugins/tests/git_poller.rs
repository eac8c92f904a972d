//! The change source `git-poller`, on real repositories.

use crate::around::Place;
use crate::around::repository::Repository;
use serde_json::{Value, json};
use stampmill_runtime::{Fault, Instance, PluginErrorKind, Polled, SeenChange};

struct Poller {
    instance: Instance,
    cursor: Option<String>,
}

impl Poller {
    /// Polls this repository from scratch: the first poll is done.
    async fn new(place: &Place, repository: &Repository, more: Value) -> Poller {
        let mut poller = Poller::unpolled(place, repository, more).await;
        let polled = poller.poll().await;
        assert_eq!((polled.changes.len(), polled.more), (0, false), "a first poll replays nothing");
        poller
    }

    async fn unpolled(place: &Place, repository: &Repository, more: Value) -> Poller {
        let mut config = json!({"repository": repository.address()});
        config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let grant = json!({"command": ["git"], "read": [repository.address()]});
        Poller {
            instance: place.start("git-poller", config, grant).await.unwrap_or_else(|error| panic!("{error}")),
            cursor: None,
        }
    }

    async fn poll(&mut self) -> Polled {
        let polled = self.instance.poll(self.cursor.as_deref()).await.unwrap_or_else(|error| panic!("{error}"));
        self.cursor = Some(polled.cursor.clone());
        polled
    }

    /// Polls until there is no more.
    async fn changes(&mut self) -> Vec<SeenChange> {
        let mut changes = Vec::new();
        loop {
            let polled = self.poll().await;
            changes.extend(polled.changes);
            if !polled.more {
                return changes;
            }
        }
    }

    async fn fault(&mut self) -> Fault {
        let error = self.instance.poll(self.cursor.as_deref()).await.expect_err("it cannot be polled");
        match *error.kind {
            PluginErrorKind::Fault(fault) => fault,
            other => panic!("{other:?}"),
        }
    }
}

fn revisions(changes: &[SeenChange]) -> Vec<(&str, &str)> {
    changes
        .iter()
        .map(|change| (change.branch.as_deref().unwrap_or(""), change.revision.as_deref().unwrap_or("")))
        .collect()
}

#[tokio::test]
async fn commits_of_a_push_are_changes_in_their_order_with_all_they_say() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("before", &[("gone.c", "1"), ("src/edited.c", "1")]);
    repository.push();
    let mut poller = Poller::new(
        &place,
        &repository,
        json!({"project": "app", "category": "push", "link": "https://git.example/c/{revision}"}),
    )
    .await;
    repository.git(&["rm", "--quiet", "gone.c"]);
    let one = repository.commit("Größer\n\nzweite Zeile\n\n#3", &[("src/edited.c", "2"), ("new.c", "1")]);
    let two = repository.commit("", &[]);
    repository.push();
    let changes = poller.changes().await;
    assert_eq!(revisions(&changes), [("main", one.as_str()), ("main", two.as_str())]);
    let first = &changes[0];
    assert_eq!((first.author.as_str(), first.committer.as_deref()), ("Ann <ann@example>", Some("Bob <bob@example>")));
    assert_eq!(first.comments, "Größer\n\nzweite Zeile\n\n#3");
    assert_eq!(first.files, ["gone.c", "new.c", "src/edited.c"]);
    assert_eq!((first.repository.as_str(), first.project.as_str()), (repository.address(), "app"));
    assert_eq!((first.category.as_deref(), first.committed_at), (Some("push"), Some(1_700_000_000_000)));
    assert_eq!(first.link.as_deref(), Some(format!("https://git.example/c/{one}").as_str()));
    assert_eq!((changes[1].comments.as_str(), changes[1].files.len()), ("", 0));
    assert_eq!(poller.changes().await.len(), 0, "nothing twice");
}

#[tokio::test]
async fn a_first_poll_reports_the_newest_commits_where_that_is_wanted() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("old", &[("a", "1")]);
    let newest = repository.commit("new", &[("a", "2")]);
    repository.push();
    let mut poller = Poller::unpolled(&place, &repository, json!({"first-poll": "newest"})).await;
    assert_eq!(revisions(&poller.changes().await), [("main", newest.as_str())]);
    assert_eq!(poller.changes().await.len(), 0);
}

#[tokio::test]
async fn only_branches_that_are_chosen_are_reported() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("base", &[]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({"branches": ["main", "release/*"]})).await;
    for branch in ["dev", "release/1", "release/1x/y"] {
        repository.git(&["checkout", "--quiet", "-b", branch, "main"]);
        repository.commit(branch, &[]);
    }
    repository.push();
    let changes = poller.changes().await;
    assert_eq!(changes.iter().map(|change| change.comments.as_str()).collect::<Vec<_>>(), ["release/1"]);
}

#[tokio::test]
async fn a_new_branch_shows_what_no_other_has_and_at_least_its_head() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    let base = repository.commit("base", &[]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({})).await;
    repository.git(&["branch", "same", "main"]);
    repository.git(&["checkout", "--quiet", "-b", "ahead"]);
    let ahead = repository.commit("ahead", &[]);
    repository.push();
    let changes = poller.changes().await;
    assert_eq!(revisions(&changes), [("ahead", ahead.as_str()), ("same", base.as_str())]);
}

#[tokio::test]
async fn a_deleted_branch_is_forgotten_and_may_come_back() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("base", &[]);
    repository.git(&["checkout", "--quiet", "-b", "topic"]);
    let topic = repository.commit("topic", &[]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({})).await;
    repository.git(&["checkout", "--quiet", "main"]);
    repository.git(&["branch", "--quiet", "-D", "topic"]);
    repository.push();
    assert_eq!(poller.changes().await.len(), 0);
    assert!(!poller.cursor.as_ref().expect("a cursor").contains("refs/heads/topic"));
    // A directory where a branch was: git itself cannot have both.
    repository.git(&["branch", "topic/again", &topic]);
    repository.push();
    assert_eq!(revisions(&poller.changes().await), [("topic/again", topic.as_str())]);
}

#[tokio::test]
async fn a_rewritten_branch_shows_what_its_old_head_did_not_have() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    let base = repository.commit("base", &[]);
    repository.commit("wrong", &[("a", "1")]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({})).await;
    repository.git(&["reset", "--quiet", "--hard", &base]);
    let one = repository.commit("right", &[("a", "2")]);
    let two = repository.commit("better", &[("a", "3")]);
    repository.push();
    assert_eq!(revisions(&poller.changes().await), [("main", one.as_str()), ("main", two.as_str())]);
    repository.git(&["reset", "--quiet", "--hard", &one]);
    repository.push();
    assert_eq!(poller.changes().await.len(), 0, "set back to what was reported");
    let three = repository.commit("on", &[]);
    repository.push();
    assert_eq!(revisions(&poller.changes().await), [("main", three.as_str())]);
}

#[tokio::test]
async fn a_rewritten_branch_whose_old_head_is_gone_shows_its_head() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("old", &[]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({})).await;
    repository.git(&["checkout", "--quiet", "--orphan", "other"]);
    repository.commit("other one", &[]);
    let head = repository.commit("other two", &[]);
    repository.git(&["branch", "--quiet", "-M", "other", "main"]);
    repository.push();
    crate::around::repository::run(repository.bare(), &["gc", "--quiet", "--prune=now"]);
    std::fs::remove_dir_all(place.work().join("mirror.git")).expect("the mirror is there");
    assert_eq!(revisions(&poller.changes().await), [("main", head.as_str())]);
}

#[tokio::test]
async fn a_merge_brings_its_commits_once_and_has_the_files_of_its_first_parent() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("base", &[("a", "1")]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({"branches": ["main"]})).await;
    repository.git(&["checkout", "--quiet", "-b", "side"]);
    let side = repository.commit("side", &[("side.c", "1")]);
    repository.git(&["checkout", "--quiet", "main"]);
    let main = repository.commit("main", &[("main.c", "1")]);
    repository.git(&["merge", "--quiet", "--no-ff", "--message", "merge", "side"]);
    let merge = repository.head();
    repository.push();
    let changes = poller.changes().await;
    let mut seen: Vec<_> = changes.iter().map(|change| change.revision.clone().unwrap_or_default()).collect();
    assert_eq!(seen.pop(), Some(merge), "children come after their parents");
    seen.sort();
    let mut expected = vec![side, main];
    expected.sort();
    assert_eq!(seen, expected);
    assert_eq!(changes[2].files, ["side.c"]);
}

#[tokio::test]
async fn tags_are_changes_where_they_are_wanted() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    let base = repository.commit("base", &[]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({"branches": ["main"], "tags": ["v*"]})).await;
    repository.git(&["tag", "--annotate", "--message", "one", "v1"]);
    repository.git(&["tag", "nightly"]);
    repository.git(&["tag", "v-tree", "HEAD^{tree}"]);
    repository.push();
    let changes = poller.changes().await;
    assert_eq!(revisions(&changes), [("refs/tags/v1", base.as_str())]);
    assert_eq!((changes[0].properties[0].name.as_str(), &changes[0].properties[0].value), ("tag", &json!("v1")));
    assert_eq!(poller.changes().await.len(), 0);
}

#[tokio::test]
async fn ten_thousand_commits_come_in_pages_without_loss_or_doubling() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("base", &[]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({})).await;
    repository.import(10_000);
    let (mut comments, mut pages) = (Vec::new(), 0);
    loop {
        let polled = poller.poll().await;
        assert!(polled.changes.len() <= 500);
        comments.extend(polled.changes.into_iter().map(|change| change.comments));
        pages += 1;
        if pages == 3 {
            // A push in the middle waits its turn.
            repository.commit("after", &[]);
            repository.push();
        }
        if !polled.more {
            break;
        }
    }
    assert_eq!(pages, 20);
    assert_eq!(comments, (1..=10_000).map(|number| format!("commit {number}")).collect::<Vec<_>>());
    assert_eq!(poller.changes().await.into_iter().map(|change| change.comments).collect::<Vec<_>>(), ["after"]);
}

#[tokio::test]
async fn a_mirror_that_is_lost_between_pages_is_made_anew() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("base", &[]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({})).await;
    repository.import(700);
    assert!(poller.poll().await.more);
    std::fs::remove_dir_all(place.work().join("mirror.git")).expect("the mirror is there");
    // The old head is fetched with the new one, so nothing is lost; what was reported of this push is reported again.
    let changes = poller.changes().await;
    assert_eq!(changes.last().map(|change| change.comments.as_str()), Some("commit 700"));
}

#[tokio::test]
async fn file_names_of_any_bytes_are_carried() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("base", &[]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({})).await;
    for name in
        [b"new\nline".as_slice(), b"caf\xe9", "d/gr\u{fc}n".as_bytes(), b"-dash", b":colon", b"$(touch planted)"]
    {
        repository.write(name, "x");
    }
    repository.commit("names", &[]);
    repository.push();
    let mut files = poller.changes().await.remove(0).files;
    files.sort();
    let mut expected = vec!["new\nline", "\"caf\\351\"", "d/gr\u{fc}n", "-dash", ":colon", "$(touch planted)"];
    expected.sort_unstable();
    assert_eq!(files, expected);
}

#[tokio::test]
async fn attack_7_names_and_messages_stay_data() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("base", &[]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({})).await;
    let branches = ["$(touch${IFS}planted)", "`touch${IFS}planted`", "a;touch${IFS}planted", "--upload-pack=touch"];
    for branch in branches {
        repository.git(&["update-ref", &format!("refs/heads/{branch}"), "HEAD"]);
    }
    repository.commit("$(touch planted)\n--output=planted", &[]);
    repository.push();
    let changes = poller.changes().await;
    let mut seen: Vec<_> = changes.iter().filter_map(|change| change.branch.as_deref()).collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        ["$(touch${IFS}planted)", "`touch${IFS}planted`", "a;touch${IFS}planted", "main"],
        "what git calls no name is left out"
    );
    let planted =
        std::process::Command::new("find").arg(place.path()).args(["-name", "planted"]).output().expect("find starts");
    assert_eq!(String::from_utf8_lossy(&planted.stdout), "");
    assert!(place.started().iter().all(|argv| argv[0] == "git"));
}

#[tokio::test]
async fn a_repository_that_is_gone_is_unavailable_and_comes_back() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("base", &[]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({})).await;
    let aside = place.path().join("aside");
    std::fs::rename(repository.bare(), &aside).expect("it can be moved");
    match poller.fault().await {
        Fault::Unavailable { reason, .. } => {
            assert!(reason.contains("app.git") && reason.contains("does not"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
    std::fs::rename(&aside, repository.bare()).expect("it can be moved");
    let back = repository.commit("back", &[]);
    repository.push();
    assert_eq!(revisions(&poller.changes().await), [("main", back.as_str())]);
}

#[tokio::test]
async fn an_empty_repository_is_polled_and_its_first_push_is_reported() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.give_away();
    let mut poller = Poller::new(&place, &repository, json!({})).await;
    let first = repository.commit("first", &[]);
    repository.push();
    assert_eq!(revisions(&poller.changes().await), [("main", first.as_str())]);
}

#[tokio::test]
async fn a_damaged_mirror_is_replaced() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("base", &[]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({})).await;
    std::fs::write(place.work().join("mirror.git/HEAD"), "nonsense").expect("a file");
    let next = repository.commit("next", &[]);
    repository.push();
    assert!(matches!(poller.fault().await, Fault::Unavailable { reason, .. } if reason.contains("mirror")));
    assert_eq!(revisions(&poller.changes().await), [("main", next.as_str())]);
}

#[tokio::test]
async fn locks_that_a_killed_git_has_left_in_the_mirror_hold_up_nothing() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("base", &[]);
    repository.push();
    let mut poller = Poller::new(&place, &repository, json!({})).await;
    let next = repository.commit("next", &[]);
    repository.push();
    let mirror = place.work().join("mirror.git");
    for name in ["packed-refs.lock", "config.lock", "HEAD.lock", "shallow.lock", &format!("refs/stampmill/{next}.lock")]
    {
        std::fs::write(mirror.join(name), "").expect("a file");
    }
    assert_eq!(revisions(&poller.changes().await), [("main", next.as_str())]);
}

#[tokio::test]
async fn a_cursor_of_another_hand_or_repository_begins_anew() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("base", &[]);
    repository.push();
    let mut poller = Poller::unpolled(&place, &repository, json!({})).await;
    for cursor in ["", "{}", r#"{"version":1,"repository":"/elsewhere","selection":"","heads":{}}"#] {
        poller.cursor = Some(cursor.to_owned());
        assert_eq!(poller.changes().await.len(), 0, "{cursor}");
    }
}

#[tokio::test]
async fn branches_that_only_new_patterns_match_are_recorded_and_not_replayed() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("base", &[]);
    repository.git(&["branch", "old", "main"]);
    repository.push();
    let narrow = Poller::new(&place, &repository, json!({"branches": ["main"]})).await;
    let mut wide = Poller::unpolled(&place, &repository, json!({})).await;
    wide.cursor = narrow.cursor;
    assert_eq!(wide.changes().await.len(), 0);
    repository.git(&["checkout", "--quiet", "old"]);
    let moved = repository.commit("moved", &[]);
    repository.push();
    assert_eq!(revisions(&wide.changes().await), [("old", moved.as_str())]);
}

#[tokio::test]
async fn an_address_that_would_be_an_option_or_a_program_is_refused_when_configured() {
    let place = Place::new();
    for address in ["--upload-pack=touch x", "ext::sh -c touch% x", "https://ann:pw@git.example/app.git", "app.git"] {
        let started = place.start("git-poller", json!({"repository": address}), json!({"command": ["git"]})).await;
        let error = started.expect_err(address).to_string();
        assert!(error.contains("repository") && !error.contains(":pw@"), "{error}");
    }
    assert!(place.started().is_empty());
}
