//! Tables that several pages show.

use std::collections::BTreeMap;

use maud::{Markup, html};
use stampmill_model::{Build, Change, PersonId, SourceStamp, Wall};
use stampmill_service::{Action, BuilderState, Identity, Waiting};

use crate::words;

/// Builds, newest first.
pub(super) fn builds(builds: &[Build], now: Wall) -> Markup {
    html! {
        @if builds.is_empty() {
            p.quiet { "No builds yet." }
        } @else {
            div.scroll {
                table.builds {
                    thead { tr { th { "Build" } th { "Result" } th { "Sources" } th.wide { "Reason" } th { "Worker" } th { "Started" } th.number { "Took" } } }
                    tbody {
                        @for build in builds {
                            tr {
                                td { (words::build_link(build)) }
                                td { (words::badge(words::build_word(&build.state))) }
                                td { (stamps(&build.stamps)) }
                                td.wide { (words::sentence(&words::first_line(&build.reason))) }
                                td { (build.worker) }
                                td { (words::ago(build.started_at, now)) }
                                td.number { (words::build_length(build, now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn stamps(stamps: &[SourceStamp]) -> Markup {
    html! {
        @for (position, stamp) in stamps.iter().take(3).enumerate() {
            @if position > 0 { br; }
            (words::stamp_line(stamp))
        }
        @if stamps.len() > 3 { br; "and " (stamps.len() - 3) " more" }
    }
}

/// Builders and how they are doing.
pub(super) fn builders(builders: &[BuilderState], now: Wall) -> Markup {
    html! {
        @if builders.is_empty() {
            p.quiet { "No builder is configured. Add a " code { "[[builder]]" } " to the configuration and reload it." }
        } @else {
            div.scroll {
                table.builders {
                    thead { tr { th { "Builder" } th { "Last result" } th { "Newest builds" } th.number { "Waiting" } th { "Last ended" } } }
                    tbody {
                        @for state in builders { (builder_row(state, now)) }
                    }
                }
            }
        }
    }
}

fn builder_row(state: &BuilderState, now: Wall) -> Markup {
    let view = &state.view;
    let last = state.last_finished.as_ref();
    let open = state.builds.iter().any(|build| !matches!(build.state, stampmill_model::BuildState::Finished { .. }));
    html! {
        tr {
            td {
                a href=(words::builder_address(view.name.as_str())) { (view.name) }
                @if !view.project.is_empty() { " " span.chip { (view.project) } }
            }
            td {
                @if open { (words::badge("running")) " " }
                @if let Some(build) = last { (words::badge(words::build_word(&build.state))) }
                @else if !open { span.quiet { "never built" } }
            }
            td { span.squares { @for build in &state.builds { (words::build_square(build)) } } }
            td.number { @if state.pending > 0 { (state.pending) } @else { span.quiet { "0" } } }
            td {
                @if let Some(stampmill_model::BuildState::Finished { at, .. }) = last.map(|build| &build.state) {
                    (words::ago(*at, now))
                }
            }
        }
    }
}

/// Requests that wait, and why.
pub(super) fn waiting(waiting: &[Waiting], sentences: &[Option<String>], who: &Identity, now: Wall) -> Markup {
    html! {
        div.scroll {
            table {
                thead { tr { th { "Request" } th { "Builder" } th.wide { "Waits because" } th.wide { "Reason" } th.number { "Priority" } th { "Since" } th {} } }
                tbody {
                    @for (entry, sentence) in waiting.iter().zip(sentences) {
                        @let request = &entry.request;
                        tr {
                            td { a href={ "/buildsets/" (request.buildset) } { "#" (request.id) } }
                            td { a href=(words::builder_address(request.builder.as_str())) { (request.builder) } }
                            td.wide {
                                @match sentence {
                                    Some(sentence) => (words::sentence(sentence)),
                                    None if entry.awaits_approval => "it waits for a person's approval",
                                    None => "others are before it",
                                }
                            }
                            td.wide { (words::sentence(&words::first_line(&entry.reason))) }
                            td.number { (request.priority) }
                            td { (words::ago(request.submitted_at, now)) }
                            td { (request_buttons(request.id.0, entry.awaits_approval, who)) }
                        }
                    }
                }
            }
        }
    }
}

/// What can be done with a request that waits.
pub(super) fn request_buttons(id: u64, awaits_approval: bool, who: &Identity) -> Markup {
    html! {
        span.buttons {
            @if awaits_approval && who.may(Action::Approve) {
                form.inline method="post" action={ "/requests/" (id) "/approve" } {
                    (words::csrf(who))
                    button type="submit" name="approved" value="yes" { "Approve" }
                    button type="submit" name="approved" value="no" { "Refuse" }
                }
            }
            @if who.may(Action::Cancel) {
                form.inline method="post" action={ "/requests/" (id) "/cancel" } {
                    (words::csrf(who))
                    button type="submit" { "Cancel" }
                }
            }
        }
    }
}

/// Changes and what the schedulers made of them.
pub(super) fn changes(changes: &[Change], now: Wall) -> Markup {
    html! {
        div.scroll {
            table {
                thead { tr { th { "Change" } th { "Author" } th { "Branch" } th.wide { "Comment" } th { "Decisions" } th { "Arrived" } } }
                tbody {
                    @for change in changes {
                        tr {
                            td {
                                a href={ "/changes/" (change.id) } {
                                    @match &change.seen.revision {
                                        Some(revision) => (words::revision(revision)),
                                        None => { "#" (change.id) }
                                    }
                                }
                            }
                            td { (words::shortened(&author_name(&change.seen.author), 40)) }
                            td { (change.seen.branch.as_deref().unwrap_or("")) }
                            td.wide { (words::first_line(&change.seen.comments)) }
                            td { (decisions(change)) }
                            td { (words::ago(change.arrived_at, now)) }
                        }
                    }
                }
            }
        }
    }
}

fn decisions(change: &Change) -> Markup {
    html! {
        @if let Some(trouble) = &change.trouble { span.error title=(trouble) { "not built: " (words::first_line(trouble)) } }
        @for decision in &change.decisions {
            div.decision title=(decision.reason) {
                (decision.scheduler) ": " span class={ "verdict " (decision.verdict.as_str()) } { (decision.verdict.as_str()) }
                @if !decision.reason.is_empty() { span.quiet { " " (words::sentence(&words::shortened(&words::first_line(&decision.reason), 60))) } }
            }
        }
        @if !change.decided && change.trouble.is_none() { span.quiet { "being decided" } }
    }
}

/// The name of an author, as a link where it is known who that is.
pub(super) fn author_link(author: &str, known: &BTreeMap<String, PersonId>) -> Markup {
    let name = words::shortened(&author_name(author), 200);
    html! {
        @match known.get(author) {
            Some(id) => a href=(words::person_address(*id)) { (name) },
            None => (name),
        }
    }
}

/// The names of authors, as [`author_link`] shows them.
pub(super) fn author_links<'a>(
    authors: impl Iterator<Item = &'a String>,
    known: &BTreeMap<String, PersonId>,
) -> Markup {
    html! { @for (position, author) in authors.enumerate() { @if position > 0 { ", " } (author_link(author, known)) } }
}

/// The name of an author without the address of mail.
pub(super) fn author_name(author: &str) -> String {
    let name = author.split('<').next().unwrap_or_default().trim();
    if name.is_empty() { author.to_owned() } else { name.to_owned() }
}
