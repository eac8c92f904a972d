//! What force schedulers ask of people.

use serde_json::json;
use stampmill_engine::form::{Entry, Form, Group, Parameter, ParameterKind, Pattern, SourceField};

use super::bad_input::only;
use super::{Folder, plugins};

const AROUND: &str = "
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

/// A configuration whose force scheduler asks this; the first line of it is the sixth of the file.
fn asking(text: &str) -> String {
    let scheduler = "[[scheduler]]\nname = \"f\"\nkind = \"force\"\nbuilders = [\"linux\"]\n\n";
    format!("{scheduler}{text}\n{AROUND}")
}

fn parameter(name: &str, kind: ParameterKind) -> Parameter {
    Parameter { name: name.to_owned(), label: String::new(), kind, default: None, required: false, hide: false }
}

#[test]
fn a5_10_a_force_scheduler_asks_what_the_file_says() {
    let text = asking(
        r#"reason-required = true
codebases.app = { repository = "https://git.example/app.git", ask = ["branch"] }
codebases.lib = { repository = "https://git.example/lib.git" }
parameter = [
  { kind = "string", name = "version", label = "Which version", regex = "v[0-9]+", required = true },
  { kind = "text", name = "notes" },
  { kind = "int", name = "jobs", min = 1, max = 9, default = 4 },
  { kind = "bool", name = "deploy", default = true, hide = true },
  { kind = "user", name = "by" },
  { kind = "group", label = "Tests", parameter = [
    { kind = "choice", name = "which", choices = ["quick", "all"], default = "all" },
    { kind = "group", name = "to", parameter = [{ kind = "choice", name = "version", choices = ["a"], strict = false, multiple = true }] },
  ] },
  { kind = "file", name = "changes", max-size = "1KiB" },
]"#,
    );
    let loaded = Folder::with(&text).load(&plugins()).unwrap();
    let choices = |choices: &[&str]| choices.iter().map(|choice| (*choice).to_owned()).collect();
    let question = Entry::Parameter;
    let which = ParameterKind::Choice { choices: choices(&["quick", "all"]), strict: true, multiple: false };
    let several = ParameterKind::Choice { choices: choices(&["a"]), strict: false, multiple: true };
    let to =
        Group { name: "to".to_owned(), label: String::new(), entries: vec![question(parameter("version", several))] };
    let tests = Group {
        name: String::new(),
        label: "Tests".to_owned(),
        entries: vec![
            question(Parameter { default: Some(json!("all")), ..parameter("which", which) }),
            Entry::Group(to),
        ],
    };
    let regex = Some(Pattern::new("v[0-9]+").unwrap());
    let jobs = ParameterKind::Int { min: Some(1), max: Some(9) };
    let form = Form {
        entries: vec![
            question(Parameter {
                label: "Which version".to_owned(),
                required: true,
                ..parameter("version", ParameterKind::String { regex })
            }),
            question(parameter("notes", ParameterKind::Text { regex: None })),
            question(Parameter { default: Some(json!(4)), ..parameter("jobs", jobs) }),
            question(Parameter { default: Some(json!(true)), hide: true, ..parameter("deploy", ParameterKind::Bool) }),
            question(parameter("by", ParameterKind::User { regex: None })),
            Entry::Group(tests),
            question(parameter("changes", ParameterKind::File { size_max: 1024 })),
        ],
        reason_required: true,
        sources: [("app".to_owned(), vec![SourceField::Branch])].into(),
    };
    assert_eq!(loaded.engine.schedulers[0].form(), Some(&form));
    let addresses: Vec<_> = form.parameters().into_iter().map(|(address, _)| address).collect();
    assert_eq!(addresses, ["version", "notes", "jobs", "deploy", "by", "which", "to.version", "changes"]);
}

#[test]
fn a5_10_a_parameter_that_makes_no_sense_is_refused_where_it_stands() {
    let one = |rest: &str| asking(&format!("parameter = [{{ {rest} }}]"));
    // The parameter, the column, what is said, the mend.
    let table = [
        ("name = \"a\"", 14, "parameter `a` has no `kind`", "kind = \"string\""),
        ("kind = \"string\"", 14, "has no `name`", "name = \"version\""),
        ("kind = \"strng\", name = \"a\"", 23, "`strng`", "did you mean `string`?"),
        ("kind = \"string\", name = \"a.b\"", 40, "the name \"a.b\" of a parameter", "`label`"),
        ("kind = \"string\", name = \"\"", 40, "the name \"\" of a parameter", "use letters"),
        ("kind = \"string\", name = \"branch\"", 40, "parameter `branch` has a name that builds set", "take another"),
        (
            "kind = \"group\", parameter = [{ kind = \"bool\", name = \"owner\" }]",
            69,
            "`owner` has a name that builds set",
            "",
        ),
        (
            "kind = \"string\", name = \"a\", regex = \"(\"",
            53,
            "`regex` of parameter `a`: `(` is no regular",
            "whole answer",
        ),
        (
            "kind = \"int\", name = \"a\", min = 3, max = 2",
            48,
            "`min` of parameter `a` is 3, and `max` is 2",
            "exchange",
        ),
        (
            "kind = \"int\", name = \"a\", min = 3, default = 2",
            61,
            "`default` of parameter `a` is `2`, and a whole number of at least 3",
            "remove",
        ),
        (
            "kind = \"bool\", name = \"a\", default = \"yes\"",
            53,
            "`default` of parameter `a` is `yes`, and true or false",
            "",
        ),
        ("kind = \"int\", name = \"a\", default = \"\"", 52, "`default` of parameter `a` is empty", "remove"),
        ("kind = \"choice\", name = \"a\"", 14, "parameter `a` has no `choices`", "choices = ["),
        ("kind = \"choice\", name = \"a\", choices = []", 55, "has 0 choices", "give 1 to 200"),
        (
            "kind = \"choice\", name = \"a\", choices = [\"b\", \"b\"]",
            61,
            "choice \"b\" of parameter `a` is there twice",
            "remove",
        ),
        ("kind = \"choice\", name = \"a\", choices = [\" b\"]", 56, "choice \" b\" of parameter `a` begins", "remove"),
        (
            "kind = \"choice\", name = \"a\", choices = [\"b\"], default = \"c\"",
            72,
            "is `c`, and one of `b` is expected",
            "",
        ),
        (
            "kind = \"bool\", name = \"a\", required = true",
            43,
            "`required` of parameter `a` means nothing for kind `bool`",
            "belongs",
        ),
        (
            "kind = \"string\", name = \"a\", min = 1",
            45,
            "`min` of parameter `a` means nothing for kind `string`",
            "`int`",
        ),
        (
            "kind = \"string\", name = \"a\", required = true, default = \"b\"",
            45,
            "means nothing beside `default`",
            "one of them",
        ),
        ("kind = \"string\", name = \"a\", required = true, hide = true", 45, "is required and hidden", "`default`"),
        ("kind = \"group\", name = \"a\"", 14, "parameter `a` has no parameters", "[[scheduler.parameter.parameter]]"),
        ("kind = \"file\", name = \"a\", max-size = \"1MiB\"", 54, "no size between 1 byte and 65536", ""),
    ];
    for (text, column, message, mend) in table {
        only(&one(text), (6, column), message, mend);
    }
    let twice = "parameter = [{ kind = \"bool\", name = \"a\" }, { kind = \"group\", parameter = [{ kind = \"bool\", name = \"a\" }] }]";
    only(&asking(twice), (6, 100), "there are two parameters `a`", "another name");
    let deep = "{ kind = \"group\", parameter = [".repeat(5);
    let deep = format!("parameter = [{deep}{{ kind = \"bool\", name = \"a\" }}{}]", "] }".repeat(5));
    only(&asking(&deep), (6, 169), "more than 4 groups", "nest less");
    let many: String = (0..101).map(|it| format!("{{ kind = \"bool\", name = \"p{it}\" }}, ")).collect();
    only(&asking(&format!("parameter = [{many}]")), (1, 1), "has 101 parameters, and at most 100", "ask less");
    only(
        &asking("reason = \"x\"\nreason-required = true"),
        (6, 1),
        "`reason` of scheduler `f` is never seen",
        "one of them",
    );
    let codebase = "codebases.a = { repository = \"https://git.example/a.git\", ask = [\"branch\", \"tag\"] }";
    only(&asking(codebase), (6, 76), "`tag`", "`repository`");
}

#[test]
fn what_people_are_asked_means_nothing_where_nobody_is_asked() {
    let quick = |text: &str| asking(text).replace("kind = \"force\"", "kind = \"single-branch\"");
    only(&quick("reason-required = true"), (6, 1), "`reason-required` of scheduler `f` means nothing", "`force`");
    only(&quick("parameter = [{ kind = \"bool\", name = \"a\" }]"), (6, 1), "`parameter` of scheduler `f`", "`force`");
    let codebase = "codebases.a = { repository = \"https://git.example/a.git\", ask = [\"branch\"] }";
    only(&quick(codebase), (6, 65), "`ask` of codebase `a` means nothing here", "`force`");
}
