//! The fields of a form: one kind of input for each kind of parameter, with what was typed before and what is wrong with it.

use maud::{Markup, html};
use serde_json::Value;
use stampmill_service::form::{Entry, Fault, Parameter, ParameterKind, Pattern, address, field_of_parameter};

use crate::form::Form;
use crate::words;

/// What the fields hold.
pub(super) struct Filled<'a> {
    /// Who fills them in.
    owner: &'a str,
    /// What was sent; without it the defaults are shown.
    sent: Option<&'a Form>,
    faults: &'a [Fault],
}

impl<'a> Filled<'a> {
    /// A form that nobody has filled in yet.
    pub(super) const fn empty(owner: &'a str) -> Self {
        Self { owner, sent: None, faults: &[] }
    }

    /// A form that comes back.
    pub(super) const fn again(owner: &'a str, sent: &'a Form, faults: &'a [Fault]) -> Self {
        Self { owner, sent: Some(sent), faults }
    }

    /// What a field holds: what was typed into it, else this.
    pub(super) fn text(&self, field: &str, default: &str) -> String {
        self.sent.map_or_else(|| default.to_owned(), |sent| sent.verbatim(field))
    }

    /// What describes a field to those who can't see it: its fault, where it has one.
    pub(super) fn described(&self, field: &str) -> Option<String> {
        self.faults.iter().any(|fault| fault.field == field).then(|| id_of(field))
    }

    /// What is wrong with a field.
    pub(super) fn fault(&self, field: &str) -> Markup {
        let mine: Vec<_> = self.faults.iter().filter(|fault| fault.field == field).collect();
        html! {
            @if !mine.is_empty() {
                div id=(id_of(field)) { @for fault in mine { p.error { (fault.message) } } }
            }
        }
    }

    /// A labelled field, with what is wrong with it below.
    pub(super) fn field(&self, label: &str, required: bool, field: &str, control: Markup) -> Markup {
        html! {
            div.field {
                label { span { (label) @if required { span.quiet { " (required)" } } } (control) }
                (self.fault(field))
            }
        }
    }
}

/// Where a field's faults stand on the page.
pub(super) fn id_of(field: &str) -> String {
    format!("fault-{}", words::encoded(field))
}

/// Fields for parameters. Recursion is as deep as the configuration's groups, which are bounded.
pub(super) fn entries(entries: &[Entry], group: &str, scheduler: &str, filled: &Filled<'_>) -> Markup {
    html! {
        @for entry in entries {
            @match entry {
                Entry::Parameter(parameter) => @if !parameter.hide {
                    (question(parameter, &address(group, &parameter.name), scheduler, filled))
                },
                Entry::Group(inner) => fieldset {
                    @let label = if inner.label.is_empty() { &inner.name } else { &inner.label };
                    @if !label.is_empty() { legend { (label) } }
                    (self::entries(&inner.entries, &address(group, &inner.name), scheduler, filled))
                },
            }
        }
    }
}

fn question(parameter: &Parameter, address: &str, scheduler: &str, filled: &Filled<'_>) -> Markup {
    let name = field_of_parameter(address);
    let label = if parameter.label.is_empty() { &parameter.name } else { &parameter.label };
    let default = parameter.unanswered(filled.owner).unwrap_or(Value::Null);
    let text = filled.text(&name, &default.as_str().map_or_else(|| number(&default), str::to_owned));
    let described = filled.described(&name);
    let required = parameter.required;
    let id = |what: &str| format!("{what}-{}-{}", words::encoded(scheduler), words::encoded(&name));
    let control = match &parameter.kind {
        ParameterKind::String { regex } | ParameterKind::User { regex } => html! {
            input name=(name) value=(text) required[required] aria-describedby=[described];
            (hint(regex.as_ref()))
        },
        ParameterKind::Text { regex } => html! {
            textarea name=(name) rows="4" required[required] aria-describedby=[described] { "\n" (text) }
            (hint(regex.as_ref()))
        },
        ParameterKind::Int { min, max } => html! {
            input name=(name) type="number" step="1" min=[*min] max=[*max] value=(text) required[required] aria-describedby=[described];
        },
        ParameterKind::Bool => return tick(label, &name, parameter, filled),
        ParameterKind::Choice { choices, strict, multiple: true } => {
            return several(label, &name, parameter, (choices, *strict), filled);
        }
        ParameterKind::Choice { choices, strict: true, multiple: false } => html! {
            select name=(name) required[required] aria-describedby=[described] {
                @if parameter.default.is_none() { option value="" { "–" } }
                @for choice in choices { option value=(choice) selected[*choice == text] { (choice) } }
            }
        },
        ParameterKind::Choice { choices, strict: false, multiple: false } => html! {
            input name=(name) value=(text) list=(id("choices")) required[required] aria-describedby=[described];
            datalist id=(id("choices")) { @for choice in choices { option value=(choice) {} } }
        },
        ParameterKind::File { size_max } => html! {
            textarea id=(id("file")) name=(name) rows="4" required[required] aria-describedby=[described]
                placeholder={ "the text of the file, at most " (size_max) " bytes" } { "\n" (text) }
            // The script of the page reads the file into the field above; without one its text can be pasted.
            input type="file" hidden data-into=(id("file")) data-most=(size_max) aria-label={ "Take a file for " (label) };
        },
    };
    filled.field(label, required, &name, control)
}

fn number(value: &Value) -> String {
    value.as_i64().map(|number| number.to_string()).unwrap_or_default()
}

fn hint(regex: Option<&Pattern>) -> Markup {
    html! { @if let Some(regex) = regex { span.quiet { "the whole must match " code { (regex.as_str()) } } } }
}

fn tick(label: &str, name: &str, parameter: &Parameter, filled: &Filled<'_>) -> Markup {
    let ticked = match filled.sent {
        Some(sent) => sent.text(name) == "true",
        None => parameter.unanswered(filled.owner) == Some(Value::Bool(true)),
    };
    html! {
        div.field {
            label.tick { input type="checkbox" name=(name) value="true" checked[ticked] aria-describedby=[filled.described(name)]; (label) }
            (filled.fault(name))
        }
    }
}

fn several(
    label: &str,
    name: &str,
    parameter: &Parameter,
    (choices, strict): (&[String], bool),
    filled: &Filled<'_>,
) -> Markup {
    let chosen = match filled.sent {
        Some(sent) => lines(sent, name),
        None => parameter.unanswered(filled.owner),
    };
    let chosen: Vec<&str> = chosen.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect();
    let others: Vec<&str> =
        chosen.iter().copied().filter(|text| !choices.iter().any(|choice| choice == text)).collect();
    html! {
        fieldset aria-describedby=[filled.described(name)] {
            legend { (label) @if parameter.required { span.quiet { " (required)" } } }
            @for choice in choices {
                label.tick { input type="checkbox" name=(name) value=(choice) checked[chosen.contains(&choice.as_str())]; (choice) }
            }
            @if !strict {
                label { "Others, one a line" textarea name=(name) rows="2" { "\n" (others.join("\n")) } }
            }
            (filled.fault(name))
        }
    }
}

/// What was chosen and what was written, one text a line.
fn lines(sent: &Form, name: &str) -> Option<Value> {
    let lines = sent.all(name).flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty());
    Some(lines.map(Value::from).collect())
}

/// What was answered to a parameter. Whether that can be taken is for the engine to say.
pub(super) fn answer(kind: &ParameterKind, sent: &Form, name: &str) -> Value {
    match kind {
        ParameterKind::Bool => Value::Bool(sent.text(name) == "true"),
        ParameterKind::Choice { multiple: true, .. } => lines(sent, name).unwrap_or_default(),
        // Browsers send the ends of lines as networks do, whatever was typed.
        ParameterKind::Text { .. } | ParameterKind::File { .. } => sent.verbatim(name).replace("\r\n", "\n").into(),
        ParameterKind::String { .. }
        | ParameterKind::Int { .. }
        | ParameterKind::Choice { .. }
        | ParameterKind::User { .. } => sent.text(name).into(),
    }
}
