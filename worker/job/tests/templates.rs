//! Templates: what is filled in, what is refused.

#[path = "build/orders.rs"]
mod build;

use build::{facts, order};
use serde_json::{Value, json};
use stampmill_job::template::TemplateErrorKind;
use stampmill_job::{check_template, fill};

fn filled(config: Value) -> Value {
    check_template(&config).unwrap();
    fill(&config, &facts(&order(vec![]))).unwrap()
}

#[test]
fn one_expression_alone_is_the_value_and_inside_a_text_it_is_text() {
    for (template, expected) in [
        (json!("${{ worker.cores }}"), json!(8)),
        (json!("-j${{ worker.cores }}"), json!("-j8")),
        (json!("${{props.tags}}"), json!(["a", "b"])),
        (json!("tags: ${{ props.tags }}"), json!("tags: [\"a\",\"b\"]")),
        (json!("${{ src.lib.revision }}"), json!(null)),
        (json!("rev=${{ src.lib.revision }}."), json!("rev=.")),
        (json!("${{ src.app.branch }}${{ src.app.revision }}"), json!("main0123abc")),
        (json!(" ${{ worker.cores }}"), json!(" 8")),
        (json!("${{ props.text == \"}}\" }}"), json!(false)),
        (json!("${{ {\"a\": {\"b\": 1}}.a.b }}"), json!(1)),
        (json!("${{ '''}} \" ''' }}"), json!("}} \" ")),
        (json!("${{ r'\\' + 'x' }}"), json!("\\x")),
        (json!("${{ 'it\\'s }}' }}"), json!("it's }}")),
        (json!("$ {{ x }} ${ x } {{ x }}"), json!("$ {{ x }} ${ x } {{ x }}")),
        (json!("ünï ${{ props.text }} cödé"), json!("ünï hello cödé")),
        (json!(""), json!("")),
        (json!({"a": [1, true, null, {"b": "${{ build.number }}"}]}), json!({"a": [1, true, null, {"b": 3}]})),
    ] {
        assert_eq!(filled(template.clone()), expected, "{template}");
    }
}

#[test]
fn a_value_that_looks_like_a_template_is_not_filled_in_again() {
    let mut order = order(vec![]);
    let evil = json!("${{ worker.name }}");
    order.build.properties.get_mut("text").unwrap().value = evil.clone();
    let config = json!(["${{ props.text }}", "x${{ props.text }}"]);
    assert_eq!(fill(&config, &facts(&order)), Ok(json!([evil, "x${{ worker.name }}"])));
}

#[test]
fn errors_point_at_the_value() {
    let error = check_template(&json!({"a/b": [0, "x ${{ 1 + }}"]})).unwrap_err();
    assert_eq!((error.pointer.as_str(), error.offset), ("/a~1b/1", 2));
    assert!(error.to_string().starts_with("/a~1b/1: expression `1 +`"), "{error}");
    for open in ["${{ worker.cores }", "${{ 'x }}", "${{", "${{ {1: 2 }}"] {
        assert_eq!(check_template(&json!(open)).unwrap_err().kind, TemplateErrorKind::Open, "{open}");
    }
    let error = check_template(&json!({"${{ x }}": 1})).unwrap_err();
    assert!(matches!(error.kind, TemplateErrorKind::Key(_)), "{error}");
    let error = fill(&json!(["${{ props.missing }}"]), &facts(&order(vec![]))).unwrap_err();
    assert!(error.to_string().contains("`missing` is not set"), "{error}");
}

#[test]
fn text_that_grows_beyond_the_limit_is_an_error() {
    let mut order = order(vec![]);
    order.build.properties.get_mut("text").unwrap().value = json!("x".repeat(700_000));
    let error = fill(&json!("${{ props.text }} ${{ props.text }}"), &facts(&order)).unwrap_err();
    assert_eq!(error.kind, TemplateErrorKind::Long);
}

#[test]
fn a_template_in_program_text_is_refused_with_the_mend() {
    for config in [
        json!({"script": "echo ${{ props.text }}"}),
        json!({"script": ["set -e", "echo ${{ props.text }}"]}),
        json!({"inner": {"script": "${{ props.text }}"}}),
        json!({"command": ["sh", "-c", "echo ${{ src.app.branch }}"]}),
        json!({"command": ["/bin/bash", "-ec", "${{ src.app.branch }}"]}),
        json!({"command": ["bash", "-o", "pipefail", "-c", "${{ src.app.branch }}"]}),
        json!({"command": ["bash", "-c", "-e", "${{ src.app.branch }}"]}),
        json!({"command": ["env", "A=1", "dash", "-c", "${{ src.app.branch }}"]}),
        json!({"command": ["python3.11", "-c", "print('${{ src.app.branch }}')"]}),
        json!({"command": ["python3", "-cprint('${{ src.app.branch }}')"]}),
        json!({"command": ["perl", "-ne", "print '${{ src.app.branch }}'"]}),
        json!({"command": ["ruby", "-e", "${{ src.app.branch }}"]}),
        json!({"command": ["node", "--eval=${{ src.app.branch }}"]}),
        json!({"command": ["node", "--print", "${{ src.app.branch }}"]}),
        json!({"command": ["${{ props.shell }}", "-c", "${{ src.app.branch }}"]}),
        json!({"commands": [["make"], ["zsh", "-c", "${{ src.app.branch }}"]]}),
    ] {
        let error = check_template(&config).unwrap_err();
        assert!(matches!(error.kind, TemplateErrorKind::Code { .. }), "{config}: {error}");
        assert!(error.to_string().contains("pass the value as an environment variable"), "{error}");
    }
}

#[test]
fn a_template_in_an_argument_is_no_program_text() {
    for config in [
        json!({"command": ["make", "-j${{ worker.cores }}"]}),
        json!({"command": ["git", "-c", "user.name=${{ build.owner }}", "commit"]}),
        json!({"command": ["sh", "-c", "echo \"$1\"", "--", "${{ src.app.branch }}"]}),
        json!({"command": ["sh", "build.sh", "${{ src.app.branch }}"]}),
        json!({"command": ["python3", "-m", "pytest", "-c", "${{ props.text }}"]}),
        json!({"command": ["perl", "-p", "${{ props.text }}"]}),
        json!({"script": "make"}),
        json!({"environment": {"BRANCH": "${{ src.app.branch }}"}, "script": "echo \"$BRANCH\""}),
    ] {
        assert_eq!(check_template(&config), Ok(()), "{config}");
    }
}
