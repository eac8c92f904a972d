//! What to check out: decided from the configuration and the build's source stamps, without git.

use crate::config::Config;
use stampmill_sdk::git::{self, Repository};
use stampmill_sdk::serde_json::{Map, Value};
use stampmill_sdk::{Fault, Patch, SourceStamp};

/// One version of one codebase, all names checked.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) repository: Repository,
    pub(crate) wanted: Wanted,
    pub(crate) patch: Option<Patch>,
}

/// Which commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The one that this reference points to, `HEAD` for the repository's default branch.
    Newest(String),
    /// The one of this whole name, wherever it is.
    Object(String),
    /// The one that this short name or tag stands for.
    Named(String),
}

/// The source of the configured codebase.
pub(crate) fn choose(config: &Config, stamps: &[SourceStamp]) -> Result<Source, Fault> {
    let stamp =
        stamps.iter().find(|stamp| stamp.codebase == config.codebase).ok_or_else(|| no_stamp(config, stamps))?;
    let address = match &config.repository {
        Some(repository) => repository,
        None if stamp.repository.is_empty() => {
            return Err(Fault::refused(format!(
                "the source stamp of codebase `{}` names no repository: give `repository` here or in the scheduler's `codebases`",
                config.codebase
            )));
        }
        None => &stamp.repository,
    };
    Ok(Source { repository: Repository::parse(address)?, wanted: wanted(config, stamp)?, patch: patch(stamp)? })
}

fn no_stamp(config: &Config, stamps: &[SourceStamp]) -> Fault {
    let have: Vec<String> = stamps.iter().map(|stamp| format!("`{}`", stamp.codebase)).collect();
    let have = if have.is_empty() { "none".to_owned() } else { have.join(", ") };
    Fault::refused(format!(
        "the build has no source stamp of codebase `{}`, it has {have}: mend `codebase`",
        config.codebase
    ))
}

fn wanted(config: &Config, stamp: &SourceStamp) -> Result<Wanted, Fault> {
    let branch = stamp.branch.as_deref().or(config.branch.as_deref()).filter(|branch| !branch.is_empty());
    let revision = stamp.revision.as_deref().filter(|revision| !revision.is_empty() && !config.always_latest);
    // A branch is checked even where the revision alone decides: it came from the same stranger.
    let reference = branch.map(git::branch_ref).transpose()?;
    match revision {
        None => Ok(Wanted::Newest(reference.unwrap_or_else(|| "HEAD".to_owned()))),
        Some(object) if git::is_object_name(object) => Ok(Wanted::Object(object.to_ascii_lowercase())),
        Some(name) => git::check_ref(name).map(|()| Wanted::Named(name.to_owned())),
    }
}

fn patch(stamp: &SourceStamp) -> Result<Option<Patch>, Fault> {
    let Some(patch) = &stamp.patch else { return Ok(None) };
    let inside = !patch.subdirectory.starts_with('/')
        && patch.subdirectory.split('/').all(|part| part != ".." && part != ".git");
    match inside {
        true => Ok(Some(patch.clone())),
        false => Err(Fault::refused(format!(
            "the patch is for directory `{}`, which is not in the checkout",
            patch.subdirectory.escape_debug()
        ))),
    }
}

/// The value of the property `got_revision`: the commit itself for the only codebase of a build, else a commit for each codebase.
pub(crate) fn got_revision(codebase: &str, stamps: usize, commit: &str, before: Option<Value>) -> Value {
    if codebase.is_empty() || stamps == 1 {
        return Value::from(commit);
    }
    let mut revisions = match before {
        Some(Value::Object(revisions)) => revisions,
        _ => Map::new(),
    };
    revisions.insert(codebase.to_owned(), Value::from(commit));
    Value::Object(revisions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stampmill_sdk::serde_json::{from_str, json};

    fn stamp(codebase: &str, branch: Option<&str>, revision: Option<&str>) -> SourceStamp {
        SourceStamp {
            codebase: codebase.to_owned(),
            repository: "https://git.example/app.git".to_owned(),
            project: String::new(),
            branch: branch.map(str::to_owned),
            revision: revision.map(str::to_owned),
            patch: None,
            extra: Vec::new(),
        }
    }

    fn config(text: &str) -> Config {
        from_str(text).expect("a configuration")
    }

    fn wanted_of(text: &str, branch: Option<&str>, revision: Option<&str>) -> Result<Wanted, Fault> {
        choose(&config(text), &[stamp("", branch, revision)]).map(|source| source.wanted)
    }

    #[test]
    fn a_revision_decides_before_a_branch_and_a_branch_before_the_configured_one() {
        let object = "a".repeat(40);
        assert_eq!(wanted_of("{}", Some("main"), Some(&object)), Ok(Wanted::Object(object.clone())));
        assert_eq!(wanted_of("{}", Some("main"), None), Ok(Wanted::Newest("refs/heads/main".to_owned())));
        assert_eq!(wanted_of(r#"{"branch": "dev"}"#, None, None), Ok(Wanted::Newest("refs/heads/dev".to_owned())));
        assert_eq!(wanted_of("{}", None, None), Ok(Wanted::Newest("HEAD".to_owned())));
        assert_eq!(wanted_of("{}", None, Some("v1.0")), Ok(Wanted::Named("v1.0".to_owned())));
        assert_eq!(wanted_of("{}", Some("refs/tags/v1"), None), Ok(Wanted::Newest("refs/tags/v1".to_owned())));
    }

    #[test]
    fn a4_09_always_latest_forgets_the_revision() {
        let object = "a".repeat(40);
        assert_eq!(
            wanted_of(r#"{"always-latest": true}"#, Some("main"), Some(&object)),
            Ok(Wanted::Newest("refs/heads/main".to_owned()))
        );
    }

    #[test]
    fn names_that_git_would_take_for_options_are_refused() {
        for (branch, revision) in [
            (Some("--upload-pack=touch x"), None),
            (Some("-b"), None),
            (Some("a:b"), None),
            (Some("--x"), Some("1111111111111111111111111111111111111111")),
            (None, Some("--exec=x")),
            (None, Some("HEAD@{1}")),
        ] {
            assert!(matches!(wanted_of("{}", branch, revision), Err(Fault::Refused(_))), "{branch:?} {revision:?}");
        }
    }

    #[test]
    fn a13_06_the_codebase_selects_the_stamp() {
        let stamps = [stamp("core", Some("main"), None), stamp("app", Some("dev"), None)];
        let source = choose(&config(r#"{"codebase": "app"}"#), &stamps).expect("a source");
        assert_eq!(source.wanted, Wanted::Newest("refs/heads/dev".to_owned()));
        match choose(&config(r#"{"codebase": "lib"}"#), &stamps) {
            Err(Fault::Refused(reason)) => assert!(reason.contains("`core`, `app`"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_patch_stays_in_the_checkout() {
        let with = |subdirectory: &str| {
            let patch = Patch {
                level: 1,
                body: b"x".to_vec(),
                subdirectory: subdirectory.to_owned(),
                author: String::new(),
                comment: String::new(),
            };
            choose(&config("{}"), &[SourceStamp { patch: Some(patch), ..stamp("", None, None) }])
        };
        assert!(with("").is_ok() && with("sub/dir").is_ok());
        for outside in ["../x", "/etc", "a/../../x", ".git", "sub/.git/hooks"] {
            assert!(matches!(with(outside), Err(Fault::Refused(_))), "{outside}");
        }
    }

    #[test]
    fn a11_05_got_revision_is_the_commit_of_the_only_codebase() {
        assert_eq!(got_revision("", 1, "abc", None), json!("abc"));
        assert_eq!(got_revision("app", 1, "abc", None), json!("abc"));
    }

    #[test]
    fn a11_06_got_revision_is_keyed_by_codebase_where_there_are_several() {
        let first = got_revision("app", 2, "abc", None);
        assert_eq!(first, json!({"app": "abc"}));
        assert_eq!(got_revision("core", 2, "def", Some(first)), json!({"app": "abc", "core": "def"}));
        assert_eq!(got_revision("core", 2, "def", Some(json!("text"))), json!({"core": "def"}));
    }
}
