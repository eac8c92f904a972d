//! What a force scheduler asks of people: each kind of parameter, and what is done with answers that can't be taken.

use serde_json::{Value, json};
use stampmill_engine::config::{CodebaseDefault, Scheduler, SchedulerKind};
use stampmill_engine::form::{Entry, Fault, Form, Group, Parameter, ParameterKind, Pattern, SourceField};
use stampmill_engine::input::{Force, SourceChoice};
use stampmill_engine::{Answer, Config, Refusal};
use stampmill_model::{Properties, Property, PropertySource};

use crate::setup::{force, scheduler, small};
use crate::world::{World, answer};

fn pattern(text: &str) -> Option<Pattern> {
    Some(Pattern::new(text).unwrap())
}

fn parameter(name: &str, kind: ParameterKind) -> Parameter {
    Parameter { name: name.to_owned(), label: String::new(), kind, default: None, required: false, hide: false }
}

fn choice(strict: bool, multiple: bool) -> ParameterKind {
    ParameterKind::Choice { choices: vec!["quick".to_owned(), "all".to_owned()], strict, multiple }
}

fn world(form: Form) -> World {
    let by_hand = scheduler("by-hand", SchedulerKind::Force(form), &["linux"]);
    World::new(Config { schedulers: vec![by_hand], ..small() })
}

fn asking(entries: Vec<Entry>) -> World {
    world(Form { entries, ..Form::default() })
}

fn sent(values: &Value) -> Properties {
    // Whoever sends them does not choose their source.
    let tagged = |value: &Value| Property { value: value.clone(), source: PropertySource::Build };
    values.as_object().unwrap().iter().map(|(name, value)| (name.clone(), tagged(value))).collect()
}

fn with(values: &Value) -> Force {
    Force { properties: sent(values), ..force("linux") }
}

/// The properties of the buildset of a force with these answers, or what is wrong with them.
fn forced(world: &mut World, force: Force) -> Result<Value, Vec<Fault>> {
    let before = world.store.buildsets.len();
    match answer(&world.force(force)) {
        Answer::Buildset { id, .. } => {
            let properties = &world.buildset(id.0).properties;
            assert!(properties.values().all(|it| it.source == PropertySource::Force), "{properties:?}");
            Ok(properties.iter().map(|(name, it)| (name.clone(), it.value.clone())).collect())
        }
        Answer::Refused(Refusal::Form(faults)) => {
            assert_eq!(world.store.buildsets.len(), before, "nothing is stored");
            Err(faults)
        }
        other => panic!("{other:?}"),
    }
}

fn only_fault(world: &mut World, values: &Value) -> (String, String) {
    let mut faults = forced(world, with(values)).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    let fault = faults.remove(0);
    (fault.field, fault.message)
}

#[test]
fn a5_10_an_answer_becomes_a_property_of_its_kind() {
    use ParameterKind::{Bool, File, Int, String, Text, User};
    let number = |min, max| Int { min, max };
    let version = || pattern(r"v\d+(\.\d+)*");
    let none = Value::Null;
    // What is asked, what is given, the property.
    let table = [
        (String { regex: None }, json!(" as it is "), json!(" as it is ")),
        (String { regex: None }, none.clone(), json!("")),
        (String { regex: version() }, json!("v1.2"), json!("v1.2")),
        (Text { regex: None }, json!("two\nlines\n"), json!("two\nlines\n")),
        (Text { regex: pattern("(?s)two.*") }, json!("two\nlines"), json!("two\nlines")),
        (Text { regex: None }, json!(" \n"), json!("")),
        (number(None, None), json!(" 7 "), json!(7)),
        (number(None, None), json!(-7), json!(-7)),
        (number(Some(1), Some(9)), json!("9"), json!(9)),
        (number(Some(1), None), json!(1), json!(1)),
        (number(None, None), json!(""), none.clone()),
        (Bool, json!(true), json!(true)),
        (Bool, json!("true"), json!(true)),
        (Bool, json!("false"), json!(false)),
        (Bool, none.clone(), json!(false)),
        (choice(true, false), json!("all"), json!("all")),
        (choice(true, false), json!(""), none.clone()),
        (choice(false, false), json!("some of them"), json!("some of them")),
        (choice(true, true), json!(["all", "quick", "all"]), json!(["all", "quick"])),
        (choice(true, true), json!("all"), json!(["all"])),
        (choice(true, true), json!([]), json!([])),
        (choice(false, true), json!(["all", "mine"]), json!(["all", "mine"])),
        (User { regex: None }, none.clone(), json!("ann")),
        (User { regex: None }, json!("bob"), json!("bob")),
        (File { size_max: 5 }, json!("12\n45"), json!("12\n45")),
        (File { size_max: 5 }, none, Value::Null),
    ];
    for (kind, given, property) in table {
        let asked = format!("{kind:?} of {given}");
        let mut world = asking(vec![Entry::Parameter(parameter("it", kind))]);
        let expected = if property.is_null() { json!({}) } else { json!({ "it": property }) };
        assert_eq!(forced(&mut world, with(&json!({ "it": given }))), Ok(expected.clone()), "{asked}");
        if given.is_null() {
            assert_eq!(forced(&mut world, with(&json!({}))), Ok(expected), "{asked}, not sent at all");
        }
    }
}

#[test]
fn a5_10_an_answer_that_does_not_fit_is_refused_with_the_parameter_the_value_and_the_mend() {
    use ParameterKind::{Bool, File, Int, String, Text, User};
    let one_to_nine = || Int { min: Some(1), max: Some(9) };
    let version = || pattern(r"v\d+");
    let table = [
        (
            String { regex: version() },
            json!("v1; rm"),
            r"is `v1; rm`, and one line of at most 4096 bytes of which the whole matches `v\d+` is expected",
        ),
        (String { regex: pattern("a|ab") }, json!("abc"), "is `abc`, and"),
        (
            String { regex: None },
            json!("two\nlines"),
            "is `two\\nlines`, and one line of at most 4096 bytes is expected",
        ),
        (String { regex: None }, json!("x".repeat(4097)), "xxx…`, and one line of at most 4096 bytes is expected"),
        (String { regex: None }, json!(7), "is `7`, and one line"),
        (Text { regex: version() }, json!("v1\n"), r"and a text of which the whole matches `v\d+` is expected"),
        (Text { regex: None }, json!("nul\0"), "is `nul\\0`, and a text is expected"),
        (Text { regex: None }, json!("x".repeat(16_385)), "has 16385 bytes, and at most 16384 are taken; shorten it"),
        (Text { regex: None }, json!({ "a": 1 }), "is an object, and a text is expected"),
        (Int { min: None, max: None }, json!("seven"), "is `seven`, and a whole number is expected"),
        (Int { min: None, max: None }, json!(7.5), "is `7.5`, and a whole number is expected"),
        (
            Int { min: None, max: None },
            json!("99999999999999999999"),
            "is `99999999999999999999`, and a whole number is expected",
        ),
        (one_to_nine(), json!(0), "is `0`, and a whole number from 1 to 9 is expected"),
        (one_to_nine(), json!("10"), "is `10`, and a whole number from 1 to 9 is expected"),
        (Int { min: Some(1), max: None }, json!(0), "and a whole number of at least 1 is expected"),
        (Int { min: None, max: Some(9) }, json!(10), "and a whole number of at most 9 is expected"),
        (Bool, json!("yes"), "is `yes`, and true or false is expected"),
        (Bool, json!(1), "is `1`, and true or false is expected"),
        (choice(true, false), json!("some"), "is `some`, and one of `quick`, `all` is expected"),
        (choice(true, false), json!(["all"]), "is a list, and one of `quick`, `all` is expected"),
        (choice(false, false), json!("two\nlines"), "and one line of text is expected"),
        (choice(true, true), json!(["all", "some"]), "has `some`, and some of `quick`, `all` are expected"),
        (choice(true, true), json!([["all"]]), "has a list, and some of"),
        (
            choice(false, true),
            json!((0..201).map(|it| it.to_string()).collect::<Vec<_>>()),
            "has 201 texts, and at most 200 are expected",
        ),
        (User { regex: pattern("[^@]+@[^@]+") }, json!("bob"), "is `bob`, and a name of which the whole matches"),
        // Their own name does not fit either, so that they must give another.
        (User { regex: pattern("[^@]+@[^@]+") }, Value::Null, "is `ann`, and a name of which the whole matches"),
        (File { size_max: 5 }, json!("123456"), "has 6 bytes, and at most 5 are taken"),
        (File { size_max: 5 }, json!("\0"), "and a file's text in UTF-8 is expected"),
    ];
    for (kind, given, message) in table {
        let asked = format!("{kind:?} of {given}");
        let mut world = asking(vec![Entry::Parameter(parameter("it", kind))]);
        let (field, said) = only_fault(&mut world, &json!({ "it": given }));
        assert_eq!(field, "properties.it", "{asked}");
        assert!(said.starts_with("parameter `it` ") && said.contains(message), "{asked}: {said}");
    }
}

#[test]
fn a5_10_what_is_not_answered_takes_its_default_and_is_refused_where_an_answer_is_required() {
    // What is asked, its default, and what an empty answer becomes; with null it takes the default.
    let kinds: [(ParameterKind, Value, Value); 7] = [
        (ParameterKind::String { regex: None }, json!("a"), json!("")),
        (ParameterKind::Text { regex: None }, json!("a\nb"), json!("")),
        (ParameterKind::Int { min: None, max: None }, json!(7), json!(7)),
        (choice(true, false), json!("all"), json!("all")),
        (choice(true, true), json!(["all"]), json!([])),
        (ParameterKind::User { regex: None }, json!("bob"), json!("bob")),
        (ParameterKind::File { size_max: 9 }, json!("a"), json!("a")),
    ];
    for (kind, default, emptied) in kinds {
        let asked = format!("{kind:?}");
        let empty = if default.is_array() { json!([]) } else { json!(" ") };
        let is_user = matches!(kind, ParameterKind::User { .. });
        let bare = parameter("it", kind);
        let mut world =
            asking(vec![Entry::Parameter(Parameter { default: Some(default.clone()), hide: true, ..bare.clone() })]);
        for values in [json!({}), json!({ "it": null })] {
            assert_eq!(forced(&mut world, with(&values)), Ok(json!({ "it": default })), "{asked} {values}");
        }
        assert_eq!(forced(&mut world, with(&json!({ "it": empty }))), Ok(json!({ "it": emptied })), "{asked}, empty");
        assert_eq!(
            forced(&mut world, with(&json!({ "it": default }))),
            Ok(json!({ "it": default })),
            "hidden, not fixed"
        );
        let mut world = asking(vec![Entry::Parameter(Parameter { required: true, ..bare })]);
        for values in [json!({}), json!({ "it": null }), json!({ "it": empty })] {
            if is_user {
                assert_eq!(forced(&mut world, with(&values)), Ok(json!({ "it": "ann" })), "whoever forces has a name");
                continue;
            }
            let (field, said) = only_fault(&mut world, &values);
            assert_eq!(field, "properties.it");
            assert!(said.starts_with("parameter `it` is missing; give "), "{asked}: {said}");
        }
    }
}

#[test]
fn a5_10_a_group_with_a_name_is_one_property_and_one_without_is_only_for_the_eye() {
    let line = |name: &str| Entry::Parameter(parameter(name, ParameterKind::String { regex: None }));
    let number = Entry::Parameter(parameter("n", ParameterKind::Int { min: None, max: None }));
    let group = |name: &str, entries| Entry::Group(Group { name: name.to_owned(), label: String::new(), entries });
    let deep = group("deep", vec![number]);
    let mut world =
        asking(vec![line("a"), group("", vec![line("b")]), group("to", vec![line("c"), group("", vec![deep])])]);
    let answers = json!({ "a": "1", "b": "2", "to.c": "3", "to.deep.n": "4" });
    let properties = json!({ "a": "1", "b": "2", "to": { "c": "3", "deep": { "n": 4 } } });
    assert_eq!(forced(&mut world, with(&answers)), Ok(properties));
    let faults = forced(&mut world, with(&json!({ "to": { "c": "3" }, "to.deep.n": "four", "b.c": "" }))).unwrap_err();
    let faults: Vec<_> = faults.iter().map(|fault| (fault.field.as_str(), fault.message.as_str())).collect();
    assert_eq!(
        faults,
        [
            ("properties.to.deep.n", "parameter `to.deep.n` is `four`, and a whole number is expected"),
            ("properties.b.c", "there is no parameter `b.c`; there are `a`, `b`, `to.c`, `to.deep.n`"),
            ("properties.to", "there is no parameter `to`; there are `a`, `b`, `to.c`, `to.deep.n`"),
        ]
    );
}

#[test]
fn a5_10_all_faults_of_a_form_are_told_at_once_and_nothing_is_built() {
    let fixed = CodebaseDefault {
        codebase: "app".to_owned(),
        repository: "https://git.example/app.git".to_owned(),
        branch: Some("main".to_owned()),
        revision: Some("r0".to_owned()),
    };
    let form = Form {
        entries: vec![Entry::Parameter(Parameter {
            required: true,
            ..parameter("it", ParameterKind::String { regex: None })
        })],
        reason_required: true,
        sources: [("app".to_owned(), vec![SourceField::Repository, SourceField::Project])].into(),
    };
    let by_hand = Scheduler { codebases: vec![fixed], ..scheduler("by-hand", SchedulerKind::Force(form), &["linux"]) };
    let mut world = World::new(Config { schedulers: vec![by_hand], ..small() });
    let choice = SourceChoice { branch: Some("dev".to_owned()), ..SourceChoice::default() };
    let wrong =
        Force { stamps: [("app".to_owned(), choice)].into(), reason: " ".to_owned(), ..with(&json!({ "is": "" })) };
    let Answer::Refused(refusal) = answer(&world.force(wrong)) else { panic!("it was taken") };
    assert_eq!(
        refusal.to_string(),
        "the reason is missing; say why, for the others; \
         the branch of codebase `app` is fixed, and `dev` can't be taken; leave it out; \
         parameter `it` is missing; give one line of at most 4096 bytes; there is no parameter `is`; there are `it`"
    );
    assert!(world.store.buildsets.is_empty() && world.store.requests.is_empty());

    let choice = |repository: &str| SourceChoice {
        repository: Some(repository.to_owned()),
        project: Some("fork".to_owned()),
        ..SourceChoice::default()
    };
    let right = |repository: &str| Force {
        stamps: [("app".to_owned(), choice(repository))].into(),
        reason: "why not".to_owned(),
        ..with(&json!({ "it": "x" }))
    };
    world.force(right("https://git.example/bob/app.git"));
    world.force(right("https://git.example/app.git"));
    let of = |set: u64| {
        let stamp = &world.buildset(set).stamps[0];
        (stamp.repository.clone(), stamp.project.clone(), stamp.revision.clone(), stamp.trusted)
    };
    assert_eq!(of(1), ("https://git.example/bob/app.git".to_owned(), "fork".to_owned(), None, false));
    let revision = Some("r0".to_owned());
    assert_eq!(of(2), ("https://git.example/app.git".to_owned(), "fork".to_owned(), revision, true));
}

#[test]
fn a5_10_all_answers_together_are_bounded() {
    let files =
        (0..3).map(|it| Entry::Parameter(parameter(&format!("f{it}"), ParameterKind::File { size_max: 65_536 })));
    let mut world = asking(files.collect());
    let text = "x".repeat(65_000);
    assert!(forced(&mut world, with(&json!({ "f0": text, "f1": text }))).is_ok());
    let (field, said) = only_fault(&mut world, &json!({ "f0": text, "f1": text, "f2": text }));
    assert_eq!(field, "properties");
    assert_eq!(said, "the parameters have 195006 bytes together, and at most 131072 are taken; send less");
}

#[test]
fn a_pattern_that_is_none_or_too_large_is_refused() {
    for bad in ["a)(b", "(", "[a", "(a{1000}){1000}"] {
        let error = Pattern::new(bad).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{bad}` is no regular expression that can be used: ")), "{error}");
    }
    assert!(Pattern::new("[A-Za-z0-9._/-]{1,100}").is_ok(), "an ordinary one is not too large");
}
