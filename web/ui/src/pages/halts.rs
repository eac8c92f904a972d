//! What people halt for a while, schedulers and workers: who did it and why, and the button that does it or ends it.

use maud::{Markup, html};
use stampmill_model::{Halt, Wall};
use stampmill_service::Identity;

use crate::words;

/// The two words of a switch: what is asked for, and how it is then.
pub(super) struct Switch {
    pub(super) halt: &'static str,
    pub(super) go_on: &'static str,
    pub(super) halted: &'static str,
}

impl Switch {
    /// The button for something of this name, which posts to an address below its own.
    pub(super) fn button(&self, name: &str, address: &str, is_halted: bool, who: &Identity) -> Markup {
        let word = if is_halted { self.go_on } else { self.halt };
        html! {
            form.inline method="post" action={ (address) "/" (word.to_lowercase()) } {
                (words::csrf(who))
                @if !is_halted {
                    input name="reason" maxlength="1000" placeholder="why, for the others" aria-label={ "Why " (name) " is " (self.halted) };
                }
                button type="submit" { (word) }
            }
        }
    }
}

/// Who halted something, why and when.
pub(super) fn halted(what: &str, halt: &Halt, now: Wall) -> Markup {
    html! { p.note { (what) " " (words::shortened(&halt.to_string(), 1_200)) " · " (words::ago(halt.at, now)) } }
}
