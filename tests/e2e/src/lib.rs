//! A host, its worker and a git repository, all real, for end-to-end tests. Nothing here looks inside: it types what an operator types and
//! reads what a program reads.

pub mod browser;
pub mod clock;
pub mod command;
pub mod compiled;
pub mod forwarder;
pub mod host;
pub mod listener;
pub mod place;
pub mod random;
pub mod repository;
pub mod small_disk;
pub mod stranger;
pub mod wire;

pub use browser::{Browser, Tab};
pub use clock::Clock;
pub use command::Said;
pub use forwarder::Forwarder;
pub use host::{Host, stampmill};
pub use listener::Listener;
pub use place::Place;
pub use random::Random;
pub use repository::Repository;
pub use small_disk::{FragileDisk, SmallDisk};
pub use stranger::stranger;

/// The same configuration with a build for each request, for tests that count builds.
#[must_use]
pub fn without_merging(config: &str) -> String {
    config.replace("[[builder]]\n", "[[builder]]\nmerge = false\n")
}

/// A configuration in which a push to `main` of one repository is built: every kind of plugin takes part.
#[must_use]
pub fn main_job(repository: &std::path::Path, report_url: &str, script: &str) -> String {
    let repository = repository.display();
    let origin = report_url.trim_end_matches("/report");
    format!(
        r#"
[[change-source]]
name = "app"
plugin = "git-poller"
every = "1s"
trusted = true
config = {{ repository = "{repository}", branches = ["main", "dev"] }}
grant = {{ command = ["git"], read = ["{repository}"] }}

[codebases]
plugin = "repository-map"
config = {{ "{repository}" = "app" }}

[[scheduler]]
name = "quick"
kind = "single-branch"
branch = "main"
codebases.app = {{ repository = "{repository}", branch = "main" }}
filter = [{{ plugin = "path-filter", config = {{ exclude = ["docs/**"] }} }}]
builders = ["linux"]

[[scheduler]]
name = "by-hand"
kind = "force"
codebases.app = {{ repository = "{repository}", branch = "main" }}
builders = ["linux"]

[[job]]
name = "check"
[[job.step]]
name = "checkout"
plugin = "git"
config = {{ codebase = "app" }}
grant = {{ command = ["git"], read = ["{repository}"] }}
[[job.step]]
name = "run"
plugin = "shell"
config = {{ script = '''
{script}
''' }}
grant = {{ command = ["/bin/sh"] }}

[[builder]]
name = "linux"
job = "check"
project = "app"

[[worker]]
name = "local"

[[reporter]]
name = "told"
plugin = "webhook"
config = {{ url = "{report_url}" }}
grant = {{ http = ["{origin}"] }}
on = ["build-finished", "buildset-finished"]
"#
    )
}
