//! A log. The page holds a part of it, which is enough without a script; the script puts in its place a view of all lines that fetches what
//! is looked at.

use maud::{Markup, html};
use serde::Deserialize;
use stampmill_model::BuildId;
use stampmill_service::{Lines, LogInfo};

use super::{Asked, At, Shown};
use crate::form::Visitor;
use crate::layout::Page;
use crate::limits::LOG_PAGE_LINES;
use crate::words;

/// Where to begin.
#[derive(Deserialize)]
pub(crate) struct From {
    /// Counted from 1.
    first: Option<u64>,
}

pub(crate) async fn show(
    visitor: Visitor,
    At((id, step, log)): At<(u64, u32, String)>,
    Asked(query): Asked<From>,
) -> Shown {
    let (id, name) = (BuildId(id), log.clone());
    let read = visitor.ui.service.read(&visitor.who, move |reading| {
        let build = reading.build(id)?;
        let info = reading.log_info(id, step, &log)?;
        let first = query.first.unwrap_or(1).clamp(1, info.lines.max(1)) - 1;
        let lines = reading.log_lines(id, step, &log, first, LOG_PAGE_LINES)?;
        Ok((build, info, lines))
    });
    let (build, info, lines) = visitor.or_page(read.await)?;
    let step_name = build.steps.iter().find(|candidate| candidate.number == step).map_or("", |step| step.name.as_str());
    let word = build
        .steps
        .iter()
        .find(|candidate| candidate.number == step)
        .map_or("waiting", |step| words::step_word(&step.state));
    let address = words::log_address(id, step, &name);
    let body = html! {
        p.crumbs {
            a href=(words::builder_address(build.builder.as_str())) { (build.builder) }
            " / " (words::build_link(&build))
            " / " a href={ (words::build_address(id)) "#step-" (step) } { (step_name) }
        }
        div.row {
            h1 { (name) }
            span #log-state data-live { (words::badge(word)) }
            span #log-count.quiet aria-live="polite" { (words::count(info.lines, "line", "lines")) }
            span.grow {}
            form.inline #jump method="get" action=(address) {
                label { "Line " input name="first" type="number" min="1" inputmode="numeric" size="8" required; }
                button type="submit" { "Go" }
            }
            button #follow type="button" aria-pressed="false" hidden { "Follow" }
            a.button href={ "/api/v1" (address) } { "Raw" }
        }
        @if info.lost {
            p.error role="alert" {
                "The end of this log is lost: its worker went away before it had handed it in, a part of the host's log file is gone, or the build's logs have reached the most that the host keeps."
            }
        }
        (pages(&address, &info, &lines))
        (part(&address, &info, &lines))
    };
    let title = format!("{name} of {step_name}, {} #{}", build.builder, build.number);
    visitor.page(Page { title: &title, active: "/builders", events: None, body })
}

fn part(address: &str, info: &LogInfo, lines: &Lines) -> Markup {
    // A line that has no end yet comes again by the stream when it is whole.
    let ended = info.ended || info.lost;
    let known = if ended { info.lines } else { info.whole_lines };
    let text = String::from_utf8_lossy(&lines.bytes);
    html! {
        div #log.lines data-source={ "/api/v1" (address) } data-lines=(known) data-ended=(ended) tabindex="0" role="region" aria-label="log" {
            @for (number, line) in (lines.first_line + 1..).zip(text.lines()) {
                div.line id={ "L" (number) } { a href={ "#L" (number) } { (number) } span { (words::plain(line)) } }
            }
            @if info.lines == 0 {
                p.quiet { @if ended { "This log is empty." } @else { "Nothing is written yet." } }
            }
        }
    }
}

fn pages(address: &str, info: &LogInfo, lines: &Lines) -> Markup {
    let (first, end) = (lines.first_line + 1, lines.first_line + lines.count);
    html! {
        p.pages #log-pages {
            @if first > 1 {
                a href={ (address) "?first=1" } { "First" }
                a href={ (address) "?first=" (first.saturating_sub(LOG_PAGE_LINES).max(1)) } { "Before" }
            }
            @if lines.count > 0 { span.quiet { "lines " (first) " to " (end) } }
            @if end < info.lines {
                a href={ (address) "?first=" (end + 1) } { "Next" }
                a href={ (address) "?first=" (info.lines.saturating_sub(LOG_PAGE_LINES - 1).max(1)) } { "Last" }
            }
        }
    }
}
