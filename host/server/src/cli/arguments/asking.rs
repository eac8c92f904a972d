//! Commands that ask a running host.

use std::fmt;
use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use serde_json::Value;

use super::{parse_file, parse_property};

/// Which host.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// The host's address, such as `https://ci.example` [default: the socket in the data directory]
    #[arg(long, value_name = "URL", env = "STAMPMILL_HOST", help_heading = "Which host")]
    pub(crate) host: Option<String>,
    /// The token for that address, from `stampmill token create`
    #[arg(long, env = "STAMPMILL_TOKEN", hide_env_values = true, help_heading = "Which host")]
    pub(crate) token: Option<String>,
    /// The data directory of a host on this machine [default: the `data` of stampmill.toml, else stampmill-data beside it]
    #[arg(long, value_name = "DIR", env = "STAMPMILL_DATA", help_heading = "Which host")]
    pub(crate) data: Option<PathBuf>,
}

/// Nothing but the host.
#[derive(Args, Debug)]
pub(crate) struct TargetArgs {
    #[command(flatten)]
    pub(crate) target: Target,
}

/// A change.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stampmill change --author 'ada <ada@example>' --repository /srv/git/app.git --branch main \\
      --revision 4f0c… --comments 'a fix' src/main.c
  stampmill change --author ada --repository /srv/git/app.git --property urgent:=true src/main.c")]
pub(crate) struct ChangeArgs {
    /// Names of the files that it touches
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<String>,
    /// Who made it
    #[arg(short, long, alias = "who")]
    pub(crate) author: String,
    /// The repository's address
    #[arg(short, long)]
    pub(crate) repository: String,
    /// Its branch
    #[arg(short, long)]
    pub(crate) branch: Option<String>,
    /// Its revision
    #[arg(long)]
    pub(crate) revision: Option<String>,
    /// What its author says of it
    #[arg(short = 'm', long, default_value = "", hide_default_value = true)]
    pub(crate) comments: String,
    /// Its codebase, instead of asking the codebase generator
    #[arg(long)]
    pub(crate) codebase: Option<String>,
    /// Its project
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) project: String,
    /// A word to filter by
    #[arg(long)]
    pub(crate) category: Option<String>,
    /// A page that shows it
    #[arg(long, value_name = "URL")]
    pub(crate) link: Option<String>,
    /// Let builds of it have secrets
    #[arg(long)]
    pub(crate) trusted: bool,
    /// A property of its builds, such as `tests=quick`; `:=` takes JSON
    #[arg(short, long = "property", value_name = "NAME=VALUE", value_parser = parse_property)]
    pub(crate) properties: Vec<(String, Value)>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// A forced build.
#[derive(Args, Debug)]
#[command(after_help = "\
A force scheduler of the configuration must list the builder. Where that scheduler has parameters, --property and --file give their values;
`stampmill scheduler list --json` shows which there are.

Examples:
  stampmill force linux --wait
  stampmill force linux --branch topic --reason 'try the new compiler' --property tests=all
  stampmill force --scheduler release -p version=v1.2 -p 'targets:=[\"linux\",\"bsd\"]' --file notes=NEWS.md")]
pub(crate) struct ForceArgs {
    /// The builder; without it all builders of the scheduler
    #[arg(required_unless_present = "scheduler")]
    pub(crate) builder: Option<String>,
    /// End with the build; exit code by its result
    #[arg(long)]
    pub(crate) wait: bool,
    /// The branch to build
    #[arg(short, long)]
    pub(crate) branch: Option<String>,
    /// The revision to build
    #[arg(long)]
    pub(crate) revision: Option<String>,
    /// The repository to build from, where the scheduler asks for it
    #[arg(long, value_name = "URL")]
    pub(crate) repository: Option<String>,
    /// The project of the sources, where the scheduler asks for it
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// The codebase that --branch, --revision, --repository and --project are of
    #[arg(long)]
    pub(crate) codebase: Option<String>,
    /// A property of the build, such as `tests=quick`; `:=` takes JSON
    #[arg(short, long = "property", value_name = "NAME=VALUE", value_parser = parse_property)]
    pub(crate) properties: Vec<(String, Value)>,
    /// A property whose value is the text of this file
    #[arg(long = "file", value_name = "NAME=PATH", value_parser = parse_file)]
    pub(crate) files: Vec<(String, PathBuf)>,
    /// Why, for people
    #[arg(short = 'm', long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Instead of the scheduler's; higher goes first
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) priority: Option<i32>,
    /// Only on this worker
    #[arg(long)]
    pub(crate) worker: Option<String>,
    /// The force scheduler, where more than one lists the builder
    #[arg(long)]
    pub(crate) scheduler: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// A patch to build.
#[derive(Args, Debug)]
#[command(after_help = "\
The patch is what your work tree has and its base has not: commits that are not pushed, and changes that are not committed. The base is
where the branch left the one that it follows. A try scheduler of the configuration says what is built. A patch's builds get no secrets,
unless the operator trusts that scheduler.

Examples:
  stampmill try --wait
  stampmill try --builder linux -m 'is it faster on linux?'
  stampmill try --revision v1.2
  diff -u old.c new.c | stampmill try --diff - --patchlevel 0 --branch main")]
pub(crate) struct TryArgs {
    /// End with the builds; exit code by their result
    #[arg(long)]
    pub(crate) wait: bool,
    /// Only this builder of the scheduler; may be given several times
    #[arg(long = "builder", value_name = "BUILDER")]
    pub(crate) builders: Vec<String>,
    /// What the patch is for, where it is not where the branch left the one that it follows
    #[arg(long, value_name = "COMMIT")]
    pub(crate) revision: Option<String>,
    /// The branch of the base
    #[arg(short, long)]
    pub(crate) branch: Option<String>,
    /// The codebase that is patched, where the scheduler has several
    #[arg(long)]
    pub(crate) codebase: Option<String>,
    /// A unified diff to take instead of the work tree; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) diff: Option<PathBuf>,
    /// How many leading parts of the diff's paths are to go, as in `patch -p`
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "diff")]
    pub(crate) patchlevel: u32,
    /// Where in the checkout the diff is applied
    #[arg(long, value_name = "DIRECTORY", requires = "diff")]
    pub(crate) subdirectory: Option<String>,
    /// The work tree
    #[arg(long, value_name = "DIRECTORY", default_value = ".", hide_default_value = true, conflicts_with = "diff")]
    pub(crate) directory: PathBuf,
    /// A property of the builds, such as `tests=quick`; `:=` takes JSON
    #[arg(short, long = "property", value_name = "NAME=VALUE", value_parser = parse_property)]
    pub(crate) properties: Vec<(String, Value)>,
    /// What to say of it to people
    #[arg(short = 'm', long)]
    pub(crate) comment: Option<String>,
    /// The try scheduler, where there are several
    #[arg(long)]
    pub(crate) scheduler: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Whether a build has ended.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BuildsState {
    /// Not ended
    Open,
    /// Ended
    Finished,
}

/// A list of builds.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  stampmill builds linux --limit 5\n  stampmill builds --state open\n  stampmill builds --result failure --json"
)]
pub(crate) struct BuildsArgs {
    /// Only of this builder
    pub(crate) builder: Option<String>,
    /// Only those that have ended, or have not
    #[arg(long, value_enum)]
    pub(crate) state: Option<BuildsState>,
    /// Only those that ended so: success, warnings, failure, skipped, exception, retry, cancelled
    #[arg(long)]
    pub(crate) result: Option<String>,
    /// Only on this worker
    #[arg(long)]
    pub(crate) worker: Option<String>,
    /// How many at most
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// A log.
#[derive(Args, Debug)]
#[command(after_help = "\
BUILD is a build's id, or BUILDER/NUMBER.

Examples:
  stampmill log 120                     every step's log
  stampmill log linux/12 compile        one step's log
  stampmill log 120 --tail 50           the last lines of each
  stampmill log 120 --follow            as it grows, until the build ends; exit code by its result")]
pub(crate) struct LogArgs {
    /// The build: its id, or BUILDER/NUMBER
    pub(crate) build: String,
    /// The step, by name or number; without it all of them
    pub(crate) step: Option<String>,
    /// The log of the step, where it has several
    #[arg(long, value_name = "NAME")]
    pub(crate) log: Option<String>,
    /// Go on as it grows, and end with the build (or the step); exit code by the result
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "N", conflicts_with = "follow", value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub(crate) tail: Option<u32>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// An end.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  stampmill cancel linux/12 --reason 'wrong branch'\n  stampmill cancel --request 40",
    group = ArgGroup::new("what").args(["build", "request"]).required(true)
)]
pub(crate) struct CancelArgs {
    /// The build: its id, or BUILDER/NUMBER
    pub(crate) build: Option<String>,
    /// A request instead, whether it waits or builds
    #[arg(long, value_name = "ID")]
    pub(crate) request: Option<u64>,
    /// Why, for people
    #[arg(short = 'm', long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// A word on a request.
#[derive(Args, Debug)]
#[command(after_help = "\
A scheduler with `approve-untrusted = true` makes such requests of changes that are not trusted.

Examples:
  stampmill explain 40                  what request 40 waits for
  stampmill approve 40                  let it be built, without secrets as before
  stampmill approve 40 --refuse         end it, not built")]
pub(crate) struct ApproveArgs {
    /// The request
    pub(crate) request: u64,
    /// End it instead; it is not built
    #[arg(long)]
    pub(crate) refuse: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Another build of the same.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  stampmill rebuild linux/12 --wait")]
pub(crate) struct RebuildArgs {
    /// The build: its id, or BUILDER/NUMBER
    pub(crate) build: String,
    /// End with the new build; exit code by its result
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What is to be explained.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    /// Why it waits
    Request,
    /// Why it exists
    Build,
    /// Why it was or was not built
    Change,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Build => "build",
            Self::Change => "change",
        })
    }
}

/// An explanation.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stampmill explain 40                  why request 40 waits
  stampmill explain build linux/12      why that build exists
  stampmill explain change 7            which schedulers took change 7, and why the others did not")]
pub(crate) struct ExplainArgs {
    /// `request`, `build` or `change`, then its id; an id alone is a request's
    #[arg(value_name = "KIND ID", num_args = 1..=2, required = true)]
    pub(crate) what: Vec<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}
