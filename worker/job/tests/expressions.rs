//! Expressions: values, conditions, errors and bounds.

#[path = "build/orders.rs"]
mod build;

use build::{facts, order};
use serde_json::{Value, json};
use stampmill_job::expression::Missing;
use stampmill_job::limits::EXPRESSION_BYTES_MAX;
use stampmill_job::{Expression, check_expression};
use stampmill_model::Outcome;

fn value(text: &str) -> Result<Value, String> {
    let expression = Expression::compile(text).map_err(|error| error.to_string())?;
    expression.evaluate(&facts(&order(vec![])), Missing::IsError).map_err(|error| error.to_string())
}

fn holds(text: &str) -> Result<bool, String> {
    let expression = Expression::compile(text).map_err(|error| error.to_string())?;
    expression.holds(&facts(&order(vec![]))).map_err(|error| error.to_string())
}

#[test]
fn every_name_of_the_table_has_its_value() {
    for (text, expected) in [
        ("props.is_nightly", json!(true)),
        ("props.tags", json!(["a", "b"])),
        ("props[\"is_nightly\"]", json!(true)),
        ("props.nested.deep", json!({"z": 1, "a": 2})),
        ("src.app.branch", json!("main")),
        ("src.app.revision", json!("0123abc")),
        ("src.lib.revision", json!(null)),
        ("src[\"app\"].repository", json!("/srv/git/app.git")),
        ("src.app.project", json!("app")),
        ("worker.name", json!("w1")),
        ("worker.cores", json!(8)),
        ("worker.os + \"/\" + worker.arch", json!("linux/x86_64")),
        ("build.number", json!(3)),
        ("build.builder", json!("linux")),
        ("build.reason", json!("a change")),
        ("outcome", json!("success")),
        ("worker.cores * 2", json!(16)),
        ("worker.cores > 4 ? \"many\" : \"few\"", json!("many")),
        ("props.tags.exists(t, t == \"b\")", json!(true)),
        ("size(props.tags)", json!(2)),
        ("props.text.startsWith(\"he\") && props.text.matches(\"^h.*o$\")", json!(true)),
        ("{\"b\": 1, \"a\": [true, null, 1.5]}", json!({"a": [true, null, 1.5], "b": 1})),
        ("props.big", json!(u64::MAX)),
        ("has(props.missing) ? props.missing : \"none\"", json!("none")),
        ("string(worker.cores)", json!("8")),
    ] {
        assert_eq!(value(text), Ok(expected), "{text}");
    }
}

#[test]
fn a_whole_value_keeps_the_order_of_its_keys() {
    let text = serde_json::to_string(&value("props.nested").unwrap()).unwrap();
    assert_eq!(text, r#"{"deep":{"z":1,"a":2}}"#);
}

#[test]
fn the_only_source_without_a_codebase_is_named_directly() {
    let mut order = order(vec![]);
    order.build.stamps.truncate(1);
    order.build.stamps[0].codebase = String::new();
    let expression = Expression::compile("src.branch + \"@\" + src.revision").unwrap();
    assert_eq!(expression.evaluate(&facts(&order), Missing::IsError), Ok(json!("main@0123abc")));
}

#[test]
fn a_condition_may_name_a_property_that_is_not_set() {
    for (text, expected) in [
        ("props.missing == true", false),
        ("props.missing != true", true),
        ("props.missing", false),
        ("props[\"missing\"] == null", true),
        ("has(props.missing)", false),
        ("has(props.missing) && props.missing > 3", false),
        ("props.is_nightly == true", true),
        ("props.is_nightly && outcome == \"success\"", true),
    ] {
        assert_eq!(holds(text), Ok(expected), "{text}");
    }
}

#[test]
fn a_condition_that_is_neither_true_nor_false_is_an_error() {
    let error = holds("worker.cores").unwrap_err();
    assert_eq!(error, "expression `worker.cores`: is a number, a condition must be true or false");
}

#[test]
fn errors_name_the_expression_and_the_place() {
    for (text, part) in [
        ("props.", "expression `props.` at column"),
        ("worker.cores +* 2", "expression `worker.cores +* 2` at column 1"),
        ("work/r.cores", "at column 1: unknown name `work`; there are props, src, worker, build, outcome"),
        ("ni(1) && no(2)", "at column 1: unknown function `ni`"),
        ("proops.x == 1", "at column 1: unknown name `proops`; there are props, src, worker, build, outcome"),
        ("1 + frobnicate(props.x)", "at column 5: unknown function `frobnicate`"),
        ("", "is empty"),
    ] {
        let error = check_expression(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    let error = value("props.missing + \"x\"").unwrap_err();
    assert!(error.contains("`missing` is not set"), "{error}");
    assert!(value("props.text + 1").is_err());
    assert!(value("1 / 0").is_err());
    assert!(value("props.tags[7]").is_err());
    assert!(value("9223372036854775807 + 1").is_err());
}

#[test]
fn expressions_are_bounded() {
    let long = format!("\"{}\" == props.text", "x".repeat(EXPRESSION_BYTES_MAX));
    let sum = vec!["1"; 900].join("+");
    let path = format!("props{}", ".a".repeat(900));
    let parentheses = format!("{}1{}", "(".repeat(900), ")".repeat(900));
    let negations = format!("{}true", "!".repeat(1900));
    let lists = format!("{}{}", "[".repeat(900), "]".repeat(900));
    let chained = "[1].map(x, x).map(x, x).map(x, x).map(x, x)";
    let nested = "[1].map(x, [1].map(y, [1].map(z, z)))";
    for text in [&long, &sum, &path, &parentheses, &lists, chained, nested] {
        assert!(check_expression(text).is_err(), "{}", &text[..30]);
    }
    drop(check_expression(&negations));
    assert_eq!(value("[1, 2].map(x, [3].map(y, x + y))"), Ok(json!([[4], [5]])));
}

#[test]
fn the_deepest_allowed_expression_fits_a_small_stack() {
    let evaluate = || {
        for depth in (1..100).step_by(7) {
            for text in [
                vec!["1"; depth].join("+"),
                format!("{}{depth}{}", "(".repeat(depth), ")".repeat(depth)),
                format!("{}{depth}{}", "[".repeat(depth), "][0]".repeat(depth)),
                format!("{}{depth}", "false ? 1 : ".repeat(depth)),
            ] {
                match value(&text) {
                    Ok(number) => assert_eq!(number, json!(depth), "{text}"),
                    Err(error) => assert!(!error.contains("panicked"), "{error}"),
                }
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(256 * 1024);
    thread.spawn(evaluate).unwrap().join().unwrap();
    assert_eq!(value(&["1"; 60].join("+")), Ok(json!(60)));
}

#[test]
fn odd_texts_are_errors_and_never_a_panic() {
    for text in [
        "\"",
        "'''",
        "\\",
        "${{",
        "}}",
        "props[",
        "props.tags[",
        "b'\\xff'",
        "r\"",
        "\u{0}",
        "ä",
        "💣",
        "a ? b",
        "1 2",
        "timestamp('x')",
        "duration('1s')",
        "type(1)",
        "dyn(1)",
        "props.tags.map(x)",
        "has(1)",
        "Foo{a: 1}",
        "{1: 2}",
        "{true: 1}",
        "-9223372036854775808",
        "0x",
        "1e999",
        "double('nan')",
        "[][0]",
        "optional.of(1)",
        "props.?x",
        "'\\u0041'",
        "in",
        "null",
        "true.x",
        "size()",
        "int('x')",
    ] {
        drop(value(text));
        drop(holds(text));
    }
    assert_eq!(facts(&order(vec![])).root("outcome"), Some(&json!(Outcome::Success.as_str())));
}
