//! The command line against a running host: what people type, what it says, and with which exit code it ends.

mod building;
mod house;
mod operating;
mod people;
mod teaching;

use serde_json::Value;
use stampmill_e2e::{Host, Place, Repository, Said};

/// A builder that checks out, one whose build takes a moment, and a scheduler for each way to start them.
fn config(repository: &Repository) -> String {
    let repository = repository.bare.display();
    format!(
        r#"
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
builders = ["linux", "slow"]

[[scheduler]]
name = "release"
kind = "force"
codebases.app = {{ repository = "{repository}", branch = "main", ask = ["revision"] }}
builders = ["linux"]
parameter = [
  {{ kind = "choice", name = "level", choices = ["plain", "deep"], default = "deep" }},
  {{ kind = "string", name = "version", regex = "v[0-9]+", required = true }},
  {{ kind = "file", name = "notes" }},
  {{ kind = "group", name = "upload", parameter = [
    {{ kind = "int", name = "tries", min = 1, max = 9, default = 3 }},
    {{ kind = "choice", name = "to", choices = ["a", "b"], multiple = true }},
  ] }},
]

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
[job.step.config]
script = '''
echo the README says: $(cat README)
echo the level is $LEVEL
test "$LEVEL" != broken
'''
environment = {{ LEVEL = "${{{{ has(props.level) ? props.level : 'plain' }}}}" }}
[job.step.grant]
command = ["/bin/sh"]

[[job]]
name = "take-time"
[[job.step]]
name = "wait"
plugin = "shell"
[job.step.config]
script = '''
for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.$PAUSE; done
sleep $LONGER
exit $CODE
'''
environment = {{ CODE = "${{{{ has(props.code) ? props.code : '0' }}}}", PAUSE = "5", LONGER = "${{{{ has(props.longer) ? props.longer : '0' }}}}" }}
[job.step.grant]
command = ["/bin/sh"]

[[builder]]
name = "linux"
job = "check"
[[builder]]
name = "slow"
job = "take-time"
max-builds = 1

[[worker]]
name = "local"
max-builds = 2
[[worker]]
name = "far"
"#
    )
}

async fn up(place: &Place) -> anyhow::Result<(Repository, Host)> {
    let repository = Repository::make(place.path())?;
    let host = Host::up(place.path(), &config(&repository)).await?;
    Ok((repository, host))
}

/// What a command says when all is well.
async fn fine(host: &Host, arguments: &[&str]) -> anyhow::Result<Said> {
    let said = host.typed(arguments).await?;
    assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
    Ok(said)
}

/// It ended with this code, and its error has all of these words.
fn refused(arguments: &[&str], said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, code, "{arguments:?}: {said:?}");
    assert!(said.out.is_empty(), "{arguments:?}: {said:?}");
    for word in words {
        assert!(said.err.contains(word), "{arguments:?} does not say `{word}`: {said:?}");
    }
    assert!(!said.err.contains("panicked"), "{said:?}");
}

async fn stored(host: &Host) -> anyhow::Result<Value> {
    let mut all = Vec::new();
    for list in ["changes", "buildsets", "requests", "builds"] {
        all.push(host.get(&format!("/api/v1/{list}")).await?["items"].clone());
    }
    Ok(Value::Array(all))
}
