//! The JSON that this change source takes.

use crate::config::Config;
use serde::Deserialize;
use stampmill_sdk::serde_json::{self, Map, Value};
use stampmill_sdk::{SeenChange, Setting};

/// One change as its sender writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    author: String,
    #[serde(default)]
    committer: Option<String>,
    #[serde(default)]
    comments: String,
    #[serde(default)]
    files: Vec<String>,
    #[serde(default)]
    repository: Option<String>,
    #[serde(default)]
    project: Option<String>,
    #[serde(default)]
    revision: Option<String>,
    #[serde(default)]
    branch: Option<String>,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    link: Option<String>,
    #[serde(default)]
    committed_at: Option<u64>,
    #[serde(default)]
    properties: Map<String, Value>,
}

/// Why a delivery is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is not what was agreed on.
    Malformed(String),
    /// It names a repository that is not on the list.
    Repository(String),
}

/// Reads the body: one change, a list of changes, or an object with `changes`.
pub(crate) fn read(config: &Config, body: &[u8]) -> Result<Vec<SeenChange>, Unfit> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| Unfit::Malformed(format!("the body is not JSON: {error}")))?;
    let changes = match body {
        Value::Array(changes) => changes,
        Value::Object(mut object) if object.contains_key("changes") => {
            match (object.remove("changes"), object.keys().next()) {
                (Some(Value::Array(changes)), None) => changes,
                (_, Some(key)) => {
                    return Err(Unfit::Malformed(format!("`{key}` stands beside `changes`: put it into each change")));
                }
                _ => return Err(Unfit::Malformed("`changes` is not a list".to_owned())),
            }
        }
        change @ Value::Object(_) => vec![change],
        _ => return Err(Unfit::Malformed("the body is neither a change nor a list of changes".to_owned())),
    };
    let number = |index: usize| if changes.len() > 1 { format!("change {}: ", index + 1) } else { String::new() };
    changes.iter().enumerate().map(|(index, change)| one(config, change, &number(index))).collect()
}

fn one(config: &Config, change: &Value, number: &str) -> Result<SeenChange, Unfit> {
    let sent = Sent::deserialize(change).map_err(|error| Unfit::Malformed(format!("{number}{error}")))?;
    let repository = repository(config, sent.repository, number)?;
    Ok(SeenChange {
        author: sent.author,
        committer: sent.committer,
        comments: sent.comments,
        files: sent.files,
        repository,
        project: sent.project.unwrap_or_else(|| config.project.clone()),
        revision: sent.revision,
        branch: sent.branch,
        category: sent.category.or_else(|| config.category.clone()),
        link: sent.link,
        committed_at: sent.committed_at,
        properties: sent.properties.iter().map(|(name, value)| Setting::new(name, value)).collect(),
        extra: Vec::new(),
    })
}

fn repository(config: &Config, sent: Option<String>, number: &str) -> Result<String, Unfit> {
    match (sent, config.repositories.as_slice()) {
        (Some(repository), listed) if listed.iter().any(|one| one == "*" || *one == repository) => Ok(repository),
        (Some(repository), _) => Err(Unfit::Repository(repository)),
        (None, [only]) if only != "*" => Ok(only.clone()),
        (None, _) => Err(Unfit::Malformed(format!("{number}`repository` is missing"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "https://git.example/app.git";

    fn config(repositories: &[&str]) -> Config {
        let repositories = serde_json::to_string(repositories).expect("text");
        serde_json::from_str(&format!(r#"{{"insecure": true, "repositories": {repositories}, "project": "app"}}"#))
            .expect("a configuration")
    }

    fn malformed(body: &str) -> String {
        match read(&config(&[APP]), body.as_bytes()) {
            Err(Unfit::Malformed(why)) => why,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn one_change_a_list_and_an_object_with_changes_are_the_same() {
        let change =
            r#"{"author": "Ann <ann@example>", "branch": "main", "files": ["a.c"], "properties": {"k": [1, null]}}"#;
        for body in [change.to_owned(), format!("[{change}]"), format!(r#"{{"changes": [{change}]}}"#)] {
            let changes = read(&config(&[APP]), body.as_bytes()).expect("changes");
            let [seen] = changes.as_slice() else { panic!("{changes:?}") };
            assert_eq!(
                (seen.author.as_str(), seen.repository.as_str(), seen.project.as_str()),
                ("Ann <ann@example>", APP, "app")
            );
            assert_eq!((seen.branch.as_deref(), seen.revision.as_deref()), (Some("main"), None));
            assert_eq!((seen.properties[0].name.as_str(), seen.properties[0].value.as_str()), ("k", "[1,null]"));
        }
        assert_eq!(read(&config(&[APP]), b"[]").map(|changes| changes.len()), Ok(0));
    }

    #[test]
    fn a2_16_a_repository_that_is_not_on_the_list_is_refused() {
        for (listed, fits) in [(vec![APP], false), (vec![APP, "https://evil.example/app.git"], true), (vec!["*"], true)]
        {
            let read = read(&config(&listed), br#"{"author": "x", "repository": "https://evil.example/app.git"}"#);
            match fits {
                true => assert!(read.is_ok(), "{listed:?}"),
                false => assert_eq!(read.err(), Some(Unfit::Repository("https://evil.example/app.git".to_owned()))),
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_a_sentence() {
        assert!(malformed("{").starts_with("the body is not JSON: "));
        assert!(malformed("7").contains("neither"));
        assert!(malformed(r#"{"branch": "main"}"#).contains("missing field `author`"));
        assert!(malformed(r#"{"author": "x", "brunch": "main"}"#).contains("unknown field `brunch`"));
        assert!(malformed(r#"[{"author": "x"}, {"author": 7}]"#).starts_with("change 2: "));
        assert!(malformed(r#"{"changes": 1}"#).contains("not a list"));
        assert!(malformed(r#"{"changes": [], "author": "x"}"#).contains("`author`"));
        assert!(malformed(r#"{"author": "x", "files": "a.c"}"#).contains("sequence"));
    }

    #[test]
    fn without_a_repository_the_only_one_listed_is_meant() {
        let none = read(&config(&[APP, "https://git.example/lib.git"]), br#"{"author": "x"}"#);
        assert_eq!(none.err(), Some(Unfit::Malformed("`repository` is missing".to_owned())));
        assert!(read(&config(&["*"]), br#"{"author": "x"}"#).is_err());
    }
}
