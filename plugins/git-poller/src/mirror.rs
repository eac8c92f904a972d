//! The bare copy of the repository in the workspace, kept between polls, and git's commands on it.

use crate::history::{Commit, FORMAT, Reader};
use crate::limits::{ANSWER_BYTES, LIST_BYTES, PAGE_BYTES};
use stampmill_sdk::command::{CommandLine, End, Event, Sink};
use stampmill_sdk::git::{self, Git};
use stampmill_sdk::{Fault, workspace};
use std::collections::BTreeSet;
use std::time::Duration;

const DIRECTORY: &str = "mirror.git";
const GLOBAL_CONFIG_FILE: &str = "gitconfig";
/// Each object of interest has a reference of its own name here: names of branches can be in each other's way (`a` and `a/b`).
const REFERENCES: &str = "refs/stampmill/";
/// Where a git that was killed may have left a lock: the next one would wait for it for ever. Nobody else works in the mirror.
const LOCKED: [&str; 2] = [DIRECTORY, "mirror.git/refs/stampmill"];
/// How long to wait for a piece of output before asking again; git's own limits end it.
const PIECE: Duration = Duration::from_secs(30);

/// The mirror.
pub(crate) struct Mirror {
    git: Git,
}

impl Mirror {
    /// Opens the mirror, made if it is not there.
    pub(crate) fn open(mut git: Git) -> Result<Mirror, Fault> {
        let entries = workspace::entries(".")?;
        if entries.iter().any(|entry| entry.name == DIRECTORY && entry.directory) {
            Self::unlock()?;
        } else {
            let init = git.local_command().args(["init", "--quiet", "--bare", "--", DIRECTORY]);
            output(init, ANSWER_BYTES).map_err(|failed| failed.fault("git init"))?;
        }
        if git.repository().is_local() {
            if !entries.iter().any(|entry| entry.name == GLOBAL_CONFIG_FILE) {
                let write = git.write_global_config(GLOBAL_CONFIG_FILE);
                output(write, ANSWER_BYTES).map_err(|failed| failed.fault("git config"))?;
            }
            git = Self::with_global_config(git)?;
        }
        Ok(Mirror { git })
    }

    fn unlock() -> Result<(), Fault> {
        for directory in LOCKED {
            // A mirror that has no such directory (yet) has no lock in it.
            for entry in workspace::entries(directory).unwrap_or_default() {
                if entry.name.ends_with(".lock") {
                    workspace::remove(&format!("{directory}/{}", entry.name))?;
                }
            }
        }
        Ok(())
    }

    /// Programs at the other end of a local path start in its directory, so the file has to be named from the root.
    fn with_global_config(git: Git) -> Result<Git, Fault> {
        let asked = git.local_command().arg(format!("--git-dir={DIRECTORY}")).args(["rev-parse", "--absolute-git-dir"]);
        let path = String::from_utf8(output(asked, ANSWER_BYTES).map_err(Failed::damaged)?)?;
        let root = path.trim_end_matches('\n').strip_suffix(DIRECTORY);
        let root = root.ok_or_else(|| Fault::broken(format!("git calls the mirror `{}`", path.escape_debug())))?;
        Ok(git.with_global_config(format!("{root}{GLOBAL_CONFIG_FILE}")))
    }

    fn local(&self) -> CommandLine {
        self.git.local_command().arg(format!("--git-dir={DIRECTORY}"))
    }

    /// The remote's references, as `git ls-remote` prints them.
    pub(crate) fn list(&self, tags: bool) -> Result<Vec<u8>, Fault> {
        let mut line = self.git.remote_command().args(["ls-remote", "--quiet", "--heads"]);
        if tags {
            line = line.arg("--tags");
        }
        let address = self.git.repository().as_str();
        output(line.arg("--").arg(address), LIST_BYTES)
            .map_err(|failed| failed.fault(&format!("listing {}", git::redact(address))))
    }

    /// Fetches these objects, which the remote's references point to; keeps references to `keep` and to no other.
    pub(crate) fn fetch(&self, wanted: &BTreeSet<&str>, keep: &BTreeSet<&str>) -> Result<(), Fault> {
        let refspecs: String = wanted.iter().map(|object| format!("+{object}:{REFERENCES}{object}\n")).collect();
        let address = self.git.repository().as_str();
        let line = self
            .git
            .remote_command()
            .arg(format!("--git-dir={DIRECTORY}"))
            .args([
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--no-recurse-submodules",
                "--stdin",
                "--",
                address,
            ])
            .stdin(refspecs);
        output(line, ANSWER_BYTES).map_err(|failed| failed.fault(&format!("fetching {}", git::redact(address))))?;
        self.forget(keep)
    }

    fn forget(&self, keep: &BTreeSet<&str>) -> Result<(), Fault> {
        let listed = self.local().args(["for-each-ref", "--format=%(refname)", REFERENCES]);
        let listed = output(listed, LIST_BYTES).map_err(Failed::damaged)?;
        let listed = String::from_utf8(listed)?;
        let gone =
            listed.lines().filter(|name| name.strip_prefix(REFERENCES).is_none_or(|object| !keep.contains(object)));
        let deletions: String = gone.map(|name| format!("delete {name}\n")).collect();
        if deletions.is_empty() {
            return Ok(());
        }
        output(self.local().args(["update-ref", "--stdin"]).stdin(deletions), ANSWER_BYTES).map_err(Failed::damaged)?;
        Ok(())
    }

    /// The commit that this object is, or that this tag stands for; none when the mirror lacks it, or it is no commit.
    pub(crate) fn commit(&self, object: &str) -> Result<Option<String>, Fault> {
        let asked = self
            .local()
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .arg(format!("{object}^{{commit}}"));
        match output(asked, ANSWER_BYTES) {
            Ok(answer) => git::printed_object(&answer).map(Some),
            Err(Failed::Git { .. }) => Ok(None),
            Err(failed) => Err(failed.damaged()),
        }
    }

    /// Whether the mirror has this object at all.
    pub(crate) fn has(&self, object: &str) -> Result<bool, Fault> {
        match output(self.local().args(["cat-file", "-e", object]), ANSWER_BYTES) {
            Ok(_) => Ok(true),
            Err(Failed::Git { .. }) => Ok(false),
            Err(failed) => Err(failed.damaged()),
        }
    }

    /// How many commits lead to `to` and not to any of `known`.
    pub(crate) fn count(&self, to: &str, known: &[String]) -> Result<u64, Fault> {
        let asked = self.local().args(["rev-list", "--count", "--ignore-missing", "--stdin"]).stdin(range(to, known));
        let answer = String::from_utf8(output(asked, ANSWER_BYTES).map_err(Failed::damaged)?)?;
        answer.trim_end().parse().map_err(|_| Fault::broken(format!("git counts `{}` commits", answer.escape_debug())))
    }

    /// Of the commits that [`Mirror::count`] counts, those behind the newest `skip`, at most so many: oldest first, parents before children.
    ///
    /// They are fewer when they have many bytes.
    pub(crate) fn log(&self, to: &str, known: &[String], skip: u64, most: u64) -> Result<Vec<Commit>, Fault> {
        let line = self
            .local()
            .args([
                "-c",
                "i18n.logOutputEncoding=UTF-8",
                "-c",
                "log.showSignature=false",
                "log",
                "--no-color",
                "--no-show-signature",
            ])
            .args(["--topo-order", "--reverse", "--ignore-missing"])
            .args([format!("--skip={skip}"), format!("--max-count={most}"), format!("--format={FORMAT}")])
            .args([
                "-z",
                "--raw",
                "--no-abbrev",
                "--no-renames",
                "--no-ext-diff",
                "--root",
                "--diff-merges=first-parent",
                "--stdin",
            ])
            .stdin(range(to, known));
        read_log(line)
    }

    /// One commit alone.
    pub(crate) fn one(&self, object: &str) -> Result<Option<Commit>, Fault> {
        Ok(self.log(object, &[], 0, 1)?.pop())
    }
}

fn range(to: &str, known: &[String]) -> String {
    let known: String = known.iter().map(|object| format!("^{object}\n")).collect();
    format!("{to}\n{known}")
}

fn read_log(line: CommandLine) -> Result<Vec<Commit>, Fault> {
    let unexpected = |what: crate::history::Unexpected| Fault::broken(format!("git log: {}", what.0));
    let child = line.stdout(Sink::Capture(ANSWER_BYTES)).stderr(Sink::Capture(ANSWER_BYTES)).spawn()?;
    // Git reads what it is asked to the end before it answers.
    child.close_stdin();
    let (mut reader, mut commits, mut bytes, mut said) = (Reader::new(), Vec::<Commit>::new(), 0, Vec::new());
    loop {
        match child.next_event(PIECE) {
            Event::Stdout(piece) => {
                reader.push(&piece).map_err(unexpected)?;
                for commit in reader.complete() {
                    bytes += commit.bytes();
                    commits.push(commit);
                }
                if bytes > PAGE_BYTES && !commits.is_empty() {
                    // Dropping the child ends git.
                    return Ok(commits);
                }
            }
            Event::Stderr(piece) => said.extend(piece),
            Event::Quiet => {}
            Event::Finished(finished) => {
                return match finished.end() {
                    End::Exited(0) => {
                        commits.extend(reader.end().map_err(unexpected)?);
                        Ok(commits)
                    }
                    end => Err(Failed::of(end, &said).damaged()),
                };
            }
        }
    }
}

/// Why a run of git gave no answer.
enum Failed {
    /// It could not be started.
    Start(Fault),
    /// It ended with a complaint.
    Git { said: String },
    /// It was ended.
    Stopped(String),
}

impl Failed {
    fn of(end: End, stderr: &[u8]) -> Failed {
        match end {
            End::Exited(_) => Failed::Git { said: git::explain(stderr) },
            End::Signalled(signal) => Failed::Stopped(format!("killed by signal {signal}")),
            End::Stopped(reason) => Failed::Stopped(reason),
        }
    }

    /// The world's fault: the remote, or the machine.
    fn fault(self, doing: &str) -> Fault {
        match self {
            Failed::Start(fault) => fault,
            Failed::Git { said } => Fault::unavailable(format!("{doing}: {said}")),
            Failed::Stopped(reason) => Fault::unavailable(format!("{doing}: git was stopped: {reason}")),
        }
    }

    /// A command that needs the mirror alone does not fail on a sound one: the next poll makes it anew.
    fn damaged(self) -> Fault {
        match self {
            Failed::Git { said } => match workspace::remove(DIRECTORY) {
                Ok(()) => Fault::unavailable(format!("the local mirror is damaged and will be made anew: {said}")),
                Err(fault) => fault.while_doing(format!("the local mirror is damaged ({said}) and cannot be removed")),
            },
            other => other.fault("reading the local mirror"),
        }
    }
}

fn output(line: CommandLine, most: u64) -> Result<Vec<u8>, Failed> {
    let finished = line.stdout(Sink::Capture(most)).stderr(Sink::Capture(ANSWER_BYTES)).run().map_err(Failed::Start)?;
    match finished.end() {
        End::Exited(0) => Ok(finished.stdout()),
        end => Err(Failed::of(end, &finished.stderr())),
    }
}
