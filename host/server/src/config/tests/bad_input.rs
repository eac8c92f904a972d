//! Each mistake: line, column, what is said, and the mend.

use super::{Folder, errors, plugins, two_checkouts, warnings};
use crate::config::{ConfigError, Finding};

/// The only finding, at a place, with words in its message and its mend.
#[track_caller]
pub(super) fn only(text: &str, place: (usize, usize), message: &str, mend: &str) {
    let findings = errors(text);
    let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(findings.len(), 1, "{shown:#?}");
    holds(&findings[0], place, message, mend);
}

#[track_caller]
pub(super) fn holds(finding: &Finding, place: (usize, usize), message: &str, mend: &str) {
    assert_eq!((finding.line(), finding.column()), place, "{finding}");
    assert!(finding.message().contains(message), "{finding}");
    assert!(finding.mend().unwrap_or_default().contains(mend), "{finding}");
    let rendered = finding.render(false);
    assert!(rendered.contains(&format!("stampmill.toml:{}:{}", place.0, place.1)), "{rendered}");
}

const BUILDER: &str = "
[[job]]
name = \"c\"
[[job.step]]
plugin = \"shell\"
config = { command = [\"make\"] }
grant = { command = [\"make\"] }
[[builder]]
name = \"linux\"
job = \"c\"
[[worker]]
name = \"w1\"
";

fn with_builder(text: &str) -> String {
    format!("{text}{BUILDER}")
}

#[test]
fn a_syntax_error_is_shown_where_it_is() {
    only("title = \"a\"\nlisten = here\n", (2, 10), "syntax error", "quotes");
    let findings = errors("a = x\nb = y\n");
    assert!(findings.len() >= 2, "{findings:#?}");
}

#[test]
fn a_syntax_error_shows_the_line_and_a_caret() {
    let findings = errors("title = \"a\"\nlisten = here\n");
    let rendered = findings[0].render(false);
    assert!(rendered.contains("listen = here"), "{rendered}");
    assert!(rendered.contains("┬") || rendered.contains("▲"), "{rendered}");
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    only("listn = \"127.0.0.1:1\"\n", (1, 1), "unknown key `listn` in the configuration", "did you mean `listen`?");
    let text = with_builder(
        "[[scheduler]]\nname = \"q\"\nkind = \"single-branch\"\nbrnach = \"main\"\nbranch = \"main\"\nbuilders = [\"linux\"]\n",
    );
    only(&text, (4, 1), "unknown key `brnach` in scheduler `q`", "did you mean `branch`?");
    let text = with_builder("").replace("name = \"w1\"", "name = \"w1\"\ncolour = \"red\"");
    only(&text, (13, 1), "unknown key `colour` in worker `w1`", "`name`, `tags`, `max-builds`, `properties`");
}

#[test]
fn several_mistakes_are_shown_at_once_in_the_order_of_the_file() {
    let findings = errors("listn = 1\ntitle = 3\n[limits]\nbody-bytes = \"much\"\n");
    let lines: Vec<usize> = findings.iter().map(Finding::line).collect();
    assert_eq!(lines, [1, 2, 4]);
    let text = ConfigError::Wrong(findings).to_string();
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn a_value_of_the_wrong_type_says_what_is_expected() {
    only("title = 5\n", (1, 9), "`title` of the configuration is a number, and text is expected", "title = \"5\"");
    let text = with_builder("[[scheduler]]\nname = \"f\"\nkind = \"force\"\nbuilders = \"linux\"\n");
    only(&text, (4, 12), "a list of texts is expected", "builders = [\"linux\"]");
    let text = with_builder("").replace("[[worker]]", "[worker]");
    only(&text, (11, 1), "a list of tables is expected", "[[worker]]");
    let text = with_builder("").replace("name = \"w1\"", "name = \"w1\"\nmax-builds = 0");
    only(&text, (13, 14), "a number from 1", "");
}

#[test]
fn a_duration_without_a_unit_says_how_to_write_it() {
    let scheduler = "[[scheduler]]\nname = \"q\"\nkind = \"any-branch\"\nstable-for = 5\nbuilders = [\"linux\"]\n";
    only(&with_builder(scheduler), (4, 14), "a length of time is expected", "stable-for = \"5s\"");
    let scheduler = scheduler.replace("= 5", "= \"soon\"");
    only(&with_builder(&scheduler), (4, 14), "`soon`, which is no length of time", "ms, s, m, h, d");
    let periodic = "[[scheduler]]\nname = \"p\"\nkind = \"periodic\"\nevery = \"1ms\"\nbuilders = [\"linux\"]\n";
    only(&with_builder(periodic), (4, 9), "at least 1s is expected", "every = \"1s\"");
}

#[test]
fn a_missing_key_is_shown_with_the_line_to_add() {
    only(
        &with_builder("[[scheduler]]\nname = \"f\"\nkind = \"force\"\n"),
        (1, 1),
        "scheduler `f` has no `builders`",
        "builders = [",
    );
    only(
        &with_builder("[[scheduler]]\nname = \"p\"\nkind = \"periodic\"\nbuilders = [\"linux\"]\n"),
        (1, 1),
        "no `every`",
        "every = \"1h\"",
    );
    only(
        "[[reporter]]\nplugin = \"webhook\"\nconfig = { url = \"http://h/x\" }\ngrant = { http = [\"http://h\"] }\n",
        (1, 1),
        "no `on`",
        "on = [\"build-finished\"]",
    );
}

#[test]
fn a_key_that_means_nothing_for_the_kind_is_no_ornament() {
    let text =
        with_builder("[[scheduler]]\nname = \"f\"\nkind = \"force\"\nbranch = \"main\"\nbuilders = [\"linux\"]\n");
    only(&text, (4, 1), "`branch` of scheduler `f` means nothing for kind `force`", "codebases.NAME");
    let text =
        with_builder("[[scheduler]]\nname = \"a\"\nkind = \"any-branch\"\nbranch = \"main\"\nbuilders = [\"linux\"]\n");
    only(&text, (4, 1), "means nothing for kind `any-branch`", "branches = [");
}

fn scheduler(kind: &str, keys: &str) -> String {
    with_builder(&format!("[[scheduler]]\nname = \"s\"\nkind = \"{kind}\"\n{keys}\nbuilders = [\"linux\"]\n"))
}

#[test]
fn a_crontab_that_never_comes_or_is_none_and_an_unknown_zone_are_refused_at_their_place() {
    only(&scheduler("nightly", ""), (1, 1), "no `at`", "at = \"0 3 * * *\"");
    only(&scheduler("nightly", "at = \"0 0 30 2 *\""), (4, 6), "`0 0 30 2 *` never comes", "a day that exists");
    only(&scheduler("nightly", "at = \"@daily\""), (4, 6), "`@daily` is no crontab: it has 1 fields", "0 3 * * 1-5");
    only(&scheduler("nightly", "at = \"0 25 * * *\""), (4, 6), "is no crontab", "0 3 * * 1-5");
    let zone = scheduler("nightly", "at = \"0 3 * * *\"\ntime-zone = \"Berlin\"");
    only(&zone, (5, 13), "`Berlin` is no time zone", "Europe/Berlin");
    let forced = "at = \"0 3 * * *\"\nonly-if-changed = true\nforce-at = \"never\"";
    only(&scheduler("nightly", forced), (6, 12), "`never` is no crontab", "");
    let unchanged = scheduler("nightly", "at = \"0 3 * * *\"\nforce-at = \"0 4 * * 0\"");
    only(&unchanged, (5, 1), "means nothing without `only-if-changed`", "only-if-changed = true");
    let forced = scheduler("force", "trusted = true");
    only(&forced, (4, 1), "`trusted` of scheduler `s` means nothing for kind `force`", "kind `try`");
    for kind in ["force", "try", "periodic"] {
        let every = if kind == "periodic" { "every = \"1h\"" } else { "" };
        let text = scheduler(kind, &format!("cancel-superseded = true\n{every}"));
        let says = format!("`cancel-superseded` of scheduler `s` means nothing for kind `{kind}`");
        only(&text, (4, 1), &says, "`single-branch`, `any-branch` and `nightly`");
    }
    let nightly = scheduler("nightly", "at = \"0 3 * * *\"\ncancel-superseded = true");
    only(
        &nightly,
        (5, 1),
        "`cancel-superseded` of scheduler `s` means nothing without `only-if-changed`",
        "or remove it",
    );
    let text = scheduler("force", "cancel-on-failure = 1");
    only(&text, (4, 21), "`cancel-on-failure` of scheduler `s` is a number, and true or false is expected", "");
    let text = scheduler("any-branch", "cancel-superseded = \"yes\"");
    only(&text, (4, 21), "`cancel-superseded` of scheduler `s` is text, and true or false is expected", "");
    let periodic = scheduler("periodic", "every = \"1h\"\ntime-zone = \"UTC\"");
    only(&periodic, (5, 1), "`time-zone` of scheduler `s` means nothing for kind `periodic`", "nightly");
}

#[test]
fn a_cause_to_try_again_that_is_none_or_stands_twice_and_too_many_tries_are_refused_at_their_place() {
    let retry = |value: &str| with_builder("").replace("job = \"c\"", &format!("job = \"c\"\nretry = {value}"));
    only(&retry("{ attempts = 3 }"), (11, 9), "`retry` of builder `linux` has no `on`", "on = [\"worker-lost\"");
    for (cause, mend) in [
        ("exit-code", "`exit-code 75`"),
        ("exit-code 0", "from 1 to 255"),
        ("exit-code 256", "from 1 to 255"),
        ("exit-code two", "from 1 to 255"),
        ("signal KILL", "from 1 to 64"),
        ("signal 65", "from 1 to 64"),
        ("failure", "`exit-code 75`"),
    ] {
        let says = format!("`{cause}` in `retry` of builder `linux` is no cause to try again");
        only(&retry(&format!("{{ on = [\"worker-lost\", \"{cause}\"] }}")), (11, 32), &says, mend);
    }
    let twice = retry("{ on = [\"signal\", \"signal\"] }");
    only(&twice, (11, 27), "`signal` stands twice in `retry` of builder `linux`", "leave one of them out");
    for attempts in ["0", "101"] {
        let text = retry(&format!("{{ on = [], attempts = {attempts} }}"));
        only(&text, (11, 31), "`attempts` of `retry` of builder `linux`", "");
    }
}

#[test]
fn a_dependent_scheduler_needs_another_one_and_must_not_wait_for_itself() {
    only(&scheduler("dependent", ""), (1, 1), "no `upstream`", "upstream = \"NAME\"");
    only(&scheduler("dependent", "upstream = \"quik\""), (4, 12), "unknown scheduler `quik` in scheduler `s`", "");
    only(&scheduler("dependent", "upstream = \"s\""), (4, 12), "`s` waits for itself: `s` waits for `s`", "by force");
    let other = "[[scheduler]]\nname = \"t\"\nkind = \"dependent\"\nupstream = \"s\"\nbuilders = [\"linux\"]\n";
    let text = format!("{other}{}", scheduler("dependent", "upstream = \"t\""));
    let findings = errors(&text);
    assert_eq!(findings.len(), 2, "each of the two");
    holds(&findings[0], (4, 12), "`t` waits for itself: `t` waits for `s` waits for `t`", "by force");
    let quick = "[[scheduler]]\nname = \"q\"\nkind = \"force\"\nbuilders = [\"linux\"]\n";
    let text = scheduler("dependent", "upstream = \"q\"\ncodebases.app = { repository = \"/r\" }");
    only(&format!("{quick}{text}"), (9, 1), "`codebases` of scheduler `s` means nothing", "remove it");
}

#[test]
fn a13_07_two_checkouts_in_one_directory_are_refused() {
    for (first, second) in [
        ("", "config = { directory = \"./\" }"),
        ("config = { directory = \"lib\" }", "config = { directory = \"lib/\" }"),
        ("when = \"true\"", ""),
    ] {
        let text = two_checkouts(first, second);
        let findings = errors(&text);
        assert_eq!(findings.len(), 1, "{text}");
        assert!(findings[0].message().contains("step `two` of job `c` checks out into the directory of step `one`"));
        assert!(findings[0].mend().unwrap_or_default().contains("directory = "), "{}", findings[0]);
    }
    assert_eq!(warnings(&two_checkouts("", "config = { directory = \"lib\" }")).len(), 0);
}

#[test]
fn absolute_source_stamps_are_for_schedulers_of_one_branch() {
    let key = "absolute-source-stamps = true";
    for kind in ["any-branch", "force"] {
        let text = scheduler(kind, key);
        only(&text, (4, 1), "`absolute-source-stamps` of scheduler `s` means nothing", "`single-branch` and `nightly`");
    }
    let night = scheduler("nightly", &format!("at = \"0 3 * * *\"\n{key}"));
    only(&night, (5, 1), "means nothing without `only-if-changed`", "only-if-changed = true");
    let night = scheduler("nightly", &format!("at = \"0 3 * * *\"\nonly-if-changed = true\nbranch = \"main\"\n{key}"));
    for text in [night, scheduler("single-branch", &format!("branch = \"main\"\n{key}"))] {
        assert_eq!(warnings(&text).len(), 0, "{text}");
    }
}

#[test]
fn an_unknown_plugin_names_the_nearest_and_how_to_bring_one() {
    let text = with_builder("").replace("plugin = \"shell\"", "plugin = \"shel\"");
    only(&text, (5, 10), "unknown plugin `shel` in step `shel` of job `c`", "did you mean `shell`?");
    let text = with_builder("").replace("plugin = \"shell\"", "plugin = \"frobnicate\"");
    only(&text, (5, 10), "unknown plugin `frobnicate`", "[plugin.frobnicate]");
}

#[test]
fn a_plugin_of_the_wrong_kind_names_those_that_fit() {
    let text = with_builder("").replace("plugin = \"shell\"", "plugin = \"webhook\"");
    only(&text, (5, 10), "is a reporter, and a step is expected here", "`git`, `shell`");
    only("[codebases]\nplugin = \"path-filter\"\n", (2, 10), "a codebase generator is expected", "`repository-map`");
}

#[test]
fn a_wrong_type_in_a_plugins_config_is_shown_at_its_key() {
    let text =
        with_builder("").replace("command = [\"make\"] }\ngrant", "command = [\"make\"], jobs = \"two\" }\ngrant");
    only(
        &text,
        (6, 39),
        "`config.jobs` of step `shell` of job `c` is text, and a whole number is expected",
        "stampmill plugin inspect shell",
    );
    let text = with_builder("").replace("command = [\"make\"] }\ngrant", "command = [\"make\", 2] }\ngrant");
    only(&text, (6, 31), "`config.command.1`", "inspect shell");
    let text = with_builder("").replace("command = [\"make\"] }\ngrant", "commnd = [\"make\"] }\ngrant");
    only(&text, (6, 12), "unknown key `commnd` in `config` of step `shell`", "did you mean `command`?");
}

#[test]
fn a_missing_key_of_a_plugins_config_and_one_of_several_types_are_shown() {
    let reporter = "[[reporter]]\nplugin = \"webhook\"\ngrant = { http = [\"http://h\"] }\non = [\"build-finished\"]\n";
    only(reporter, (2, 10), "`config` of reporter `webhook` has no `url`", "add `url = …`");
    let source = "[[change-source]]\nname = \"a\"\nplugin = \"git-poller\"\nconfig = { repository = \"/r\", branches = 7 }\ngrant = { command = [\"git\"] }\n";
    only(source, (4, 42), "is a number, and text or a list is expected", "");
    let source = source.replace("= 7", "= [\"main\", 7]");
    only(&source, (4, 51), "`config.branches.1`", "");
}

#[test]
fn a_value_that_a_build_fills_in_may_become_any_type() {
    let text = with_builder("").replace("command = [\"make\"] }\ngrant", "jobs = \"${{ worker.cores }}\" }\ngrant");
    assert!(Folder::with(&text).load(&plugins()).is_ok());
}

#[test]
fn a_missing_grant_is_shown_with_the_line_to_add() {
    let text = with_builder("").replace("grant = { command = [\"make\"] }\n", "");
    only(&text, (5, 10), "asks for `command`, and nothing of it is granted", "add `grant = { command = [\"make\"] }`");
    let text = with_builder("").replace("grant = { command = [\"make\"] }\n", "grant = { read = [\"/srv\"] }\n");
    only(&text, (7, 9), "asks for `command`", "add `command = [\"make\"]` to the grant");
    let reporter =
        "[[reporter]]\nplugin = \"webhook\"\nconfig = { url = \"http://h:1/x?y\" }\non = [\"build-finished\"]\n";
    only(reporter, (2, 10), "asks for `http`", "add `grant = { http = [\"http://h:1\"] }`");
}

#[test]
fn a_grant_that_can_not_be_meant_is_shown() {
    let rows = [
        ("read = [\"srv\"]", "an absolute path is expected"),
        ("write = [\"/srv/../etc\"]", "without `..`"),
        ("net = [\"git.example\"]", "a host and a port"),
        ("command = [\"\"]", "the name or path of a program"),
    ];
    for (line, expected) in rows {
        let text =
            with_builder("").replace("grant = { command = [\"make\"] }", &format!("grant = {{ {line}, commnd = [] }}"));
        let findings = errors(&text);
        assert!(findings.iter().any(|finding| finding.message().contains(expected)), "{line}: {findings:#?}");
        assert!(
            findings.iter().any(|finding| finding.mend() == Some("did you mean `command`?")),
            "{line}: {findings:#?}"
        );
    }
    let reporter = "[[reporter]]\nplugin = \"webhook\"\nconfig = { url = \"http://h/x\" }\ngrant = { http = [\"http://h/path\"] }\non = [\"build-finished\"]\n";
    only(reporter, (4, 19), "an origin such as", "");
}

#[test]
fn a_granted_secret_must_be_defined() {
    let text = "[secret.deploy-key]\nfile = \"key\"\n[[change-source]]\nname = \"h\"\nplugin = \"hook\"\ngrant = { secret = [\"deploy-kye\"] }\n";
    only(text, (6, 21), "the secret `deploy-kye`, which is not defined", "did you mean `deploy-key`?");
    let text = text.replace("deploy-kye", "other");
    only(&text, (6, 21), "not defined", "[secret.other]");
}

#[test]
fn a_secret_comes_from_one_place() {
    only("[secret.a]\n", (1, 9), "neither `file` nor `env`", "add `file");
    only("[secret.a]\nfile = \"x\"\nenv = \"X\"\n", (3, 7), "both `file` and `env`", "keep one");
}

#[test]
fn two_of_one_name_are_both_shown() {
    let scheduler = "[[scheduler]]\nname = \"q\"\nkind = \"force\"\nbuilders = [\"linux\"]\n";
    let text = with_builder(&format!("{scheduler}{scheduler}"));
    only(&text, (6, 8), "two schedulers are named `q`", "another name");
    let finding = &errors(&text)[0];
    assert!(finding.to_string().contains("the first: line 2"), "{finding}");
    assert!(finding.render(false).contains("the first"), "{}", finding.render(false));

    let text = format!("{BUILDER}[[worker]]\nname = \"w1\"\n");
    only(&text, (14, 8), "two workers are named `w1`", "another name");
    let text = format!("{BUILDER}[[builder]]\nname = \"linux\"\njob = \"c\"\n");
    only(&text, (14, 8), "two builders are named `linux`", "another name");
}

#[test]
fn two_steps_without_a_name_are_told_apart_by_one() {
    let step = "[[job.step]]\nplugin = \"shell\"\ngrant = { command = [\"*\"] }\n";
    let text = format!("[[job]]\nname = \"c\"\n{step}{step}");
    only(&text, (7, 10), "two steps of job `c` are named `shell`", "name = \"shell-2\"");
}

#[test]
fn names_that_refer_to_nothing_name_the_nearest() {
    let text = with_builder("[[scheduler]]\nname = \"f\"\nkind = \"force\"\nbuilders = [\"linus\"]\n");
    only(&text, (4, 13), "unknown builder `linus` in scheduler `f`", "did you mean `linux`?");
    only(&with_builder("").replace("job = \"c\"", "job = \"d\""), (10, 7), "unknown job `d`", "did you mean `c`?");
    let text = with_builder("").replace("job = \"c\"", "job = \"c\"\nworkers = { names = [\"w2\"] }");
    only(&text, (11, 22), "unknown worker `w2`", "did you mean `w1`?");
}

#[test]
fn a_project_that_can_not_be_meant_is_shown() {
    let project = "[[project]]\nname = \"app\"\n";
    only(&with_builder(&format!("{project}shares = 0\n")), (3, 10), "a number from 1", "");
    only(&with_builder(&format!("{project}max-builds = 0\n")), (3, 14), "a number from 1", "");
    only(&with_builder(&format!("{project}{project}")), (4, 8), "two projects are named `app`", "another name");
}

/// Builders `a`, `b`, … with a lock from the start each, whose steps want others.
fn locking(builders: &[(&str, &str)]) -> String {
    let mut text = "[[worker]]\nname = \"w\"\n".to_owned();
    for name in ["x", "y", "z"] {
        text += &format!("[[lock]]\nname = \"{name}\"\n");
    }
    for (name, (has, wants)) in ["a", "b", "c"].iter().zip(builders) {
        text += &format!(
            "[[job]]\nname = \"{name}\"\n[[job.step]]\nname = \"s\"\nplugin = \"shell\"\nconfig = {{ command = [\"make\"] }}\n\
            grant = {{ command = [\"make\"] }}\nlocks = [{wants}]\n[[builder]]\nname = \"{name}\"\njob = \"{name}\"\nlocks = [{has}]\n"
        );
    }
    text
}

#[test]
fn locks_that_builds_could_wait_for_in_a_circle_are_refused_and_others_are_not() {
    let [x, y, z] = ["x", "y", "z"].map(|name| format!("{{ name = {name:?} }}"));
    let text = locking;
    // They load, with the warning that no scheduler is there for the three builders.
    assert_eq!(warnings(&text(&[(&x, &y), (&y, &z), (&x, &z)])).len(), 3);
    assert_eq!(warnings(&text(&[("", &x), ("", &y), (&z, &format!("{x}, {y}"))])).len(), 3);
    let mend = "or its steps all of it";
    let itself = "builder `a` has lock `x` while its step `s` waits for lock `x`";
    only(&text(&[(&x, &x)]), (18, 8), itself, mend);
    let circle = "wait for each other for ever: builder `a` has lock `x` while its step `s` waits for lock `y`; builder `b` has lock `y` while its step `s` waits for lock `x`";
    only(&text(&[(&x, &y), (&y, &x)]), (18, 8), circle, mend);
    // Who wants both may stand before who wants one, and wait for the other.
    let together = format!("{x}, {y}");
    only(
        &text(&[(&x, &y), ("", &together)]),
        (18, 8),
        "builder `a` has lock `x` while its step `s` waits for lock `y`",
        mend,
    );
    only(&text(&[("", "{ name = \"w\" }")]), (16, 19), "unknown lock `w` in step `s` of job `a`", "");
}

#[test]
fn a_lock_that_can_not_be_meant_is_shown() {
    let lock = "[[lock]]\nname = \"db\"\n";
    let with_locks =
        |locks: &str| with_builder("").replace("job = \"c\"", &format!("job = \"c\"\nlocks = {locks}")) + lock;
    only(&with_locks("[{ name = \"bd\" }]"), (11, 19), "unknown lock `bd` in builder `linux`", "did you mean `db`?");
    let twice = with_locks("[{ name = \"db\" }, { name = \"db\", access = \"counting\" }]");
    only(&twice, (11, 36), "lock `db` stands twice in builder `linux`", "leave one of them out");
    only(&with_locks("[{ access = \"counting\" }]"), (11, 10), "a lock of builder `linux` has no `name`", "");
    let access = with_locks("[{ name = \"db\", access = \"shared\" }]");
    only(&access, (11, 34), "`access` of a lock of builder `linux` is `shared`, and one of", "");
    only(&with_builder(&format!("{lock}count = 0\n")), (3, 9), "a number from 1", "");
    only(&with_builder(&format!("{lock}{lock}")), (4, 8), "two locks are named `db`", "another name");
}

#[test]
fn somebody_interested_who_is_nobody_or_there_twice_is_shown() {
    let with = |people: &str| with_builder("").replace("job = \"c\"", &format!("job = \"c\"\ninterested = {people}"));
    let nobody = with("[\"ann\", \" \"]");
    only(&nobody, (11, 22), "\" \" in `interested` of builder `linux` is nobody", "write an author as a change has it");
    let long = with(&format!("[\"{}\"]", "x".repeat(513)));
    only(&long, (11, 15), "in `interested` of builder `linux` is nobody", "write an author");
    let twice = with("[\"Ann <ann@example.org>\", \"ANN@example.org\"]");
    only(
        &twice,
        (11, 40),
        "`ANN@example.org` stands twice in `interested` of builder `linux`",
        "leave one of them out",
    );
    let many: Vec<String> = (0..101).map(|number| format!("\"a{number}\"")).collect();
    only(
        &with(&format!("[{}]", many.join(", "))),
        (11, 14),
        "`interested` of builder `linux` names 101 people",
        "100 at most",
    );
}

#[test]
fn an_expression_in_a_script_is_refused_with_the_way_to_pass_it() {
    let config = "config = { script = \"echo ${{ src.branch }}\" }";
    let text = with_builder("").replace("config = { command = [\"make\"] }", config);
    let findings = errors(&text);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!((findings[0].line(), findings[0].column()), (6, 21));
    assert!(findings[0].message().contains("environment"), "{}", findings[0]);
}

#[test]
fn a_condition_that_is_none_is_refused() {
    let text = with_builder("").replace("plugin = \"shell\"", "when = \"props.x ==\"\nplugin = \"shell\"");
    only(&text, (5, 8), "`when` of step `shell` of job `c`", "");
}

#[test]
fn listen_public_url_and_names_are_checked() {
    only("listen = \"127.0.0.1\"\n", (1, 10), "an address with a port is expected", "listen = \"127.0.0.1:8010\"");
    only("public-url = \"ci.example\"\n", (1, 14), "no web address", "https://");
    only("[[worker]]\nname = \"a/b\"\n", (2, 8), "has a slash", "letters");
    only("[[worker]]\nname = \"\"\n", (2, 8), "is empty", "letters");
}

#[test]
fn a_hook_is_not_polled() {
    let text = "[secret.k]\nenv = \"K\"\n[[change-source]]\nname = \"h\"\nplugin = \"hook\"\nevery = \"5s\"\ngrant = { secret = [\"k\"] }\n";
    only(text, (6, 9), "is called and not polled", "remove it");
}

#[test]
fn a_file_that_is_no_component_is_refused_at_the_line_that_names_it() {
    let folder = Folder::with("[plugin.mine]\nfile = \"mine.wasm\"\n");
    let load = || match folder.load(&plugins()) {
        Err(ConfigError::Wrong(findings)) => findings,
        other => panic!("{other:?}"),
    };
    holds(&load()[0], (2, 8), "can't be read", "relative to the folder");
    std::fs::write(folder.path().join("mine.wasm"), "hello").unwrap();
    holds(&load()[0], (2, 8), "plugin `mine` can't be used: this is not a WebAssembly component", "");
}

#[test]
fn a_missing_file_says_how_to_get_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = crate::config::load(&dir.path().join("stampmill.toml")).unwrap_err();
    assert!(error.to_string().contains("stampmill init"), "{error}");
}

#[test]
fn no_text_however_odd_makes_it_panic() {
    let odd = [
        "",
        "\u{feff}",
        "é = 1",
        "[[job]]\n[[job]]",
        "job = 3",
        "[[job.step]]",
        "[limits]\nbody-bytes = -1",
        "a.b.c = [[1], [{}]]",
        "[[scheduler]]\nname = \"é\"\nkind = \"é\"\nbuilders = [1, \"é\"]\ncodebases = 1\nfilter = {}",
        "properties = 1",
        "[[worker]]\nproperties = { a = nan, b = 99999999999999999999, c = 1979-05-27 }",
        "x = \"\\u0000\"",
        "\0",
    ];
    for text in odd {
        if let Err(error) = Folder::with(text).load(&plugins()) {
            assert!(!error.render(false).is_empty(), "{text}");
        }
    }
}
