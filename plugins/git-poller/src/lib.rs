//! The change source `git-poller`: new commits on the branches and tags of a git repository.
//!
//! It trusts nothing in the repository: names are arguments after `--`, no hook runs, and no configuration is read but its own. It keeps a
//! bare mirror in its workspace. Needs `grant = { command = ["git"] }`, with `net = ["git.example:443"]` for a remote repository or
//! `read = ["/srv/git/app.git"]` for a local one, and the secret that `credential` names.
//!
//! What becomes a change:
//! * The first poll records where every branch is; with `first-poll = "newest"` it reports the newest commit of each.
//! * A branch that moved: the commits that its earlier head did not have, parents before children. Each has its author, committer, time,
//!   message and files; a merge has the files that differ from its first parent, and the commits that it brought in are changes too.
//! * A rewritten branch: the commits that its earlier head did not have; if that head is gone everywhere, the new head alone.
//! * A new branch: the commits that no known branch has, at least its head. A deleted branch is forgotten.
//! * A tag, if `tags` chooses it: one change with the tagged commit, the branch `refs/tags/v1`, and the property `tag`.
//! * Many commits come in pages; the mirror does not move between the pages of one poll.

pub mod config;
mod cursor;
pub mod history;
pub mod limits;
mod mirror;
pub mod references;

use config::{Config, FirstPoll};
use cursor::{Cursor, Progress, Target};
use history::Commit;
use limits::{PAGE_BYTES, PAGE_COMMITS, PAGE_REFERENCES, REFERENCES};
use mirror::Mirror;
use references::{Selection, branch_name, tag_name};
use stampmill_sdk::git::{Git, Repository};
use stampmill_sdk::serde_json::Value;
use stampmill_sdk::{ChangePoller, Fault, Plugin, Polled, SeenChange, Setting, log, register};
use std::collections::{BTreeMap, BTreeSet};

/// The change source.
#[derive(Debug)]
pub struct GitPoller {
    config: Config,
    repository: Repository,
    selection: Selection,
}

impl Plugin for GitPoller {
    type Config = Config;

    fn new(config: Config) -> Result<GitPoller, Fault> {
        let repository = Repository::parse(&config.repository)?;
        let selection = Selection::new(&config)?;
        Ok(GitPoller { config, repository, selection })
    }
}

impl ChangePoller for GitPoller {
    fn poll(&self, cursor: Option<&str>) -> Result<Polled, Fault> {
        let mirror = Mirror::open(Git::new(self.repository.clone(), self.config.credential.clone()))?;
        let known = cursor.and_then(Cursor::read).filter(|known| known.repository == self.config.repository);
        match known {
            None => self.first(&mirror),
            Some(known) if known.pending.is_empty() => self.look(&mirror, known),
            Some(known) => self.report(&mirror, known),
        }
    }
}

/// The changes of one answer.
#[derive(Debug, Default)]
struct Answer {
    changes: Vec<SeenChange>,
    bytes: usize,
    references: usize,
}

impl Answer {
    fn room(&self) -> u64 {
        let full = self.bytes >= PAGE_BYTES || self.references >= PAGE_REFERENCES;
        if full { 0 } else { PAGE_COMMITS.saturating_sub(self.changes.len() as u64) }
    }

    fn give(self, cursor: &Cursor, more: bool) -> Result<Polled, Fault> {
        Ok(Polled { changes: self.changes, cursor: cursor.write()?, more })
    }
}

impl GitPoller {
    fn remote(&self, mirror: &Mirror) -> Result<BTreeMap<String, String>, Fault> {
        let chosen = self.selection.choose(&mirror.list(self.selection.wants_tags())?);
        if chosen.len() > REFERENCES {
            let count = chosen.len();
            return Err(Fault::refused(format!(
                "{count} references match, and at most {REFERENCES} are watched: narrow `branches` and `tags`"
            )));
        }
        Ok(chosen)
    }

    fn first(&self, mirror: &Mirror) -> Result<Polled, Fault> {
        let heads = self.remote(mirror)?;
        let objects: BTreeSet<&str> = heads.values().map(String::as_str).collect();
        if !objects.is_empty() {
            mirror.fetch(&objects, &objects)?;
        }
        let mut answer = Answer::default();
        if self.config.first_poll == FirstPoll::Newest {
            for (reference, object) in
                heads.iter().filter(|(reference, _)| tag_name(reference).is_none()).take(PAGE_REFERENCES)
            {
                self.add(&mut answer, reference, mirror.one(object)?);
            }
        }
        let mut cursor = Cursor::new(&self.config.repository, &self.selection.text());
        cursor.heads = heads;
        answer.give(&cursor, false)
    }

    /// Asks the remote, and begins to report what moved.
    fn look(&self, mirror: &Mirror, mut cursor: Cursor) -> Result<Polled, Fault> {
        let remote = self.remote(mirror)?;
        cursor.heads.retain(|reference, _| remote.contains_key(reference));
        let moved = self.moved(&mut cursor, &remote);
        if !moved.is_empty() {
            let wanted: BTreeSet<&str> = moved.iter().map(|target| target.object.as_str()).collect();
            let keep: BTreeSet<&str> = remote.values().map(String::as_str).collect();
            mirror.fetch(&wanted, &keep)?;
        }
        cursor.pending = moved.into();
        self.report(mirror, cursor)
    }

    /// The references that moved, those already known first: so a new branch shows what no other has.
    fn moved(&self, cursor: &mut Cursor, remote: &BTreeMap<String, String>) -> Vec<Target> {
        let selection = self.selection.text();
        let same_selection = cursor.selection == selection;
        cursor.selection = selection;
        let mut moved = Vec::new();
        for (reference, object) in remote {
            match cursor.heads.get(reference) {
                Some(known) if known == object => {}
                None if !same_selection => {
                    cursor.heads.insert(reference.clone(), object.clone());
                }
                Some(_) | None => {
                    moved.push(Target { reference: reference.clone(), object: object.clone(), progress: None })
                }
            }
        }
        moved.sort_by_key(|target| {
            (tag_name(&target.reference).is_some(), !cursor.heads.contains_key(&target.reference))
        });
        moved
    }

    /// Reports pending references until the answer is full.
    fn report(&self, mirror: &Mirror, mut cursor: Cursor) -> Result<Polled, Fault> {
        let mut answer = Answer::default();
        while answer.room() > 0 {
            let Some(mut target) = cursor.pending.pop_front() else { break };
            answer.references += 1;
            match self.report_one(mirror, &cursor, &target, &mut answer)? {
                Reported::Wholly => {
                    cursor.heads.insert(target.reference, target.object);
                }
                Reported::UpTo(progress) => {
                    target.progress = Some(progress);
                    cursor.pending.push_front(target);
                }
                Reported::Lost => {
                    log::warn(format!(
                        "the mirror lost {} of {}: the repository is asked anew",
                        target.object, target.reference
                    ));
                    cursor.pending.clear();
                    return answer.give(&cursor, true);
                }
            }
        }
        let more = !cursor.pending.is_empty();
        answer.give(&cursor, more)
    }

    fn report_one(
        &self,
        mirror: &Mirror,
        cursor: &Cursor,
        target: &Target,
        answer: &mut Answer,
    ) -> Result<Reported, Fault> {
        let Some(head) = mirror.commit(&target.object)? else {
            if !mirror.has(&target.object)? {
                return Ok(Reported::Lost);
            }
            log::warn(format!("{} points to no commit and is not reported", target.reference));
            return Ok(Reported::Wholly);
        };
        let (known, progress) = match extent(mirror, cursor, target, &head)? {
            Extent::Nothing => return Ok(Reported::Wholly),
            Extent::Head => {
                self.add(answer, &target.reference, mirror.one(&head)?);
                return Ok(Reported::Wholly);
            }
            Extent::Commits { known, progress } => (known, progress),
        };
        let left = progress.total.saturating_sub(progress.done);
        let most = left.min(answer.room());
        let commits = mirror.log(&head, &known, left - most, most)?;
        let done = progress.done + commits.len() as u64;
        self.add(answer, &target.reference, commits);
        // Without an advance it would be asked for ever.
        let goes_on = done < progress.total && done > progress.done;
        Ok(if goes_on { Reported::UpTo(Progress { done, ..progress }) } else { Reported::Wholly })
    }

    fn add(&self, answer: &mut Answer, reference: &str, commits: impl IntoIterator<Item = Commit>) {
        for commit in commits {
            answer.bytes += commit.bytes();
            answer.changes.push(self.change(reference, commit));
        }
    }

    /// The change that a commit is on this reference.
    pub fn change(&self, reference: &str, commit: Commit) -> SeenChange {
        let tag = tag_name(reference).map(|tag| Setting::new("tag", &Value::from(tag)));
        let omitted =
            (commit.files_omitted > 0).then(|| Setting::new("files-omitted", &Value::from(commit.files_omitted)));
        SeenChange {
            author: commit.author,
            committer: Some(commit.committer),
            comments: commit.message,
            files: commit.files,
            repository: self.config.repository.clone(),
            project: self.config.project.clone(),
            link: self.config.link.as_ref().map(|link| link.replace("{revision}", &commit.object)),
            revision: Some(commit.object),
            branch: Some(branch_name(reference).to_owned()),
            category: self.config.category.clone(),
            committed_at: Some(commit.committed_at.saturating_mul(1000)),
            properties: tag.into_iter().collect(),
            extra: omitted.into_iter().collect(),
        }
    }
}

/// How far a reference was reported.
enum Reported {
    Wholly,
    UpTo(Progress),
    /// The mirror no longer has it.
    Lost,
}

/// What there is to report of a reference that moved.
enum Extent {
    Nothing,
    Head,
    Commits { known: Vec<String>, progress: Progress },
}

fn extent(mirror: &Mirror, cursor: &Cursor, target: &Target, head: &str) -> Result<Extent, Fault> {
    if tag_name(&target.reference).is_some() {
        return Ok(Extent::Head);
    }
    let (known, if_none) = match cursor.heads.get(&target.reference) {
        Some(earlier) if !mirror.has(earlier)? => return Ok(Extent::Head),
        // Set back to an ancestor: everything there was reported.
        Some(earlier) => (vec![earlier.clone()], Extent::Nothing),
        None => {
            let branches = cursor.heads.iter().filter(|(reference, _)| tag_name(reference).is_none());
            (branches.map(|(_, object)| object.clone()).collect(), Extent::Head)
        }
    };
    let progress = match target.progress {
        Some(progress) => progress,
        None => Progress { total: mirror.count(head, &known)?, done: 0 },
    };
    Ok(if progress.total == 0 { if_none } else { Extent::Commits { known, progress } })
}

register!(change-poller: GitPoller);
