//! Projects that depend on others.

use stampmill_engine::config::SchedulerKind;

use super::bad_input::{holds, only};
use super::{Folder, errors, plugins, warnings};

/// Builders `lib`, `a` and `b` of projects of their names, and what else.
fn with(text: &str) -> String {
    let mut whole = format!(
        "{text}[[job]]\nname = \"c\"\n[[job.step]]\nplugin = \"shell\"\nconfig = {{ command = [\"make\"] }}\ngrant = {{ command = [\"make\"] }}\n[[worker]]\nname = \"w\"\n"
    );
    let mut builders = Vec::new();
    for name in ["lib", "a", "b"] {
        whole += &format!("[[builder]]\nname = \"{name}\"\njob = \"c\"\nproject = \"{name}\"\n");
        builders.push(format!("\"{name}\""));
    }
    whole + &format!("[[scheduler]]\nname = \"by-hand\"\nkind = \"force\"\nbuilders = [{}]\n", builders.join(", "))
}

const PINGED: &str = "[[scheduler]]\nname = \"after\"\nkind = \"pinged\"\nbuilders = [\"a\"]\n";
const PINGING: &str = "[[scheduler]]\nname = \"news\"\nkind = \"force\"\nbuilders = [\"lib\"]\npings = true\n";
const DEPENDS: &str = "[[project]]\nname = \"a\"\ndepends-on = [\"lib\"]\n";

#[test]
fn a_scheduler_pings_those_that_depend_on_its_project_and_another_is_pinged_for_its_own() {
    let loaded = Folder::with(&with(&format!("{DEPENDS}{PINGING}{PINGED}"))).load(&plugins()).unwrap();
    let told: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{told:#?}");
    let engine = &loaded.engine;
    assert_eq!(engine.projects[0].depends_on, ["lib"]);
    assert_eq!(engine.schedulers[0].pings.as_deref(), Some("lib"));
    assert_eq!(engine.schedulers[1].kind, SchedulerKind::Pinged { project: "a".to_owned() });
    assert_eq!(engine.schedulers[2].pings, None);
}

#[test]
fn a_cycle_of_projects_is_shown_whole_and_once() {
    let project = |name: &str, needs: &str| format!("[[project]]\nname = \"{name}\"\ndepends-on = [{needs}]\n");
    let text = with(&format!("{}{}{}", project("a", "\"b\""), project("b", "\"lib\""), project("lib", "\"a\"")));
    only(&text, (9, 15), "projects depend on each other: `a` on `b` on `lib` on `a`", "remove one of these");
    let text = with(&project("a", "\"lib\", \"a\""));
    only(&text, (3, 22), "projects depend on each other: `a` on `a`", "remove one of these");
}

#[test]
fn a_dependency_that_is_no_project_or_there_twice_is_shown() {
    let depends = |list: &str| with(&DEPENDS.replace("\"lib\"", list));
    only(&depends("\"lbi\""), (3, 15), "project `a` depends on `lbi`", "did you mean `lib`?");
    only(&depends("\"lib\", \"lib\""), (3, 22), "project `a` depends on `lib` twice", "leave one of them out");
}

#[test]
fn pings_that_mean_nothing_are_shown() {
    let found = errors(&with(&PINGED.replace("builders", "pings = true\nbuilders")));
    holds(&found[0], (4, 1), "`pings` of scheduler `after` means nothing for kind `pinged`", "it belongs to kind");
    let later = "[[scheduler]]\nname = \"later\"\nkind = \"dependent\"\nupstream = \"after\"\nbuilders = [\"lib\"]\npings = true\n";
    let found = errors(&with(&format!("{DEPENDS}{PINGED}{later}")));
    holds(&found[0], (13, 9), "`pings` of scheduler `later` means nothing", "the wave goes on");
    let several = PINGING.replace("[\"lib\"]", "[\"lib\", \"a\"]");
    only(
        &with(&format!("{several}{DEPENDS}")).replace("name = \"a\"\ndepends", "name = \"b\"\ndepends"),
        (5, 9),
        "the builders of scheduler `news` are of several projects",
        "one scheduler for each project",
    );
    only(
        &with(&format!("{PINGED}{}", PINGED.replace("after", "again"))),
        (7, 8),
        "project `a` has two schedulers of kind `pinged`",
        "name all its builders in one",
    );
    let none = with(PINGED).replace("project = \"a\"\n", "");
    only(&none, (3, 8), "the builders of scheduler `after` have no project", "add `project");
}

#[test]
fn dependencies_that_nothing_follows_from_are_doubtful() {
    let found = warnings(&with(&format!("{DEPENDS}{}", PINGING.replace("\"lib\"", "\"b\""))));
    assert_eq!(found.len(), 2, "{found:?}");
    holds(&found[0], (2, 8), "project `a` depends on others, and no scheduler is pinged for it", "kind = \"pinged\"");
    holds(&found[1], (8, 9), "scheduler `news` pings nobody", "add `depends-on = [\"b\"]`");
}
