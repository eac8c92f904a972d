//! GitHub's `push` event, as far as it is needed; the rest of it may be anything.

use crate::config::{Address, Config};
use crate::time;
use serde::Deserialize;
use stampmill_sdk::serde_json::{self, Value};
use stampmill_sdk::{SeenChange, Setting};

#[derive(Debug, Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    commits: Vec<Commit>,
    head_commit: Option<Commit>,
    repository: Repository,
}

#[derive(Debug, Clone, Deserialize)]
struct Commit {
    id: String,
    #[serde(default)]
    message: String,
    timestamp: Option<String>,
    url: Option<String>,
    author: Person,
    committer: Option<Person>,
    #[serde(default)]
    added: Vec<String>,
    #[serde(default)]
    removed: Vec<String>,
    #[serde(default)]
    modified: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Person {
    name: Option<String>,
    email: Option<String>,
    username: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Repository {
    full_name: String,
    clone_url: String,
    ssh_url: Option<String>,
    html_url: Option<String>,
}

/// What a push comes to.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// Changes, oldest first.
    Changes(Vec<SeenChange>),
    /// Nothing to build, for this reason.
    Nothing(String),
    /// A repository that is not on the list.
    NotListed(String),
    /// Not what GitHub sends.
    Malformed(String),
}

/// Reads the body of a `push` event.
pub(crate) fn read(config: &Config, body: &[u8]) -> Pushed {
    let push: Push = match serde_json::from_slice(body) {
        Ok(push) => push,
        Err(error) => return Pushed::Malformed(format!("the body is not a push event: {error}")),
    };
    let listed = |name: &String| name == "*" || name.eq_ignore_ascii_case(&push.repository.full_name);
    if !config.repositories.iter().any(listed) {
        return Pushed::NotListed(push.repository.full_name);
    }
    if push.deleted {
        return Pushed::Nothing(format!("{} was deleted", push.reference));
    }
    if let Some(branch) = push.reference.strip_prefix("refs/heads/") {
        return Pushed::Changes(on_branch(config, &push, branch));
    }
    match push.reference.strip_prefix("refs/tags/") {
        Some(_) if !config.tags => {
            Pushed::Nothing(format!("{} is a tag, and this change source takes none", push.reference))
        }
        Some(tag) => {
            Pushed::Changes(push.head_commit.iter().map(|commit| tagged(config, &push, tag, commit)).collect())
        }
        None => Pushed::Nothing(format!("{} is neither a branch nor a tag", push.reference)),
    }
}

/// A push without commits of its own makes a branch, or moves it: its head stands for it.
fn on_branch(config: &Config, push: &Push, branch: &str) -> Vec<SeenChange> {
    let commits = if push.commits.is_empty() { push.head_commit.as_slice() } else { &push.commits };
    commits.iter().map(|commit| change(config, push, branch, commit)).collect()
}

fn tagged(config: &Config, push: &Push, tag: &str, commit: &Commit) -> SeenChange {
    let properties = vec![Setting::new("tag", &Value::from(tag))];
    SeenChange { properties, ..change(config, push, &push.reference, commit) }
}

fn change(config: &Config, push: &Push, branch: &str, commit: &Commit) -> SeenChange {
    SeenChange {
        author: commit.author.shown(),
        committer: commit.committer.as_ref().map(Person::shown),
        comments: commit.message.clone(),
        files: commit.files(),
        repository: push.repository.address(config.address).to_owned(),
        project: config.project.clone().unwrap_or_else(|| push.repository.full_name.clone()),
        revision: Some(commit.id.clone()),
        branch: Some(branch.to_owned()),
        category: config.category.clone(),
        link: commit.url.clone(),
        committed_at: commit.timestamp.as_deref().and_then(time::milliseconds),
        properties: Vec::new(),
        extra: Vec::new(),
    }
}

impl Commit {
    fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for name in self.added.iter().chain(&self.removed).chain(&self.modified) {
            if seen.insert(name) {
                files.push(name.clone());
            }
        }
        files
    }
}

impl Person {
    /// `Name <mail>`, as far as GitHub knows it.
    fn shown(&self) -> String {
        let name = self.name.as_deref().or(self.username.as_deref()).unwrap_or_default().trim();
        match (name, self.email.as_deref().map(str::trim).unwrap_or_default()) {
            (name, "") => name.to_owned(),
            ("", mail) => format!("<{mail}>"),
            (name, mail) => format!("{name} <{mail}>"),
        }
    }
}

impl Repository {
    fn address(&self, form: Address) -> &str {
        let form = match form {
            Address::Https => None,
            Address::Ssh => self.ssh_url.as_deref(),
            Address::Page => self.html_url.as_deref(),
        };
        form.unwrap_or(&self.clone_url)
    }
}

#[cfg(test)]
#[path = "push_tests.rs"]
mod tests;
