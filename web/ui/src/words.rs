//! How things are shown everywhere: results by colour and word, times, lengths of time, links.

use jiff::Timestamp;
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use stampmill_model::{Build, BuildId, BuildState, BuildsetId, Outcome, PersonId, SourceStamp, StepState, Wall};
use stampmill_service::Identity;

use crate::limits::{LINE_CHARS, REVISION_CHARS};

/// What may stand in a part of an address as it is.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as a part of an address. `.` and `..` would be taken for steps in the path, so their dots are encoded too.
pub(crate) fn encoded(text: &str) -> String {
    match text {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(text, PART).to_string(),
    }
}

/// The hidden field that each form carries.
pub(crate) fn csrf(who: &Identity) -> Markup {
    html! { input type="hidden" name="csrf" value=(who.csrf()); }
}

/// A result or state as a word in its colour.
pub(crate) fn badge(word: &str) -> Markup {
    let sign = match word {
        "success" => "✓",
        "warnings" => "!",
        "failure" | "failed" => "✗",
        "exception" => "⚡",
        "cancelled" | "refused" | "disabled" | "paused" => "⊘",
        "skipped" => "–",
        "retry" => "↻",
        "running" | "dispatched" | "cancelling" | "connected" | "enabled" => "●",
        _ => "○",
    };
    html! { span class={ "badge " (word) } { span.sign aria-hidden="true" { (sign) } (word) } }
}

pub(crate) fn outcome(outcome: Outcome) -> Markup {
    badge(outcome.as_str())
}

/// The word for a build: its result, or how far it is.
pub(crate) fn build_word(state: &BuildState) -> &'static str {
    match state {
        BuildState::Dispatched => "dispatched",
        BuildState::Running => "running",
        BuildState::Cancelling { .. } => "cancelling",
        BuildState::Finished { outcome, .. } => outcome.as_str(),
    }
}

/// The word for a step.
pub(crate) fn step_word(state: &StepState) -> &'static str {
    match state {
        StepState::Waiting => "waiting",
        StepState::Running { .. } => "running",
        StepState::Finished { outcome, .. } => outcome.as_str(),
    }
}

pub(crate) fn build_address(id: BuildId) -> String {
    format!("/builds/{id}")
}

pub(crate) fn buildset_address(id: BuildsetId) -> String {
    format!("/buildsets/{id}")
}

pub(crate) fn person_address(id: PersonId) -> String {
    format!("/people/{id}")
}

pub(crate) fn builder_address(name: &str) -> String {
    format!("/builders/{}", encoded(name))
}

pub(crate) fn log_address(build: BuildId, step: u32, log: &str) -> String {
    format!("/builds/{build}/steps/{step}/logs/{}", encoded(log))
}

/// `linux #12`, as a link.
pub(crate) fn build_link(build: &Build) -> Markup {
    html! { a href=(build_address(build.id)) { (build.builder) " #" (build.number) } }
}

/// A small square of a build's colour with its number.
pub(crate) fn build_square(build: &Build) -> Markup {
    let word = build_word(&build.state);
    html! {
        a class={ "square " (word) } href=(build_address(build.id)) title={ "#" (build.number) " " (word) } aria-label={ "build " (build.number) " " (word) } {
            (build.number)
        }
    }
}

fn stamp(wall: Wall) -> Timestamp {
    i64::try_from(wall.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// `2026-03-01 12:00:00 UTC`.
pub(crate) fn absolute(wall: Wall) -> String {
    let text = format!("{:.0}", stamp(wall));
    format!("{} UTC", text.trim_end_matches('Z').replace('T', " "))
}

/// How long ago something was; the script keeps it true.
pub(crate) fn ago(wall: Wall, now: Wall) -> Markup {
    let seconds = now.0.saturating_sub(wall.0) / 1000;
    let text = match seconds {
        0..10 => "just now".to_owned(),
        10..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        86_400..2_592_000 => format!("{} d ago", seconds / 86_400),
        _ => absolute(wall).chars().take(10).collect(),
    };
    html! { time datetime=(format!("{:.3}", stamp(wall))) title=(absolute(wall)) data-ago { (text) } }
}

/// `850 ms`, `4.2 s`, `3 min 12 s`, `2 h 5 min`.
pub(crate) fn length(ms: u64) -> String {
    let seconds = ms / 1000;
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", seconds, ms % 1000 / 100),
        10_000..60_000 => format!("{seconds} s"),
        60_000..3_600_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// The length of what has ended.
pub(crate) fn between(start: Wall, end: Wall) -> Markup {
    html! { span.length { (length(end.0.saturating_sub(start.0))) } }
}

/// The length of what goes on; the script keeps it true.
pub(crate) fn since(start: Wall, now: Wall) -> Markup {
    html! { span.length data-since=(start.0) { (length(now.0.saturating_sub(start.0))) } }
}

/// How long a build takes or took.
pub(crate) fn build_length(build: &Build, now: Wall) -> Markup {
    match &build.state {
        BuildState::Finished { at, .. } => between(build.started_at, *at),
        BuildState::Dispatched | BuildState::Running | BuildState::Cancelling { .. } => since(build.started_at, now),
    }
}

/// The beginning of a revision that looks like a hash, all of another.
pub(crate) fn short_revision(revision: &str) -> String {
    let is_hash = revision.len() >= 32 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { revision.chars().take(REVISION_CHARS).collect() } else { shortened(revision, LINE_CHARS) }
}

pub(crate) fn revision(revision: &str) -> Markup {
    html! { code title=(revision) { (short_revision(revision)) } }
}

/// A text cut to so many letters.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let mut letters = text.chars();
    let start: String = letters.by_ref().take(most).collect();
    if letters.next().is_some() { format!("{start}…") } else { start }
}

/// A sentence in which names stand between backticks.
pub(crate) fn sentence(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    html! {
        @if parts.len().is_multiple_of(2) { (text) } @else {
            @for (position, part) in parts.into_iter().enumerate() {
                @if position % 2 == 0 { (part) } @else { code { (part) } }
            }
        }
    }
}

/// The first line of a text, cut to what fits in a table.
pub(crate) fn first_line(text: &str) -> String {
    shortened(text.lines().next().unwrap_or_default(), LINE_CHARS)
}

/// Codebase, branch and revision in one line.
pub(crate) fn stamp_line(stamp: &SourceStamp) -> Markup {
    html! {
        span.stamp {
            @if !stamp.codebase.is_empty() { span.codebase { (stamp.codebase) } " " }
            (stamp.branch.as_deref().unwrap_or("default branch"))
            @if let Some(text) = &stamp.revision { " " (revision(text)) }
            @if stamp.patch.is_some() { " " span.chip { "patched" } }
        }
    }
}

/// An address from outside as a link, if it is one of the web; else as plain text. Other schemes could run something.
pub(crate) fn outside_link(address: &str, text: &str) -> Markup {
    let lower = address.get(..8).unwrap_or(address).to_ascii_lowercase();
    html! {
        @if lower.starts_with("https://") || lower.starts_with("http://") {
            a href=(address) rel="noopener noreferrer nofollow" { (text) }
        } @else { (text) }
    }
}

/// A count with its noun: `1 line`, `1,000,000 lines`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    format!("{shown} {}", if number == 1 { one } else { many })
}

/// A line of a log without the orders to a terminal, and as a terminal would leave it after carriage returns.
pub(crate) fn plain(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or_default();
    let mut shown = String::with_capacity(line.len());
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' if letters.peek() == Some(&'[') => {
                letters.next();
                // A control sequence ends with a letter in this range (ECMA-48 §5.4).
                for letter in letters.by_ref() {
                    if ('\u{40}'..='\u{7e}').contains(&letter) {
                        break;
                    }
                }
            }
            '\u{1b}' => {
                // A string, such as a title or a link, goes on to its end (ECMA-48 §8.3.89, and BEL as terminals have it).
                if matches!(letters.next(), Some(']' | 'P' | 'X' | '^' | '_')) {
                    while let Some(letter) = letters.next_if(|letter| *letter != '\u{1b}') {
                        if letter == '\u{7}' {
                            break;
                        }
                    }
                }
            }
            '\t' => shown.push('\t'),
            letter if letter.is_control() => {}
            letter => shown.push(letter),
        }
    }
    shortened(&shown, crate::limits::LINE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short() {
        let texts: Vec<String> = [0, 850, 4_200, 59_999, 192_000, 7_500_000].into_iter().map(length).collect();
        assert_eq!(texts, ["0 ms", "850 ms", "4.2 s", "59 s", "3 min 12 s", "2 h 5 min"]);
    }

    #[test]
    fn names_between_backticks_are_set_apart() {
        assert_eq!(sentence("scheduler `a<b`").into_string(), "scheduler <code>a&lt;b</code>");
        assert_eq!(sentence("an odd ` one").into_string(), "an odd ` one");
        assert_eq!(sentence("").into_string(), "");
    }

    #[test]
    fn only_addresses_of_the_web_become_links() {
        for bad in ["javascript:alert(1)", "JaVaScRiPt:x", "data:text/html,x", "/local", "ftp://x", "https:/x", "é"] {
            assert!(!outside_link(bad, "t").into_string().contains("href"), "{bad}");
        }
        assert!(outside_link("HTTPS://x.example/\"", "t").into_string().contains("href=\"HTTPS://x.example/&quot;\""));
    }

    #[test]
    fn orders_to_a_terminal_are_not_shown() {
        assert_eq!(plain("\u{1b}[1;31merror\u{1b}[0m: x\r"), "error: x");
        assert_eq!(plain("10%\r50%\r100%"), "100%");
        assert_eq!(plain("a\u{8}\u{7}b\tc"), "ab\tc");
        assert_eq!(plain("\u{1b}[31"), "");
        assert_eq!(plain("\u{1b}]0;owned\u{7}a \u{1b}]8;;x:y\u{1b}\\link\u{1b}]8;;\u{1b}\\ b"), "a link b");
        assert_eq!(plain("\u{1b}]never ended"), "");
    }

    #[test]
    fn parts_of_addresses_cannot_leave_their_place() {
        assert_eq!(encoded("a/b?c#d"), "a%2Fb%3Fc%23d");
        assert_eq!(encoded(".."), "%2E%2E");
        assert_eq!(encoded("linux-x86_64.1"), "linux-x86_64.1");
    }

    #[test]
    fn counts_have_their_noun_and_commas() {
        let texts: Vec<String> =
            [0, 1, 999, 1_000, 1_234_567].into_iter().map(|number| count(number, "line", "lines")).collect();
        assert_eq!(texts, ["0 lines", "1 line", "999 lines", "1,000 lines", "1,234,567 lines"]);
    }

    #[test]
    fn times_read_well() {
        let now = Wall(1_772_366_400_000);
        assert_eq!(absolute(now), "2026-03-01 12:00:00 UTC");
        let text = ago(Wall(now.0 - 192_000), now).into_string();
        assert!(text.contains("3 min ago") && text.contains("datetime=\"2026-03-01T11:56:48.000Z\""), "{text}");
    }

    #[test]
    fn hashes_are_shortened_and_other_revisions_are_not() {
        assert_eq!(short_revision("0123456789abcdef0123456789abcdef01234567"), "0123456789");
        assert_eq!(short_revision("r1234"), "r1234");
    }
}
