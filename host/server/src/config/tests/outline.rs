//! Configurations that load, with the plugins that are in the binary.

use std::path::Path;

use stampmill_engine::config::{ChangeSourceKind, Lock, LockUse, Merge, Project, Retry, RetryCause, SchedulerKind};
use stampmill_model::{LockAccess, LockScope, Milliseconds, Tier};

use super::{Folder, plugins, two_checkouts, warnings};
use crate::config::{Loaded, SecretSource, load};
use crate::starter;

/// The outline of the design, but for the filter, whose plugin is not in the binary yet.
const OUTLINE: &str = r#"
[[change-source]]
name   = "app"
plugin = "git-poller"
config = { repository = "https://git.example/app.git", branches = ["main"], every = "30s" }
grant  = { command = ["git"], net = ["git.example:443"] }

[codebases]                      # codebase generator
plugin = "repository-map"
config = { "https://git.example/app.git" = "app" }

[[scheduler]]
name     = "quick"
kind     = "single-branch"
branch   = "main"
stable-for = "5s"
codebases.app = { repository = "https://git.example/app.git", branch = "main" }
builders = ["linux"]

[[job]]                          # a named sequence of steps, shared by builders
name = "c-project"
[[job.step]]
plugin = "git"
config = { codebase = "app" }
grant  = { command = ["git"], net = ["git.example:443"] }
[[job.step]]
name   = "compile"
plugin = "shell"
config = { command = ["make", "-j${{ worker.cores }}"] }
grant  = { command = ["*"] }

[[builder]]
name    = "linux"
job     = "c-project"
project = "app"
workers = { tags = ["linux"] }

[[worker]]                       # who may connect; `stampmill worker-token w1` prints the token once
name = "w1"
tags = ["linux"]

[[reporter]]
plugin = "webhook"
config = { url = "https://chat.example/hook" }
grant  = { http = ["https://chat.example"] }
on     = ["build-finished"]

[secret.deploy-key]
file = "/etc/stampmill/deploy-key"          # or env = "…"

[limits]                         # host-wide; plugins, steps and workers have their own
body-bytes = "10MiB"
"#;

fn loaded(folder: &Folder) -> Loaded {
    load(&folder.config()).unwrap_or_else(|error| panic!("{}", error.render(false)))
}

#[test]
fn the_outline_of_the_design_loads_with_the_plugins_in_the_binary() {
    let folder = Folder::with(OUTLINE);
    let loaded = loaded(&folder);
    let engine = &loaded.engine;
    assert_eq!(engine.change_sources[0].kind, ChangeSourceKind::Poller { every: Milliseconds(30_000) });
    assert!(!engine.change_sources[0].trusted, "nobody is trusted who is not named");
    assert!(engine.codebase_generator);
    let SchedulerKind::SingleBranch { branch, stable_for } = &engine.schedulers[0].kind else { panic!("another kind") };
    assert_eq!((branch.as_deref(), *stable_for), (Some("main"), Some(Milliseconds(5_000))));
    assert_eq!(engine.schedulers[0].codebases[0].codebase, "app");
    let job = &engine.builders[0].job;
    let steps: Vec<(&str, &str)> =
        job.steps.iter().map(|step| (step.name.as_str(), step.plugin.name.as_str())).collect();
    assert_eq!(steps, [("git", "git"), ("compile", "shell")]);
    assert_eq!(job.steps[1].grant.command, ["*"]);
    assert_eq!(job.steps[1].plugin.digest, loaded.plugins["shell"].digest);
    assert!(job.steps[0].halt_on_failure && job.steps[0].flunk_on_failure && !job.steps[0].always_run);
    assert_eq!(engine.builders[0].tier, Tier::Sandboxed);
    assert_eq!(engine.reporters[0].name.as_str(), "webhook");
    assert_eq!(loaded.change_sources[&"app".into()].config["repository"], "https://git.example/app.git");
    assert_eq!(loaded.secrets["deploy-key"], SecretSource::File("/etc/stampmill/deploy-key".into()));
    assert_eq!(loaded.limits.body_bytes, 10 << 20);
    assert_eq!(loaded.uses().count(), 5);
    assert_eq!(loaded.pins.len(), 5);
}

#[test]
fn the_configuration_of_the_tour_loads_without_a_warning_and_uses_every_kind() {
    let text = starter::demo(Path::new("/tmp/a \"strange\" place/sample.git"), "http://127.0.0.1:4711/");
    let folder = Folder::with(&text);
    let loaded = loaded(&folder);
    let told: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{told:#?}");
    let kinds: std::collections::BTreeSet<&str> =
        loaded.uses().map(|usage| usage.plugin.inspection.manifest.kind.as_str()).collect();
    let all = ["change-poller", "codebase-generator", "reporter", "scheduler-filter", "step"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
    let source = &loaded.change_sources[&"sample".into()];
    assert_eq!(source.config["repository"], "/tmp/a \"strange\" place/sample.git");
    assert_eq!(source.grant.read, ["/tmp/a \"strange\" place/sample.git"]);
    assert_eq!(loaded.reporters[&"listener".into()].config["url"], "http://127.0.0.1:4711/report");
}

#[test]
fn what_init_writes_loads_without_a_warning_for_every_toolchain() {
    use starter::Toolchain::{Cargo, Go, Make, Npm, Python, Unknown};
    for toolchain in [Cargo, Go, Npm, Python, Make, Unknown] {
        let project = starter::Project {
            name: "my-app".to_owned(),
            repository: "/srv/git/my \"app\"".to_owned(),
            branch: "main".to_owned(),
            access: "read = [\"/srv/git\"]".to_owned(),
            toolchain,
        };
        let folder = Folder::with(&starter::project(&project));
        let loaded = loaded(&folder);
        assert!(loaded.warnings.is_empty(), "{toolchain:?}: {:#?}", loaded.warnings);
        assert!(loaded.steps.len() >= 2, "{toolchain:?}");
        assert_eq!(loaded.change_sources[&"my-app".into()].config["repository"], "/srv/git/my \"app\"");
    }
}

#[test]
fn an_empty_file_is_a_configuration_with_defaults() {
    let folder = Folder::with("");
    let loaded = folder.load(&plugins()).unwrap();
    assert_eq!(loaded.listen, "127.0.0.1:8010");
    assert_eq!(loaded.title, "Stampmill");
    assert_eq!(loaded.data, folder.path().join("stampmill-data"));
    assert_eq!(loaded.public_url, None);
    assert!(loaded.pins.is_empty());
}

#[test]
fn the_poll_interval_stands_beside_the_plugins_configuration_or_in_it() {
    let source = |config: &str, beside: &str| {
        format!(
            "[[change-source]]\nname = \"a\"\nplugin = \"git-poller\"\nconfig = {{ repository = \"/r\"{config} }}\ngrant = {{ command = [\"git\"] }}\n{beside}"
        )
    };
    let every = |text: &str| {
        let loaded = Folder::with(text).load(&plugins()).unwrap_or_else(|error| panic!("{error}"));
        assert!(loaded.change_sources[&"a".into()].config.get("every").is_none(), "this plugin does not know the key");
        loaded.engine.change_sources[0].kind
    };
    let poller = |seconds| ChangeSourceKind::Poller { every: Milliseconds::from_seconds(seconds) };
    assert_eq!(every(&source("", "")), poller(60));
    assert_eq!(every(&source(", every = \"30s\"", "")), poller(30));
    assert_eq!(every(&source("", "every = \"2m\"\n")), poller(120));
    let twice = super::errors(&source(", every = \"30s\"", "every = \"2m\"\n"));
    assert!(twice[0].message().contains("`every` twice"), "{twice:#?}");
    let number = super::errors(&source(", every = 30", ""));
    assert!(number[0].message().contains("`config.every` of change source `a` is no length of time"), "{number:#?}");
}

#[test]
fn requests_of_a_builder_merge_unless_it_says_otherwise() {
    let merge = |text: &str| loaded(&Folder::with(text)).engine.builders[0].merge;
    assert_eq!(merge(OUTLINE), Merge::Alike);
    assert_eq!(merge(&OUTLINE.replace("workers = { tags", "merge = false\nworkers = { tags")), Merge::Never);
}

#[test]
fn a_builder_has_a_merge_plugin_where_it_names_one() {
    let with = |keys: &str| OUTLINE.replace("workers = { tags", &format!("{keys}\nworkers = {{ tags"));
    let by = "merge-by = { plugin = \"merge-by-property\", config = { properties = [\"suite\"] } }";
    let loaded = loaded(&Folder::with(&with(by)));
    let builder = &loaded.engine.builders[0];
    assert_eq!(builder.merge, Merge::ByPlugin);
    assert_eq!(loaded.merges[&builder.name].what, format!("merge plugin of builder `{}`", builder.name));
    assert!(loaded.uses().any(|usage| usage.plugin.name == "merge-by-property"));

    let never = super::errors(&with(&format!("merge = false\n{by}")));
    assert!(never[0].message().contains("is never asked, as `merge` is false"), "{never:#?}");
    let other = super::errors(&with("merge-by = { plugin = \"path-filter\" }"));
    let says = "is a scheduler-filter, and a merge plugin is expected here";
    assert!(other[0].message().contains(says), "{other:#?}");
}

#[test]
fn a_project_has_shares_and_a_limit_where_the_file_says_so_and_one_without_builders_is_shown() {
    let text =
        format!("[[project]]\nname = \"app\"\nshares = 3\nmax-builds = 4\n[[project]]\nname = \"ap\"\n{OUTLINE}");
    let engine = loaded(&Folder::with(&text)).engine;
    let project =
        |name: &str, shares, max_builds| Project { name: name.to_owned(), shares, max_builds, depends_on: Vec::new() };
    assert_eq!(engine.projects, [project("app", Some(3), Some(4)), project("ap", None, None)]);
    let warnings = warnings(&text);
    assert!(warnings.iter().any(|warning| warning.message() == "project `ap` has no builder"), "{warnings:?}");
}

#[test]
fn a_lock_is_one_for_all_and_had_alone_unless_the_file_says_otherwise() {
    let uses = "locks = [{ name = \"db\" }, { name = \"disk\", access = \"counting\" }]\nworkers = { tags";
    let locks = "[[lock]]\nname = \"db\"\n[[lock]]\nname = \"disk\"\ncount = 3\nscope = \"worker\"\n";
    let engine = loaded(&Folder::with(&format!("{locks}{}", OUTLINE.replace("workers = { tags", uses)))).engine;
    let lock = |name: &str, count, scope| Lock { name: name.into(), count, scope };
    assert_eq!(engine.locks, [lock("db", 1, LockScope::Host), lock("disk", 3, LockScope::Worker)]);
    let lock_use = |name: &str, access| LockUse { name: name.into(), access };
    let expected = [lock_use("db", LockAccess::Exclusive), lock_use("disk", LockAccess::Counting)];
    assert_eq!(engine.builders[0].locks, expected);
}

#[test]
fn lost_builds_alone_are_tried_again_unless_the_builder_lists_causes() {
    let retry = |line: &str| {
        let text = OUTLINE.replace("workers = { tags", &format!("{line}\nworkers = {{ tags"));
        loaded(&Folder::with(&text)).engine.builders[0].retry.clone()
    };
    assert_eq!(retry(""), Retry { on: vec![RetryCause::WorkerLost], attempts: None });
    assert_eq!(retry("retry = { on = [] }"), Retry { on: vec![], attempts: None });
    let on = vec![RetryCause::ExitCode(75), RetryCause::Signal(None), RetryCause::Signal(Some(9))];
    let listed = retry("retry = { on = [\"exit-code 75\", \"signal\", \"signal 9\"], attempts = 5 }");
    assert_eq!(listed, Retry { on, attempts: Some(5) });
}

#[test]
fn a_scheduler_cancels_nothing_unless_it_says_so() {
    let cancels = |text: &str| {
        let scheduler = loaded(&Folder::with(text)).engine.schedulers[0].clone();
        (scheduler.cancel_superseded, scheduler.cancel_on_failure)
    };
    assert_eq!(cancels(OUTLINE), (false, false));
    let with = |line: &str| OUTLINE.replace("stable-for = \"5s\"", &format!("stable-for = \"5s\"\n{line}"));
    assert_eq!(cancels(&with("cancel-superseded = true")), (true, false));
    assert_eq!(cancels(&with("cancel-on-failure = true")), (false, true));
}

#[test]
fn what_is_doubtful_is_a_warning_with_its_place() {
    let text = "
[[change-source]]
name = \"a\"
plugin = \"git-poller\"
config = { repository = \"/r\" }
grant = { command = [\"git\"], http = [\"https://h\"] }
[codebases]
plugin = \"repository-map\"
config = { \"/r\" = \"app\", \"/s\" = \"lib\" }
[[scheduler]]
name = \"q\"
kind = \"single-branch\"
codebases.apq = { repository = \"/r\" }
builders = [\"linux\"]
[[job]]
name = \"c\"
[[job.step]]
plugin = \"shell\"
grant = { command = [\"*\"], secret = [\"k\"] }
[[builder]]
name = \"linux\"
job = \"c\"
workers = { tags = [\"gpu\"] }
[[builder]]
name = \"idle\"
job = \"c\"
[[worker]]
name = \"w\"
[secret.k]
env = \"STAMPMILL_TEST_THAT_NOBODY_SETS\"
";
    let warnings = warnings(text);
    let expected = [
        (6, "granted `http` and does not ask for it"),
        (9, "yields the codebase `app`, which no scheduler lists"),
        (9, "yields the codebase `lib`, which no scheduler lists"),
        (10, "scheduler `q` has no `branch`"),
        (13, "never yields the codebase `apq`"),
        (19, "no change source is trusted"),
        (21, "builder `linux` can run nowhere"),
        (25, "builder `idle` is in no scheduler"),
        (30, "the environment variable STAMPMILL_TEST_THAT_NOBODY_SETS is not set"),
    ];
    let found: Vec<(usize, &str)> = warnings.iter().map(|warning| (warning.line(), warning.message())).collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (line, part) in expected {
        assert!(
            found.iter().any(|(at, message)| *at == line && message.contains(part)),
            "line {line}: {part}: {found:#?}"
        );
    }
}

#[test]
fn two_checkouts_that_may_exclude_each_other_are_doubtful_in_one_directory() {
    let steps = |second: &str| two_checkouts("when = \"true\"", &format!("when = \"false\"\nconfig = {{ {second} }}"));
    assert_eq!(warnings(&steps("directory = \"./\"")).len(), 1);
    assert_eq!(warnings(&steps("directory = \"lib\"")).len(), 0);
}
