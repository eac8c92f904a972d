//! The step `git`: checks out one codebase of the build, and sets the property `got_revision`.
//!
//! It trusts nothing in the repository, and nothing that an earlier build left in `.git`: names are arguments after `--`, no hook runs,
//! the checkout's configuration is written anew each time, and a credential is in the environment of the commands that fetch and in no
//! file. Untracked files of earlier builds stay with `mode = "incremental"`: where strangers' changes are built, use `mode = "full"` with
//! `method = "clobber"`.
//!
//! Needs `grant = { command = ["git"] }`, with `net = ["git.example:443"]` for a remote repository or `read = ["/srv/git/app.git"]` for a
//! local one, and the secret that `credential` names. Git 2.31 or newer.
//!
//! The revision need not be on the branch. With several codebases `got_revision` has a commit for each. A patch of the source stamp is
//! applied after the checkout.

mod checkout;
mod config;
mod source;

use checkout::Problem;
use config::Config;
use stampmill_sdk::git::{Repository, branch_ref};
use stampmill_sdk::{Fault, Outcome, Plugin, Step, properties, register, running_build};

/// The property that tells later steps what was checked out.
const GOT_REVISION: &str = "got_revision";
/// Digits of a commit's name that people read.
const SHORT: usize = 10;

/// The step.
#[derive(Debug)]
pub struct GitCheckout(Config);

impl Plugin for GitCheckout {
    type Config = Config;

    fn new(config: Config) -> Result<GitCheckout, Fault> {
        if let Some(repository) = &config.repository {
            Repository::parse(repository)?;
        }
        if let Some(branch) = &config.branch {
            branch_ref(branch)?;
        }
        let odd = |part: &str| matches!(part, ".." | ".git");
        if config.directory.is_empty()
            || config.directory.starts_with(['/', '-'])
            || config.directory.split('/').any(odd)
        {
            return Err(Fault::refused(format!(
                "directory `{}` is not one below the work directory",
                config.directory.escape_debug()
            )));
        }
        Ok(GitCheckout(config))
    }
}

impl Step for GitCheckout {
    fn run(&self) -> Result<Outcome, Fault> {
        let stamps = running_build::current().stamps();
        let source = source::choose(&self.0, &stamps)?;
        let commit = match checkout::check_out(&self.0, &source) {
            Ok(commit) => commit,
            Err(Problem::Fault(fault)) => return Err(fault),
            Err(Problem::Remote(said) | Problem::Local(said)) => return fail(&said),
            Err(Problem::Patch(said)) => return fail(&format!("the patch does not apply: {said}")),
        };
        let before = properties::get(GOT_REVISION)?;
        properties::set(GOT_REVISION, &source::got_revision(&self.0.codebase, stamps.len(), &commit, before))?;
        running_build::summary(&self.summary(&commit, source.patch.is_some()));
        Ok(Outcome::Success)
    }
}

fn fail(said: &str) -> Result<Outcome, Fault> {
    running_build::summary(said);
    Ok(Outcome::Failure)
}

impl GitCheckout {
    fn summary(&self, commit: &str, patched: bool) -> String {
        let short = commit.get(..SHORT).unwrap_or(commit);
        let patch = if patched { " with a patch" } else { "" };
        match self.0.codebase.as_str() {
            "" => format!("at {short}{patch}"),
            codebase => format!("{codebase} at {short}{patch}"),
        }
    }
}

register!(step: GitCheckout);

#[cfg(test)]
mod tests {
    use super::*;
    use stampmill_sdk::serde_json::from_str;

    fn step(config: &str) -> Result<GitCheckout, Fault> {
        GitCheckout::new(from_str(config).expect("a configuration"))
    }

    #[test]
    fn a_directory_outside_of_the_work_directory_is_refused() {
        assert!(step(r#"{"directory": "src/app"}"#).is_ok());
        for directory in ["", "/etc", "../x", "a/../../b", "-C", "a/.git"] {
            assert!(
                matches!(step(&format!(r#"{{"directory": "{directory}"}}"#)), Err(Fault::Refused(_))),
                "{directory}"
            );
        }
    }

    #[test]
    fn wrong_names_are_found_when_the_configuration_is_read() {
        assert!(matches!(step(r#"{"repository": "ext::sh -c id"}"#), Err(Fault::Refused(_))));
        assert!(matches!(step(r#"{"branch": "--upload-pack=x"}"#), Err(Fault::Refused(_))));
    }

    #[test]
    fn the_summary_names_codebase_and_commit() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(step("{}").expect("a step").summary(commit, false), "at 0123456789");
        assert_eq!(
            step(r#"{"codebase": "app"}"#).expect("a step").summary(commit, true),
            "app at 0123456789 with a patch"
        );
    }
}
