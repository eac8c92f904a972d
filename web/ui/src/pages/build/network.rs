//! What the steps of a build tried to reach over the network.

use maud::{Markup, html};
use stampmill_model::{Build, NetworkAttempt, NetworkProtocol, Step};

use crate::words;

/// Nothing for a build that tried nothing, which is most of them.
pub(super) fn network(build: &Build) -> Markup {
    let tried: Vec<&Step> = build.steps.iter().filter(|step| !step.network.attempts.is_empty()).collect();
    html! {
        @if !tried.is_empty() {
            h2 { "Network" }
            div.scroll {
                table.network {
                    thead { tr { th { "Step" } th { "Target" } th { "Address" } th { "By" } th { "Result" } th { "Times" } th.wide { "Why" } } }
                    tbody {
                        @for step in tried {
                            @for attempt in &step.network.attempts { (row(step, attempt)) }
                            @if step.network.unlisted > 0 {
                                tr { td { (step.name) } td.quiet colspan="6" { "and " (words::count(step.network.unlisted, "attempt", "attempts")) " more that " @if step.network.unlisted == 1 { "is" } @else { "are" } " not listed" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn row(step: &Step, attempt: &NetworkAttempt) -> Markup {
    html! {
        tr class=(attempt.end.as_str()) {
            td { a href={ "#step-" (step.number) } { (step.name) } }
            td { code { (words::shortened(&attempt.target, 100)) } }
            td { @if let Some(address) = attempt.address { code { (address) } } }
            td.quiet { (by(attempt.protocol)) }
            td { (words::badge(attempt.end.as_str())) }
            td { (attempt.count) }
            td.wide { (words::shortened(&attempt.why, 400)) }
        }
    }
}

/// Who asked, and how.
const fn by(protocol: NetworkProtocol) -> &'static str {
    match protocol {
        NetworkProtocol::Connect => "program, CONNECT",
        NetworkProtocol::Socks5 => "program, SOCKS5",
        NetworkProtocol::Http => "program, HTTP",
        NetworkProtocol::Plugin => "plugin",
    }
}
