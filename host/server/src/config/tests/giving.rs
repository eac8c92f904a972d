//! What jobs ask of their builders, and what builders give them.

use serde_json::json;
use stampmill_model::PropertySource;

use super::bad_input::{holds, only};
use super::{Folder, errors, plugins, warnings};

const JOB: &str = r#"[[job]]
name = "make"
[[job.parameter]]
kind = "string"
name = "package"
label = "as the archive is called"
regex = "[a-z]+"
required = true
[[job.parameter]]
kind = "int"
name = "jobs"
min = 1
max = 9
default = 4
[[job.parameter]]
kind = "choice"
name = "target"
choices = ["all", "check"]
[[job.step]]
plugin = "shell"
config = { command = ["make", "-j${{ props.jobs }}"] }
grant = { command = ["make"] }
when = "props.package != ''"
[[worker]]
name = "w1"
"#;

/// The job and one builder of it, whose line of `with` is the 28th of the file.
fn with(line: &str) -> String {
    format!("{JOB}[[builder]]\nname = \"linux\"\n{line}\njob = \"make\"\n")
}

#[test]
fn a15_10_three_builders_give_one_job_what_it_asks_and_defaults_stand_for_the_rest() {
    let builder = |name: &str, with: &str| format!("[[builder]]\nname = \"{name}\"\njob = \"make\"\nwith = {with}\n");
    let text = format!(
        "{JOB}{}{}{}",
        builder("a", r#"{ package = "lib" }"#),
        builder("b", r#"{ package = "app", jobs = 2, target = "check" }"#),
        builder("c", r#"{ package = "doc", jobs = "3" }"#),
    );
    let engine = Folder::with(&text).load(&plugins()).unwrap().engine;
    let given = |number: usize| {
        let with = &engine.builders[number].with;
        assert!(with.values().all(|property| property.source == PropertySource::Job), "{with:?}");
        let values = with.iter().map(|(name, property)| (name.clone(), property.value.clone()));
        serde_json::Value::Object(values.collect())
    };
    assert_eq!(given(0), json!({ "package": "lib", "jobs": 4 }));
    assert_eq!(given(1), json!({ "package": "app", "jobs": 2, "target": "check" }));
    assert_eq!(given(2), json!({ "package": "doc", "jobs": 3 }));
}

#[test]
fn what_a_builder_gives_wrongly_is_shown_where_it_gives_it() {
    let wrong = |line: &str, column: usize, message: &str, mend: &str| only(&with(line), (28, column), message, mend);
    wrong(
        r#"with = { package = "lib", jbos = 2 }"#,
        27,
        "builder `linux` with job `make` gives `jbos`, which is no parameter of it",
        "did you mean `jobs`?",
    );
    wrong(
        r#"with = { package = "lib", jobs = 10 }"#,
        34,
        "`jobs` of builder `linux` with job `make` is `10`, and a whole number from 1 to 9 is expected",
        "leave it out to take 4",
    );
    wrong(
        r#"with = { package = "Lib" }"#,
        20,
        "`package` of builder `linux` with job `make` is `Lib`, and one line of at most 4096 bytes of which the whole matches `[a-z]+` is expected",
        "as the archive is called",
    );
    wrong(
        r#"with = { package = "lib", target = "al" }"#,
        36,
        "`target` of builder `linux` with job `make` is `al`, and one of `all`, `check` is expected",
        "write another than \"al\"",
    );
    let found = errors(&with("with = 3"));
    holds(&found[0], (28, 8), "`with` of builder `linux` is no table", "with = { name");
}

#[test]
fn a_parameter_that_a_job_requires_and_nobody_gives_is_shown_at_the_jobs_name() {
    for line in ["", r#"with = { package = "" }"#] {
        only(
            &with(line),
            (29, 7),
            "builder `linux` with job `make` gives no `package`",
            "add `with = { package = … }`: as the archive is called",
        );
    }
}

#[test]
fn what_is_given_to_a_job_that_asks_nothing_is_shown_with_both_ways_out() {
    let job = "[[job]]\nname = \"make\"\n[[job.step]]\nplugin = \"shell\"\ngrant = { command = [\"make\"] }\n";
    let text = format!("{job}[[builder]]\nname = \"linux\"\njob = \"make\"\nwith = {{ a = 1 }}\n");
    only(&text, (9, 10), "builder `linux` with job `make` gives `a`", "or take `properties`");
}

#[test]
fn a_job_asks_nothing_that_only_people_can_answer() {
    let asks = |lines: &str| {
        let job = format!("[[job]]\nname = \"c\"\n[[job.parameter]]\nname = \"x\"\n{lines}\n");
        format!("{job}[[job.step]]\nplugin = \"shell\"\ngrant = {{ command = [\"make\"] }}\n")
    };
    for kind in ["user", "file"] {
        let message = format!("kind `{kind}` of parameter `x` is for force schedulers, which ask people");
        only(&asks(&format!("kind = \"{kind}\"")), (5, 8), &message, "take `string`");
    }
    only(&asks("kind = \"bool\"\nhide = true"), (6, 1), "`hide` of parameter `x` means nothing in a job", "remove it");
    let found = errors(&asks("kind = \"string\"").replace("\"x\"", "\"revision\""));
    holds(&found[0], (4, 8), "parameter `revision` has a name that builds set themselves", "take another");
}

#[test]
fn an_answer_that_a_parameter_of_the_job_hides_is_doubtful() {
    let force = "[[scheduler]]\nname = \"f\"\nkind = \"force\"\nbuilders = [\"linux\"]\n[[scheduler.parameter]]\nkind = \"int\"\nname = \"jobs\"\n";
    let text = format!("{}{force}", with(r#"with = { package = "lib" }"#));
    let found = warnings(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    let message = "`jobs` that scheduler `f` asks is never seen by builder `linux`";
    holds(&found[0], (30, 1), message, "give one of them another name");
}
