//! Git's commands in the checkout's directory.

use crate::config::{Config, Method, Mode};
use crate::source::{Source, Wanted};
use stampmill_sdk::command::{CommandLine, End, Finished, Sink};
use stampmill_sdk::git::{self, Git};
use stampmill_sdk::{Fault, Patch, workspace};
use std::time::Duration;

/// The step's log.
const LOG: &str = "stdio";
/// What git says is kept for the summary; more than that ends it.
const SAID_BYTES: u64 = 8 << 20;
/// Where fetched objects are pinned.
const FETCHED: &str = "refs/stampmill/checkout";
const HEADS: &str = "refs/stampmill/heads/";
const TAGS: &str = "refs/stampmill/tags/";
const GLOBAL_CONFIG_FILE: &str = "stampmill-gitconfig";

/// What in `.git` can name a program or another place, or is left over from a git that was killed: a directory and what to remove of it.
/// Commands of earlier builds could have written it. `git init` makes the configuration anew.
const STALE: [(&str, &str); 14] = [
    (".", "hooks"),
    (".", "info"),
    (".", "worktrees"),
    (".", "config"),
    (".", GLOBAL_CONFIG_FILE),
    (".", "config.worktree"),
    (".", "commondir"),
    (".", "index.lock"),
    (".", "HEAD.lock"),
    (".", "shallow.lock"),
    (".", "config.lock"),
    (".", "packed-refs.lock"),
    ("refs/stampmill", "checkout.lock"),
    ("objects", "info"),
];

/// Why there is no checkout.
#[derive(Debug)]
pub(crate) enum Problem {
    /// Not git's doing.
    Fault(Fault),
    /// Talking to the repository failed: a new directory would not help.
    Remote(String),
    /// A command on the directory failed.
    Local(String),
    /// The patch does not fit.
    Patch(String),
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        Problem::Fault(fault)
    }
}

/// One checkout.
pub(crate) struct Checkout<'a> {
    config: &'a Config,
    source: &'a Source,
    git: Git,
}

/// The commit of the source is checked out, patched if the source has a patch; answers the commit's name.
///
/// Where an existing directory turns out to be broken it is removed, and everything begins again, once.
pub(crate) fn check_out(config: &Config, source: &Source) -> Result<String, Problem> {
    let git = Git::new(source.repository.clone(), config.credential.clone());
    let clobber = (config.mode, config.method) == (Mode::Full, Method::Clobber);
    let reused = !clobber && has_git_directory(&config.directory)?;
    let once = |clobber: bool| {
        let mut checkout = Checkout { config, source, git: git.clone() };
        checkout.prepare(clobber)?;
        checkout.update()
    };
    let commit = match once(clobber) {
        Err(Problem::Local(_)) if reused => once(true)?,
        other => other?,
    };
    if let Some(patch) = &source.patch {
        Checkout { config, source, git }.apply(patch)?;
    }
    Ok(commit)
}

fn below(directory: &str, name: &str) -> String {
    match (directory, name) {
        (".", name) => name.to_owned(),
        (directory, ".") => directory.to_owned(),
        (directory, name) => format!("{directory}/{name}"),
    }
}

fn exists(directory: &str, name: &str) -> Result<Option<workspace::Entry>, Fault> {
    Ok(workspace::entries(directory)?.into_iter().find(|entry| entry.name == name))
}

/// Whether the directory is there, each part of it a real directory.
fn is_there(directory: &str) -> Result<bool, Fault> {
    let mut parent = ".".to_owned();
    for part in directory.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match exists(&parent, part)? {
            Some(entry) if entry.directory => parent = below(&parent, part),
            Some(_) => {
                return Err(Fault::refused(format!(
                    "`{}` in the work directory is not a directory",
                    below(&parent, part)
                )));
            }
            None => return Ok(false),
        }
    }
    Ok(true)
}

fn has_git_directory(directory: &str) -> Result<bool, Fault> {
    Ok(is_there(directory)? && exists(directory, ".git")?.is_some_and(|entry| entry.directory))
}

impl Checkout<'_> {
    /// An empty or a scrubbed repository in the directory.
    fn prepare(&mut self, clobber: bool) -> Result<(), Problem> {
        let directory = self.config.directory.as_str();
        let there = is_there(directory)?;
        if there && clobber {
            for entry in workspace::entries(directory)? {
                workspace::remove(&below(directory, &entry.name))?;
            }
        }
        let git_directory = if there { exists(directory, ".git")? } else { None };
        let modules = match git_directory {
            Some(entry) if entry.directory => self.scrub()?,
            // A link, or a file that points elsewhere.
            Some(_) => {
                workspace::remove(&below(directory, ".git"))?;
                false
            }
            None => false,
        };
        // Git makes the directory: what the workspace makes may belong to another user than the sandbox's.
        self.local(self.git.local_command().args(["init", "--quiet", "--template=", "--", directory]))?;
        if modules {
            self.forget_submodules()?;
        }
        if self.source.repository.is_local() {
            self.local(self.git.write_global_config(GLOBAL_CONFIG_FILE).directory(below(directory, ".git")))?;
            let path = self.answer(self.command().args(["rev-parse", "--absolute-git-dir"]))?;
            self.git = self.git.clone().with_global_config(format!("{path}/{GLOBAL_CONFIG_FILE}"));
        }
        Ok(())
    }

    /// Answers whether there are submodules to forget.
    fn scrub(&self) -> Result<bool, Problem> {
        let git_directory = below(&self.config.directory, ".git");
        for (parent, name) in STALE {
            let parent = below(&git_directory, parent);
            if is_there(&parent)? && exists(&parent, name)?.is_some() {
                workspace::remove(&below(&parent, name))?;
            }
        }
        Ok(exists(&git_directory, "modules")?.is_some())
    }

    /// Submodules have a configuration of their own: they are fetched anew, once this has taken them from the work tree. It runs without a
    /// credential, so that a program named there finds none.
    fn forget_submodules(&self) -> Result<(), Problem> {
        self.local(self.command().args(["submodule", "--quiet", "deinit", "--all", "--force"]))?;
        Ok(workspace::remove(&below(&self.config.directory, ".git/modules"))?)
    }

    fn update(&self) -> Result<String, Problem> {
        let commit = self.fetch()?;
        self.local(self.command().args(["checkout", "--force", "--detach", &commit, "--"]))?;
        if self.config.mode == Mode::Full {
            let mut clean = self.command().args(["clean", "--quiet", "-d", "--force", "--force"]);
            // Also after a clobber: the workspace shows no file whose name is not UTF-8.
            if self.config.method != Method::Clean {
                clean = clean.arg("-x");
            }
            self.local(clean)?;
        }
        if self.config.submodules {
            let mut update = self.remote_command().args(["submodule", "update", "--init", "--recursive", "--force"]);
            if let Some(depth) = self.config.depth {
                update = update.arg(format!("--depth={depth}"));
            }
            self.remote(update, "checking out submodules")?;
        }
        self.object(self.command().args(["rev-parse", "--verify", "HEAD^{commit}"]))
    }

    /// Has the wanted commit in the object store, and answers its name.
    fn fetch(&self) -> Result<String, Problem> {
        match &self.source.wanted {
            Wanted::Newest(reference) => {
                self.fetch_refspecs(&[format!("+{reference}:{FETCHED}")])?;
                self.object(self.command().args(["rev-parse", "--verify"]).arg(format!("{FETCHED}^{{commit}}")))
            }
            Wanted::Object(object) => {
                if let Some(commit) = self.resolve(object)? {
                    return Ok(commit);
                }
                // Old servers hand out only what a reference points to.
                if self.fetch_refspecs(&[format!("+{object}:{FETCHED}")]).is_err() {
                    self.fetch_all()?;
                }
                self.resolve(object)?.ok_or_else(|| self.not_found(object))
            }
            Wanted::Named(name) => {
                self.fetch_all()?;
                for candidate in [format!("{TAGS}{name}"), format!("{HEADS}{name}"), name.clone()] {
                    if let Some(commit) = self.resolve(&candidate)? {
                        return Ok(commit);
                    }
                }
                Err(self.not_found(name))
            }
        }
    }

    fn not_found(&self, revision: &str) -> Problem {
        Problem::Remote(format!("revision {revision} is not in {}", git::redact(self.source.repository.as_str())))
    }

    fn fetch_refspecs(&self, refspecs: &[String]) -> Result<(), Problem> {
        let mut line =
            self.remote_command().args(["fetch", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]);
        if let Some(depth) = self.config.depth {
            line = line.arg(format!("--depth={depth}"));
        }
        line = line.arg("--").arg(self.source.repository.as_str()).args(refspecs);
        self.remote(line, "fetching")
    }

    fn fetch_all(&self) -> Result<(), Problem> {
        let refspecs = [format!("+refs/heads/*:{HEADS}*"), format!("+refs/tags/*:{TAGS}*")];
        let line = self.remote_command().args([
            "fetch",
            "--no-tags",
            "--prune",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--",
        ]);
        self.remote(line.arg(self.source.repository.as_str()).args(refspecs), "fetching")
    }

    /// The commit of a name, if it is here.
    fn resolve(&self, name: &str) -> Result<Option<String>, Problem> {
        let line = self
            .command()
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .arg(format!("{name}^{{commit}}"));
        let finished = line.stdout(Sink::Capture(SAID_BYTES)).stderr(Sink::Capture(SAID_BYTES)).run()?;
        match finished.end() {
            End::Exited(0) => Ok(Some(git::printed_object(&finished.stdout())?)),
            End::Exited(_) => Ok(None),
            end => Err(Problem::Local(said(&end, &finished))),
        }
    }

    /// Into the index too: so the next checkout knows the files that the patch adds, and removes them.
    fn apply(&self, patch: &Patch) -> Result<(), Problem> {
        let mut line = self.command().args(["apply", "--index", "--verbose", "--whitespace=nowarn"]);
        line = line.arg(format!("-p{}", patch.level));
        if !patch.subdirectory.is_empty() {
            line = line.arg(format!("--directory={}", patch.subdirectory));
        }
        let finished = self.run(line.arg("-").stdin(patch.body.clone()))?;
        match finished.success() {
            true => Ok(()),
            false => Err(Problem::Patch(said(&finished.end(), &finished))),
        }
    }

    /// `git` on this directory's repository and on no other that may lie above it.
    fn command(&self) -> CommandLine {
        self.git.local_command().args(["--git-dir=.git", "--work-tree=."]).directory(&self.config.directory)
    }

    fn remote_command(&self) -> CommandLine {
        self.git.remote_command().args(["--git-dir=.git", "--work-tree=."]).directory(&self.config.directory)
    }

    fn run(&self, line: CommandLine) -> Result<Finished, Problem> {
        let silence: Duration = self.config.silence_timeout.get();
        let line = line
            .stdout(Sink::Log(LOG.to_owned()))
            .stderr(Sink::LogAndCapture(LOG.to_owned(), SAID_BYTES))
            .silence_limit(silence);
        Ok(line.run()?)
    }

    fn local(&self, line: CommandLine) -> Result<(), Problem> {
        let finished = self.run(line)?;
        if finished.success() { Ok(()) } else { Err(Problem::Local(said(&finished.end(), &finished))) }
    }

    fn remote(&self, line: CommandLine, doing: &str) -> Result<(), Problem> {
        let finished = self.run(line)?;
        if finished.success() {
            Ok(())
        } else {
            Err(Problem::Remote(format!("{doing}: {}", said(&finished.end(), &finished))))
        }
    }

    /// The object name that git answers.
    fn object(&self, line: CommandLine) -> Result<String, Problem> {
        Ok(git::printed_object(self.answer(line)?.as_bytes())?)
    }

    /// One line that git answers.
    fn answer(&self, line: CommandLine) -> Result<String, Problem> {
        let line = line.stdout(Sink::Capture(SAID_BYTES)).stderr(Sink::LogAndCapture(LOG.to_owned(), SAID_BYTES));
        let finished = line.run()?;
        if finished.success() { Ok(text(&finished)) } else { Err(Problem::Local(said(&finished.end(), &finished))) }
    }
}

fn text(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stdout()).trim_end_matches('\n').to_owned()
}

fn said(end: &End, finished: &Finished) -> String {
    match end {
        End::Exited(_) => git::explain(&finished.stderr()),
        End::Signalled(signal) => format!("git was killed by signal {signal}"),
        End::Stopped(reason) => format!("git was stopped: {reason}"),
    }
}
