//! Values for declared parameters: each is held against what its parameter takes, where it stands.

use std::collections::BTreeMap;

use serde_json::Value;
use stampmill_engine::form::Parameter;

use crate::config::finding::{Problem, Sink};
use crate::config::nearest::did_you_mean;
use crate::config::reader::At;
use crate::config::value::ConfigValue;

/// The values of all parameters, of those that are given and of defaults. `what` is who gives them to whom, such as
/// "builder `linux` with job `make`"; `asker` is where the one that has the parameters is named.
pub(super) fn given(
    with: &ConfigValue,
    parameters: &[Parameter],
    what: &str,
    asker: &At<String>,
    sink: &Sink,
) -> BTreeMap<String, Value> {
    refuse_unknown(with, parameters, what, sink);
    let mut values = BTreeMap::new();
    for parameter in parameters {
        let name = &parameter.name;
        let value = match with.value.get(name).map(|value| (value, parameter.kind.read(value))) {
            Some((_, Ok(Some(value)))) => Some(value),
            Some((value, Err(wrong))) => {
                let message = format!("`{name}` of {what} {wrong}");
                let shown = format!("a {} is expected", parameter.kind.as_str());
                let problem = Problem::error(with.place(&format!("/{name}")), message).label(shown);
                sink.report(problem.mend(mend(parameter, value)));
                continue;
            }
            Some((_, Ok(None))) | None => parameter.unanswered(""),
        };
        if parameter.required && value.as_ref().is_none_or(|value| value == "") {
            let problem = Problem::error(asker.span.clone(), format!("{what} gives no `{name}`"));
            let mut mend = format!("add `with = {{ {name} = … }}`");
            if !parameter.label.is_empty() {
                mend = format!("{mend}: {}", parameter.label);
            }
            sink.report(problem.label(format!("needs `{name}`")).mend(mend));
            continue;
        }
        values.extend(value.map(|value| (name.clone(), value)));
    }
    values
}

fn refuse_unknown(with: &ConfigValue, parameters: &[Parameter], what: &str, sink: &Sink) {
    let Some(object) = with.value.as_object() else { return };
    for name in object.keys().filter(|name| !parameters.iter().any(|parameter| parameter.name == **name)) {
        let message = format!("{what} gives `{name}`, which is no parameter of it");
        let mend = match parameters {
            [] => "it has none: add `[[job.parameter]]` to the job, or take `properties`".to_owned(),
            some => did_you_mean(name, "parameters", some.iter().map(|parameter| parameter.name.as_str())),
        };
        sink.report(Problem::error(with.key_place("", name), message).label("no such parameter").mend(mend));
    }
}

fn mend(parameter: &Parameter, value: &Value) -> String {
    match &parameter.default {
        Some(default) => format!("write another than {value}, or leave it out to take {default}"),
        None if parameter.label.is_empty() => format!("write another than {value}"),
        None => format!("write another than {value}: {}", parameter.label),
    }
}
