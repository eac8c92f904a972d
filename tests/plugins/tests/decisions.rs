//! The codebase generator, the filters, the merge plugin.

use crate::around::Place;
use serde_json::{Value, json};
use stampmill_runtime::{Change, PluginErrorKind, Request, SeenChange, Setting, Verdict, WantedSource};

fn seen(repository: &str, branch: Option<&str>, files: &[&str]) -> SeenChange {
    SeenChange {
        author: "Ann <ann@example>".to_owned(),
        committer: None,
        comments: "x".to_owned(),
        files: files.iter().map(|file| (*file).to_owned()).collect(),
        repository: repository.to_owned(),
        project: "app".to_owned(),
        revision: Some("1".to_owned()),
        branch: branch.map(str::to_owned),
        category: None,
        link: None,
        committed_at: None,
        properties: Vec::new(),
        extra: Vec::new(),
    }
}

fn change(branch: &str, files: &[&str]) -> Change {
    Change {
        id: 1,
        codebase: "app".to_owned(),
        arrived_at: 0,
        seen: seen("https://git.example/app.git", Some(branch), files),
    }
}

async fn judge(plugin: &str, config: Value, changes: &[Change]) -> Vec<(Verdict, String)> {
    let mut filter = Place::new().start(plugin, config, json!({})).await.expect("the filter starts");
    let judgements = filter.judge(changes).await.unwrap_or_else(|error| panic!("{error}"));
    judgements.into_iter().map(|judgement| (judgement.verdict, judgement.reason)).collect()
}

#[tokio::test]
async fn a2_18_six_repositories_of_the_mailsuite_have_their_codebases() {
    let map = json!({
        "https://hg/hg/mailsuite/mailclient": "mailexe",
        "https://hg/hg/mailsuite/mapilib": "mapilib",
        "https://hg/hg/mailsuite/imaplib": "imaplib",
        "https://github.com/mailinc/mailsuite/mailclient": "mailexe",
        "https://github.com/mailinc/mailsuite/mapilib": "mapilib",
        "https://github.com/mailinc/mailsuite/imaplib": "imaplib",
    });
    let mut generator =
        Place::new().start("repository-map", map.clone(), json!({})).await.expect("the generator starts");
    for (url, codebase) in map.as_object().expect("a map") {
        let answer = generator.codebase_of(&seen(url, None, &[])).await.expect("an answer");
        assert_eq!(answer.as_deref(), codebase.as_str(), "{url}");
    }
    assert_eq!(generator.codebase_of(&seen("https://unknown.example", None, &[])).await.expect("an answer"), None);
}

#[tokio::test]
async fn a2_11_the_path_filter_judges_a_batch_in_order() {
    let changes = [change("main", &["README"]), change("main", &["src/a.c"]), change("main", &[])];
    let judged = judge("path-filter", json!({"include": ["*.c"]}), &changes).await;
    assert_eq!(
        judged.iter().map(|(verdict, _)| *verdict).collect::<Vec<_>>(),
        [Verdict::Unimportant, Verdict::Important, Verdict::Unimportant]
    );
    assert_eq!(judged[1].1, "`src/a.c` matches `*.c`");
}

#[tokio::test]
async fn a2_24_the_change_filter_lets_one_branch_through() {
    let judged = judge("change-filter", json!({"branch": "main"}), &[change("main", &[]), change("dev", &[])]).await;
    assert_eq!(judged[0].0, Verdict::Important);
    assert_eq!(judged[1], (Verdict::Ignore, "branch `dev` is not `main`".to_owned()));
}

#[tokio::test]
async fn a_pattern_that_does_not_parse_is_refused_when_the_filter_is_configured() {
    for (plugin, config, word) in [
        ("change-filter", json!({"branch": {"regex": "("}}), "branch"),
        ("path-filter", json!({"include": ["src/{a"]}), "src/{a"),
    ] {
        let error = Place::new().start(plugin, config, json!({})).await.expect_err("it is wrong");
        assert!(matches!(&*error.kind, PluginErrorKind::Fault(_)), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn a7_07_the_key_of_a_request_is_what_its_properties_are() {
    let config = json!({"properties": ["suite"]});
    let mut merge = Place::new().start("merge-by-property", config, json!({})).await.expect("the plugin starts");
    let property = |value: Value| vec![Setting { name: "suite".to_owned(), value }];
    let source = WantedSource { branch: Some("main".to_owned()), trusted: true, ..WantedSource::default() };
    let sources = vec![source];
    for (properties, expected) in [
        (property(json!("fast")), Some("suite = \"fast\"")),
        (property(json!({"a": [1]})), Some("suite = {\"a\":[1]}")),
        (property(json!("x".repeat(400))), None),
        (Vec::new(), Some("no suite")),
    ] {
        let request =
            Request { id: 7, builder: "linux".to_owned(), sources: sources.clone(), properties, ..Request::default() };
        assert_eq!(merge.merge_key(&request).await.expect("a key").as_deref(), expected);
    }
    let error = merge.codebase_of(&seen("x", None, &[])).await.expect_err("it is of another kind");
    assert!(error.to_string().contains("merge"), "{error}");
}
