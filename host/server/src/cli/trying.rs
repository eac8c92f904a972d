//! `try`: builds the work tree as it is, before it is committed or pushed.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::arguments::TryArgs;
use super::asking::made;
use super::connection::Connection;
use super::failure::Failure;

/// A diff, and what it is for.
struct Patch {
    diff: Vec<u8>,
    branch: Option<String>,
    revision: Option<String>,
}

/// Builds a patch.
pub(crate) async fn try_patch(args: TryArgs) -> anyhow::Result<ExitCode> {
    let patch = match &args.diff {
        Some(file) => read_diff(file, &args),
        None => of_work_tree(&args),
    };
    let patch = patch.map_err(|error| Failure::refused(format!("{error:#}")))?;
    let connection = Connection::new(&args.target)?;
    let answer = connection.post(&["try"], &body(&args, patch)).await?;
    made(&connection, answer, args.wait, args.json).await
}

/// What is not told is left out, so that the scheduler's defaults hold.
fn body(args: &TryArgs, patch: Patch) -> Value {
    let mut body = Map::new();
    match String::from_utf8(patch.diff) {
        Ok(text) => body.insert("diff".to_owned(), json!(text)),
        Err(error) => {
            body.insert("base64".to_owned(), json!(true));
            body.insert("diff".to_owned(), json!(BASE64_STANDARD.encode(error.into_bytes())))
        }
    };
    let texts = [
        ("branch", patch.branch.as_ref()),
        ("revision", patch.revision.as_ref()),
        ("codebase", args.codebase.as_ref()),
        ("scheduler", args.scheduler.as_ref()),
        ("subdirectory", args.subdirectory.as_ref()),
        ("comment", args.comment.as_ref()),
    ];
    body.extend(texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text?)))));
    body.insert("level".to_owned(), json!(args.patchlevel));
    body.insert("builders".to_owned(), json!(args.builders));
    body.insert("properties".to_owned(), args.properties.iter().cloned().collect::<Map<_, _>>().into());
    Value::Object(body)
}

fn read_diff(file: &Path, args: &TryArgs) -> anyhow::Result<Patch> {
    let mut diff = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut diff).context("the diff on standard input can't be read")?;
    } else {
        diff = std::fs::read(file).with_context(|| format!("the diff `{}` can't be read", file.display()))?;
    }
    Ok(Patch { diff, branch: args.branch.clone(), revision: args.revision.clone() })
}

/// What the work tree has that its base has not: commits and what is not committed, but for files that git was not told of.
fn of_work_tree(args: &TryArgs) -> anyhow::Result<Patch> {
    let git = Git { directory: args.directory.clone() };
    git.say(&["rev-parse", "--show-toplevel"]).with_context(|| {
        format!("`{}` is in no git work tree; go to one, or send a diff with --diff FILE", args.directory.display())
    })?;
    let upstream = git.say(&["rev-parse", "--symbolic-full-name", "@{upstream}"]).ok();
    let revision = match &args.revision {
        Some(revision) => git
            .say(&["rev-parse", "--verify", "--end-of-options", &format!("{revision}^{{commit}}")])
            .with_context(|| format!("--revision {revision} is no commit of this work tree"))?,
        None => match &upstream {
            Some(upstream) => git.say(&["merge-base", "HEAD", upstream])?,
            None => bail!(
                "the branch follows no other, so it is not known what the host can check out; \
                 name it: --revision COMMIT, or `git branch --set-upstream-to=REMOTE/BRANCH`"
            ),
        },
    };
    let branch = args.branch.clone().or_else(|| branch_of(upstream.as_deref()?).map(str::to_owned));
    // Whatever a configuration has made of `git diff`: the whole tree, as a patch that `git apply` takes.
    let mut line = vec!["diff", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv"];
    line.extend(["--no-relative", "--unified=3", "--inter-hunk-context=0", "--submodule=short"]);
    line.extend(["--src-prefix=a/", "--dst-prefix=b/", "--end-of-options", &revision, "--"]);
    let diff = git.run(&line)?;
    ensure!(!diff.is_empty(), "nothing differs from {revision}, so there is nothing to try; new files need `git add`");
    let unknown = git.say(&["ls-files", "--others", "--exclude-standard", "--full-name", ":/"])?;
    let count = unknown.lines().count();
    if count > 0 {
        let them = if count == 1 { "a file that git does not know is" } else { "files that git does not know are" };
        eprintln!("{count} {them} not part of the patch; `git add` what should be");
    }
    Ok(Patch { diff, branch, revision: Some(revision) })
}

/// The branch's name where it comes from: without the remote.
fn branch_of(upstream: &str) -> Option<&str> {
    let remote = upstream.strip_prefix("refs/remotes/").and_then(|name| Some(name.split_once('/')?.1));
    remote.or_else(|| upstream.strip_prefix("refs/heads/"))
}

/// The git of whoever types, in their own work tree.
struct Git {
    directory: PathBuf,
}

impl Git {
    fn run(&self, line: &[&str]) -> anyhow::Result<Vec<u8>> {
        let mut command = Command::new("git");
        // What a work tree's own configuration would have run is not needed for a diff.
        command.args(["-c", "core.fsmonitor=false", "-c", "core.quotePath=true"]).args(line);
        command.current_dir(&self.directory).stdin(Stdio::null());
        let finished = command.output().context("git can't be started; --diff FILE needs none")?;
        let said = String::from_utf8_lossy(&finished.stderr);
        ensure!(finished.status.success(), "git {}: {}", line[0], said.trim());
        Ok(finished.stdout)
    }

    fn say(&self, line: &[&str]) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&self.run(line)?).trim_end().to_owned())
    }
}
