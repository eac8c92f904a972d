//! What force schedulers ask of people.

use serde_json::Value;
use stampmill_service::Form;
use stampmill_service::form::{Parameter, ParameterKind};

use crate::wire;

pub(super) fn form(form: &Form) -> wire::Form {
    let parameters = form.parameters();
    wire::Form {
        reason_required: form.reason_required,
        parameters: parameters.into_iter().map(|(name, it)| parameter(name, it)).collect(),
    }
}

fn parameter(name: String, parameter: &Parameter) -> wire::Parameter {
    let mut told = wire::Parameter {
        name,
        label: parameter.label.clone(),
        kind: parameter.kind.as_str().to_owned(),
        required: parameter.required,
        hide: parameter.hide,
        default: parameter.default.clone().unwrap_or(Value::Null),
        regex: None,
        min: None,
        max: None,
        choices: Vec::new(),
        strict: false,
        multiple: false,
        max_size: None,
    };
    match &parameter.kind {
        ParameterKind::String { regex } | ParameterKind::Text { regex } | ParameterKind::User { regex } => {
            told.regex = regex.as_ref().map(|regex| regex.as_str().to_owned());
        }
        ParameterKind::Int { min, max } => (told.min, told.max) = (*min, *max),
        ParameterKind::Bool => {}
        ParameterKind::Choice { choices, strict, multiple } => {
            (told.choices, told.strict, told.multiple) = (choices.clone(), *strict, *multiple);
        }
        ParameterKind::File { size_max } => told.max_size = Some(*size_max),
    }
    told
}
