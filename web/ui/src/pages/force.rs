//! The form that forces builds: on the page of a builder, and by itself with what was typed when that can't be taken.

mod fields;

use axum::response::{Html, IntoResponse as _};
use maud::{Markup, html};
use serde_json::Value;
use stampmill_model::Wall;
use stampmill_service::form::{Fault, SourceField, field_of_parameter, field_of_source};
use stampmill_service::{
    Action, CodebaseDefault, ErrorKind, ForceAsk, Form as Questions, SchedulerNow, SchedulerView, ServiceError,
    SourceChoice,
};

use self::fields::Filled;
use super::halts::halted;
use super::{At, Shown, go};
use crate::form::{Form, Visitor};
use crate::guard::status_of;
use crate::layout::Page;
use crate::words;

/// The forms of the force schedulers that list a builder, or what one needs for them.
pub(super) fn forms(
    visitor: &Visitor,
    builder: &str,
    schedulers: &[(SchedulerView, SchedulerNow)],
    now: Wall,
) -> Markup {
    let listing: Vec<_> =
        schedulers.iter().filter_map(|(view, state)| Some((questions(view, builder)?, view, state))).collect();
    let enabled: Vec<_> = listing.iter().filter(|(_, _, state)| state.disabled.is_none()).collect();
    let halt = listing.iter().find_map(|(_, view, state)| Some((&view.name, state.disabled.as_ref()?)));
    html! {
        @if let (true, Some((scheduler, halt))) = (enabled.is_empty(), halt) {
            (halted(&format!("Nobody can force a build: scheduler {scheduler} is disabled"), halt, now))
        } @else if !enabled.is_empty() && visitor.who.may(Action::Force) {
            @for (questions, scheduler, _) in &enabled {
                details.force {
                    summary { "Force a build" @if enabled.len() > 1 { ": " (scheduler.name) } }
                    (form(visitor, builder, scheduler, questions, &Filled::empty(visitor.who.name())))
                }
            }
        } @else if !enabled.is_empty() && visitor.who.role().is_none() {
            p { a href={ "/login?next=" (words::encoded(&words::builder_address(builder))) } { "Log in to force a build" } }
        }
    }
}

/// What a scheduler asks of whoever forces a builder, if it is one for that.
fn questions<'a>(scheduler: &'a SchedulerView, builder: &str) -> Option<&'a Questions> {
    let lists = scheduler.builders.iter().any(|name| name.as_str() == builder);
    scheduler.form.as_ref().filter(|_| lists)
}

fn form(
    visitor: &Visitor,
    builder: &str,
    scheduler: &SchedulerView,
    questions: &Questions,
    filled: &Filled<'_>,
) -> Markup {
    let reason = html! {
        input name="reason" value=(filled.text("reason", "")) maxlength="1000" placeholder="why, for the others"
            required[questions.reason_required] aria-describedby=[filled.described("reason")];
    };
    let priority = html! {
        input name="priority" type="number" step="1" value=(filled.text("priority", "")) placeholder="the scheduler's; higher goes first"
            aria-describedby=[filled.described("priority")];
    };
    html! {
        form.fields method="post" action={ (words::builder_address(builder)) "/force" } {
            (words::csrf(&visitor.who))
            input type="hidden" name="scheduler" value=(scheduler.name);
            (filled.field("Reason", questions.reason_required, "reason", reason))
            @for codebase in &scheduler.codebases { (sources(codebase, questions, filled)) }
            @if questions.entries.is_empty() {
                @let lines = html! { textarea name="properties" rows="3" placeholder="name=value" aria-describedby=[filled.described("properties")] { (filled.text("properties", "")) } };
                (filled.field("Properties, one a line", false, "properties", lines))
            } @else {
                (filled.fault("properties"))
                (fields::entries(&questions.entries, "", scheduler.name.as_str(), filled))
            }
            (filled.field("Priority", false, "priority", priority))
            button.main type="submit" { "Force" }
        }
    }
}

fn sources(default: &CodebaseDefault, questions: &Questions, filled: &Filled<'_>) -> Markup {
    let name = &default.codebase;
    let asked = questions.source_fields(name);
    let fixed = [
        (SourceField::Repository, Some(default.repository.as_str())),
        (SourceField::Branch, default.branch.as_deref()),
        (SourceField::Revision, default.revision.as_deref()),
    ];
    let fixed = fixed.into_iter().filter(|(field, _)| !asked.contains(field));
    html! {
        fieldset {
            legend { @if name.is_empty() { "Sources" } @else { (name) } }
            @for (field, text) in fixed {
                @if let Some(text) = text.filter(|text| !text.is_empty()) {
                    p.quiet { @if field != SourceField::Repository { (field.as_str()) " " } (text) }
                }
            }
            @for field in asked {
                @let (label, placeholder) = match field {
                    SourceField::Branch => ("Branch", default.branch.as_deref().unwrap_or("the default branch")),
                    SourceField::Revision => ("Revision", default.revision.as_deref().unwrap_or("the latest")),
                    SourceField::Repository => ("Repository", default.repository.as_str()),
                    SourceField::Project => ("Project", ""),
                };
                @let input = field_of_source(name, *field);
                @let control = html! {
                    input name=(input) value=(filled.text(&input, "")) placeholder=(placeholder) aria-describedby=[filled.described(&input)];
                };
                (filled.field(label, false, &input, control))
            }
        }
    }
}

pub(crate) async fn force(visitor: Visitor, At(name): At<String>, sent: Form) -> Shown {
    let schedulers = visitor.or_page(visitor.ui.service.schedulers(&visitor.who).await)?;
    let named = sent.text("scheduler");
    let mut listing = schedulers.iter().filter_map(|(view, _)| Some((view, questions(view, &name)?)));
    let found = listing.find(|(view, _)| named.is_empty() || view.name.as_str() == named);
    let made = match ask_of(&name, found.map(|(_, questions)| questions), &sent) {
        Ok(ask) => visitor.ui.service.force(&visitor.who, ask).await,
        Err(faults) => Err(ServiceError::Form(faults)),
    };
    match (made, found) {
        (Ok(made), _) => go(&format!("/buildsets/{}", made.buildset)),
        (Err(error), Some((scheduler, questions))) if may_be_mended(&error) => {
            again(&visitor, &name, scheduler, questions, &sent, &error)
        }
        (Err(error), _) => Err(visitor.error(error)),
    }
}

/// Whether the same form may be taken when it is sent again, changed or later.
const fn may_be_mended(error: &ServiceError) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::Unavailable)
}

/// The form with what was typed, and what is wrong with it.
fn again(
    visitor: &Visitor,
    builder: &str,
    scheduler: &SchedulerView,
    questions: &Questions,
    sent: &Form,
    error: &ServiceError,
) -> Shown {
    let filled = Filled::again(visitor.who.name(), sent, error.faults());
    let form = form(visitor, builder, scheduler, questions, &filled);
    // What has no field of its own on the page stands above all of them.
    let form_text = form.0.as_str();
    let stray = error.faults().iter().filter(|fault| !form_text.contains(&fields::id_of(&fault.field)));
    let body = html! {
        h1 { "Force a build of " a href=(words::builder_address(builder)) { (builder) } }
        @if error.faults().is_empty() {
            p.error role="alert" { (error.to_string()) }
        } @else {
            p.error role="alert" { "Nothing was built: " (words::count(error.faults().len() as u64, "answer", "answers")) " can't be taken." }
            @for fault in stray { p.error { (fault.message) } }
        }
        (form)
    };
    let title = format!("Force {builder}");
    let page = Page { title: &title, active: "/builders", events: None, body }.draw(&visitor.ui, &visitor.who);
    Ok((status_of(error.kind()), Html(page.into_string())).into_response())
}

fn ask_of(builder: &str, questions: Option<&Questions>, sent: &Form) -> Result<ForceAsk, Vec<Fault>> {
    let mut ask = ForceAsk {
        builder: Some(builder.to_owned()),
        scheduler: sent.optional("scheduler"),
        reason: sent.text("reason").to_owned(),
        ..ForceAsk::default()
    };
    let mut faults = Vec::new();
    for (name, text) in sent.starting_with("codebases.").filter(|(_, text)| !text.is_empty()) {
        let Some((codebase, field)) = name.rsplit_once('.') else { continue };
        let choice: &mut SourceChoice = ask.stamps.entry(codebase.to_owned()).or_default();
        match field {
            "branch" => choice.branch = Some(text.to_owned()),
            "revision" => choice.revision = Some(text.to_owned()),
            "repository" => choice.repository = Some(text.to_owned()),
            "project" => choice.project = Some(text.to_owned()),
            _ => {}
        }
    }
    if let Some(text) = sent.optional("priority") {
        ask.priority = text.parse().ok();
        if ask.priority.is_none() {
            let text = words::shortened(&text, 60);
            let message = format!("the priority is {text:?}, and a whole number is expected; higher goes first");
            faults.push(Fault { field: "priority".to_owned(), message });
        }
    }
    match questions {
        Some(questions) if !questions.entries.is_empty() => {
            for (address, parameter) in questions.parameters().into_iter().filter(|(_, parameter)| !parameter.hide) {
                let answer = fields::answer(&parameter.kind, sent, &field_of_parameter(&address));
                ask.properties.insert(address, answer);
            }
        }
        _ => {
            for line in sent.text("properties").lines().map(str::trim).filter(|line| !line.is_empty()) {
                if let Some((name, value)) = line.split_once('=') {
                    ask.properties.insert(name.trim().to_owned(), Value::String(value.trim().to_owned()));
                    continue;
                }
                let shown = words::shortened(line, 60);
                let message = format!("property line {shown:?} has no `=`; write name=value");
                faults.push(Fault { field: "properties".to_owned(), message });
            }
        }
    }
    if faults.is_empty() { Ok(ask) } else { Err(faults) }
}
