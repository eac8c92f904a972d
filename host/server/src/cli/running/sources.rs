//! The sources of a local run: a person's work tree as a commit of everything that could be committed now, in a copy of its history. The job
//! checks it out like any other source, and sees no other file of the work tree.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use stampmill_engine::config::CodebaseDefault;
use stampmill_model::SourceStamp;
use tokio::process::Command;

use crate::cli::failure::Failure;
use crate::cli::output::clean;
use crate::cli::work_tree::WorkTree;
use crate::config::quoted;

/// What could point git elsewhere, as in a hook that runs this command.
const GIT_VARIABLES: [&str; 12] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// The source stamps, and the directories that the job's steps may read for them.
pub(super) async fn stamps(
    codebases: &BTreeMap<String, CodebaseDefault>,
    mut trees: BTreeMap<String, WorkTree>,
    state: &Path,
    data: &Path,
) -> anyhow::Result<(Vec<SourceStamp>, Vec<PathBuf>)> {
    let sources = state.join("sources");
    // What is not pushed is nobody else's to read, whoever may enter the directories above.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&sources)?;
    let mut stamps = Vec::new();
    let mut read = Vec::new();
    for (name, default) in codebases {
        let mut stamp = SourceStamp {
            codebase: name.clone(),
            repository: default.repository.clone(),
            branch: default.branch.clone(),
            revision: default.revision.clone(),
            // Whoever runs it has chosen it.
            trusted: true,
            ..SourceStamp::default()
        };
        if let Some(tree) = trees.remove(name) {
            let copy = sources.join(format!("{}.git", utf8_percent_encode(name, NON_ALPHANUMERIC)));
            take(&mut stamp, &tree, &copy, data).await?;
            read.push(copy);
        } else {
            say_source(&stamp);
        }
        stamps.push(stamp);
    }
    Ok((stamps, read))
}

fn say_source(stamp: &SourceStamp) {
    let what = if stamp.codebase.is_empty() { "sources".to_owned() } else { clean(&stamp.codebase) };
    let revision = stamp.revision.as_deref().map(|revision| revision.chars().take(10).collect::<String>());
    let at = revision.as_deref().or(stamp.branch.as_deref()).unwrap_or("its default branch");
    match stamp.repository.as_str() {
        "" => eprintln!("{what}: none, this is no git work tree"),
        repository => eprintln!("{what}: {} of {}", clean(at), clean(repository)),
    }
}

/// Which codebase is in which work tree: `DIR` for the only one, else `CODEBASE=DIR`.
pub(super) fn work_trees(
    codebases: &BTreeMap<String, CodebaseDefault>,
    typed: &[String],
) -> anyhow::Result<BTreeMap<String, WorkTree>> {
    let only = codebases.keys().next().filter(|_| codebases.len() == 1);
    let mut found = BTreeMap::new();
    for text in typed {
        let named = text.split_once('=').filter(|(name, _)| codebases.contains_key(*name));
        let (codebase, directory) = match (named, only) {
            (Some((codebase, directory)), _) => (codebase.to_owned(), directory),
            (None, Some(only)) => (only.clone(), text.as_str()),
            (None, None) => {
                let names: Vec<&String> = codebases.keys().collect();
                return Err(Failure::refused(format!(
                    "--dir {}: which codebase is in it? the codebases are {}; write --dir CODEBASE=DIR",
                    clean(text),
                    quoted(&names)
                )));
            }
        };
        let tree = work_tree(Path::new(directory))?;
        if found.insert(codebase.clone(), tree).is_some() {
            return Err(Failure::refused(format!(
                "--dir {}: codebase `{codebase}` has a directory already; keep one of the two",
                clean(text)
            )));
        }
    }
    if let (true, Some(only), Some(here)) = (typed.is_empty(), only, WorkTree::around(&std::env::current_dir()?)) {
        found.insert(only.clone(), here);
    }
    Ok(found)
}

fn work_tree(directory: &Path) -> anyhow::Result<WorkTree> {
    let shown = directory.display();
    let path =
        directory.canonicalize().map_err(|error| Failure::refused(format!("--dir {shown} can't be found: {error}")))?;
    WorkTree::around(&path).ok_or_else(|| {
        Failure::refused(format!("--dir {shown} is in no git repository; `git init` and a commit make it one"))
    })
}

/// Copies the history of what is checked out, and makes the stamp say what to build.
async fn take(stamp: &mut SourceStamp, tree: &WorkTree, copy: &Path, data: &Path) -> anyhow::Result<()> {
    let root = tree.root.display();
    let head = git(&tree.root, ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).line().await.map_err(|_| {
        Failure::refused(format!("{root} has no commit yet, or git can't read it; commit once, then run again"))
    })?;
    let branch = tree.branch();
    std::fs::create_dir_all(copy)?;
    // Readable for the user that steps run as, who sees it at a place of its own.
    git(copy, ["init", "--quiet", "--bare", "--shared=0644", "."]).output().await?;
    let reference = format!("refs/heads/{}", branch.as_deref().unwrap_or("checked-out"));
    let fetch = git(copy, ["-c", "gc.autoDetach=false", "fetch", "--quiet", "--update-head-ok"]);
    fetch.arg(&tree.root).arg(format!("+HEAD:{reference}")).output().await?;
    let mut revision = head.clone();
    if !tree.is_bare() {
        revision = with_edits(tree, &head, copy, data).await?;
        git(copy, ["update-ref", &reference, &revision]).output().await?;
    }
    let edited = if revision == head { "" } else { " with edits" };
    eprintln!("{root}: {}{edited}", head.chars().take(10).collect::<String>());
    stamp.repository = copy.to_str().map(ToOwned::to_owned).ok_or_else(|| {
        Failure::refused(format!("the path {} is not UTF-8; name another place with --data", copy.display()))
    })?;
    stamp.branch = branch;
    stamp.revision = Some(revision);
    Ok(())
}

/// The commit that is checked out, or one after it of what differs, new files too, as far as git doesn't ignore them. The same edits are the same
/// commit. In the work tree's repository nothing changes: what is staged stays as it is, and new objects are in the copy.
async fn with_edits(tree: &WorkTree, head: &str, copy: &Path, data: &Path) -> anyhow::Result<String> {
    let scratch = tempfile::tempdir()?;
    let index = scratch.path().join("index");
    match std::fs::copy(tree.index(), &index) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let objects = tree.common_directory().join("objects");
    let aside = |git: Git| {
        git.env("GIT_INDEX_FILE", &index)
            .env("GIT_OBJECT_DIRECTORY", copy.join("objects"))
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &objects)
    };
    let mut add = git(&tree.root, ["add", "--all", "--", ":/"]);
    // The host's own data may be in the work tree.
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    if let Some(inside) = data.strip_prefix(&tree.root).ok().filter(|inside| !inside.as_os_str().is_empty()) {
        add = add.arg(format!(":(exclude,top,literal){}", inside.display()));
    }
    aside(add).output().await?;
    let now = aside(git(&tree.root, ["write-tree"])).line().await?;
    if now == git(&tree.root, ["rev-parse", "--verify", &format!("{head}^{{tree}}")]).line().await? {
        return Ok(head.to_owned());
    }
    let mut commit = git(copy, ["commit-tree", "-p", head, "-m", "edits that are not committed", &now]);
    let date = git(&tree.root, ["show", "--no-patch", "--format=%cI", head]).line().await?;
    for who in ["AUTHOR", "COMMITTER"] {
        commit = commit
            .env(&format!("GIT_{who}_NAME"), "stampmill run")
            .env(&format!("GIT_{who}_EMAIL"), "")
            .env(&format!("GIT_{who}_DATE"), &date);
    }
    commit.line().await
}

/// One call of the person's own git, on their own repository.
struct Git(Command);

fn git<const N: usize>(directory: &Path, arguments: [&str; N]) -> Git {
    let mut command = Command::new("git");
    for variable in GIT_VARIABLES {
        command.env_remove(variable);
    }
    command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    command.arg("-C").arg(directory).args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    Git(command)
}

impl Git {
    fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// The one line that it prints.
    async fn line(self) -> anyhow::Result<String> {
        let output = self.output().await?;
        Ok(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
    }

    /// What it prints, when it succeeds.
    async fn output(mut self) -> anyhow::Result<Vec<u8>> {
        let output = self.0.output().await.map_err(|error| {
            Failure::unavailable(format!("git can't be started: {error}; it reads what is to be built"))
        })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Failure::refused(format!("git: {}", clean(said.trim()))))
    }
}
