//! Which references the remote has, and which of them are watched.

use crate::config::{Branches, Config, Tags};
use fast_glob::glob_match;
use stampmill_sdk::{Fault, git, log};
use std::collections::BTreeMap;

/// The patterns of the configuration.
#[derive(Debug, Clone)]
pub struct Selection {
    branches: Vec<String>,
    tags: Vec<String>,
}

impl Selection {
    /// Of this configuration.
    ///
    /// # Errors
    /// When nothing is chosen, or a pattern is empty.
    pub fn new(config: &Config) -> Result<Selection, Fault> {
        let branches = match &config.branches {
            Branches::One(pattern) => vec![pattern.clone()],
            Branches::Several(patterns) => patterns.clone(),
        };
        let tags = match &config.tags {
            Tags::All(true) => vec!["*".to_owned()],
            Tags::All(false) => Vec::new(),
            Tags::Matching(patterns) => patterns.clone(),
        };
        if branches.is_empty() && tags.is_empty() {
            return Err(Fault::refused("neither `branches` nor `tags` names anything to watch"));
        }
        if branches.iter().chain(&tags).any(String::is_empty) {
            return Err(Fault::refused("a pattern in `branches` or `tags` is empty"));
        }
        Ok(Selection { branches, tags })
    }

    /// Whether any tag can be chosen: without, the remote need not list them.
    pub fn wants_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    /// The patterns as one text, to see that they changed.
    pub fn text(&self) -> String {
        format!("branches {} tags {}", self.branches.join(" "), self.tags.join(" "))
    }

    fn chooses(&self, reference: &str) -> bool {
        match (reference.strip_prefix("refs/heads/"), reference.strip_prefix("refs/tags/")) {
            (Some(branch), _) => matches_any(&self.branches, branch),
            (None, Some(tag)) => matches_any(&self.tags, tag),
            (None, None) => false,
        }
    }

    /// Reads the output of `git ls-remote`: the chosen references, each with the object that it points to.
    pub fn choose(&self, listed: &[u8]) -> BTreeMap<String, String> {
        let mut chosen = BTreeMap::new();
        for line in listed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // A name that is not text can be in no pattern, change or cursor.
            let Ok(line) = std::str::from_utf8(line) else {
                log::debug(format!("a reference whose name is not UTF-8 is left out: {}", git::file_name(line)));
                continue;
            };
            let Some((object, reference)) = line.split_once('\t') else { continue };
            // `refs/tags/v1^{}` is what an annotated tag stands for. A branch named like an option is none that git's own commands make.
            let proper = git::check_ref(branch_name(reference)).is_ok();
            if proper && git::is_object_name(object) && self.chooses(reference) {
                chosen.insert(reference.to_owned(), object.to_owned());
            }
        }
        chosen
    }
}

fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern == "*" || pattern == name || glob_match(pattern, name))
}

/// The name that changes carry: a branch by its own name; a tag by its whole one, which no branch can have.
pub fn branch_name(reference: &str) -> &str {
    reference.strip_prefix("refs/heads/").unwrap_or(reference)
}

/// The name of a tag.
pub fn tag_name(reference: &str) -> Option<&str> {
    reference.strip_prefix("refs/tags/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(config: &str) -> Selection {
        let config = format!(r#"{{"repository": "/r", {config}}}"#);
        Selection::new(&stampmill_sdk::serde_json::from_str(&config).expect("a configuration")).expect("a selection")
    }

    fn chosen(config: &str) -> Vec<String> {
        let one = "1".repeat(40);
        let names = [
            "refs/heads/main",
            "refs/heads/release/1",
            "refs/heads/a/b/c",
            "refs/tags/v1",
            "refs/tags/v1^{}",
            "refs/tags/x",
            "refs/pull/1/head",
        ];
        let mut listed: Vec<u8> = names.iter().flat_map(|name| format!("{one}\t{name}\n").into_bytes()).collect();
        listed.extend(format!("{one}\trefs/heads/--upload-pack=x\n{one}\trefs/heads/caf").into_bytes());
        listed.extend(b"\xe9\n");
        selection(config).choose(&listed).into_keys().collect()
    }

    #[test]
    fn patterns_choose_branches() {
        assert_eq!(chosen(r#""branches": ["main"]"#), ["refs/heads/main"]);
        assert_eq!(chosen(r#""branches": "*""#), ["refs/heads/a/b/c", "refs/heads/main", "refs/heads/release/1"]);
        assert_eq!(chosen(r#""branches": ["release/*"]"#), ["refs/heads/release/1"]);
        assert_eq!(chosen(r#""branches": ["a/*"]"#), Vec::<String>::new());
        assert_eq!(chosen(r#""branches": ["a/**"]"#), ["refs/heads/a/b/c"]);
    }

    #[test]
    fn tags_are_watched_on_demand_and_never_twice() {
        assert_eq!(chosen(r#""branches": ["main"], "tags": true"#), ["refs/heads/main", "refs/tags/v1", "refs/tags/x"]);
        assert_eq!(chosen(r#""branches": [], "tags": ["v*"]"#), ["refs/tags/v1"]);
    }

    #[test]
    fn a_branch_is_found_by_its_exact_name_even_where_that_reads_as_a_pattern() {
        let listed = format!("{}\trefs/heads/fix{{1}}\n", "1".repeat(40));
        assert_eq!(selection(r#""branches": ["fix{1}"]"#).choose(listed.as_bytes()).len(), 1);
    }

    #[test]
    fn watching_nothing_is_refused() {
        let config =
            stampmill_sdk::serde_json::from_str(r#"{"repository": "/r", "branches": []}"#).expect("a configuration");
        assert!(matches!(Selection::new(&config), Err(Fault::Refused(_))));
    }
}
