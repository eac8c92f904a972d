//! Takes secrets out of what programs write.
//!
//! A secret is looked for as it stands (each line of one with several lines), percent-encoded, as a JSON text, in hexadecimal, and in base64: as a
//! whole, wrapped into lines, embedded at any place of a longer text, and encoded twice, whole or embedded. A masker remembers the end of one
//! piece that may be the beginning of a secret, so that a secret cut by a border between pieces is found too.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::limits::MASK_BYTES_MIN;

/// What stands in the place of a secret.
pub(crate) const MASK: &[u8] = b"***";

/// Pieces of base64 shorter than this are not looked for: they would be found by chance.
const FRAGMENT_BYTES_MIN: usize = 8;

/// Everything to look for, in one build.
#[derive(Default)]
pub(crate) struct Patterns {
    /// By first byte, the longest first.
    by_first: Vec<Vec<Vec<u8>>>,
}

impl Patterns {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = BTreeSet::new();
        for secret in secrets {
            forms(secret, &mut all);
        }
        let mut by_first = Vec::new();
        if !all.is_empty() {
            by_first.resize(256, Vec::new());
        }
        for pattern in all {
            let first = usize::from(pattern[0]);
            by_first[first].push(pattern);
        }
        for patterns in &mut by_first {
            patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
        }
        Self { by_first }
    }

    fn starting_with(&self, byte: u8) -> &[Vec<u8>] {
        self.by_first.get(usize::from(byte)).map_or(&[], Vec::as_slice)
    }

    /// A short text as a whole, such as a summary.
    pub(crate) fn mask(self: &Arc<Self>, text: &str) -> String {
        let mut masker = Masker::new(Arc::clone(self));
        let mut masked = masker.push(text.as_bytes());
        masked.extend(masker.finish());
        String::from_utf8_lossy(&masked).into_owned()
    }
}

fn forms(secret: &str, all: &mut BTreeSet<Vec<u8>>) {
    let mut texts = vec![secret, secret.trim()];
    texts.extend(secret.lines().map(str::trim));
    for text in texts {
        if text.len() < MASK_BYTES_MIN {
            continue;
        }
        let bytes = text.as_bytes();
        let percent = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let gentle = utf8_percent_encode(text, &UNRESERVED_KEPT).to_string();
        let json = serde_json::Value::from(text).to_string();
        let once = STANDARD.encode(bytes);
        for form in [
            text.to_owned(),
            // As the name of a host is written that somebody made of it.
            text.to_lowercase(),
            percent.to_lowercase(),
            percent,
            gentle.clone(),
            gentle.replace("%20", "+"),
            json.trim_matches('"').to_owned(),
            hex::encode(bytes),
            hex::encode_upper(bytes),
        ] {
            if form.len() >= MASK_BYTES_MIN {
                all.insert(form.into_bytes());
            }
        }
        base64_forms(bytes, all);
        base64_forms(once.as_bytes(), all);
        base64_forms(format!("{once}\n").as_bytes(), all);
        // Of a longer text that was encoded twice, as the payload of CVE-2025-30066 did it.
        fragments(bytes).iter().for_each(|fragment| all.extend(fragments(fragment)));
    }
}

/// What RFC 3986 never encodes: what most encoders leave alone.
const UNRESERVED_KEPT: percent_encoding::AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn base64_forms(bytes: &[u8], all: &mut BTreeSet<Vec<u8>>) {
    for whole in
        [STANDARD.encode(bytes), URL_SAFE.encode(bytes), STANDARD_NO_PAD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)]
    {
        for width in [64, 76] {
            let lines = whole.as_bytes().chunks(width).filter(|line| line.len() >= FRAGMENT_BYTES_MIN);
            all.extend(lines.map(<[u8]>::to_vec));
        }
        all.insert(whole.into_bytes());
    }
    all.extend(fragments(bytes));
}

/// What of the bytes is always the same in base64 of a longer text that they are a part of, at each of the three places that they can have in
/// its groups.
fn fragments(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut fragments = Vec::new();
    for before in 0..3 {
        let mut shifted = vec![0; before];
        shifted.extend(bytes);
        // Characters whose six bits all belong to the secret; the others depend on what stands around it.
        let first = (before * 8).div_ceil(6);
        let end = shifted.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            if end >= first + FRAGMENT_BYTES_MIN {
                fragments.push(encoded.as_bytes()[first..end].to_vec());
            }
        }
    }
    fragments
}

/// Masks one stream.
pub(crate) struct Masker {
    patterns: Arc<Patterns>,
    /// The end of what came so far, which may be the beginning of a secret.
    held: Vec<u8>,
}

impl Masker {
    pub(crate) fn new(patterns: Arc<Patterns>) -> Self {
        Self { patterns, held: Vec::new() }
    }

    /// Takes the next bytes, gives those that are safe to show.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.patterns.by_first.is_empty() {
            return bytes.to_vec();
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend(bytes);
        let (shown, rest) = self.scan(&all, false);
        self.held = all[rest..].to_vec();
        shown
    }

    /// The stream has ended: what was held is no secret.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let all = std::mem::take(&mut self.held);
        self.scan(&all, true).0
    }

    /// What can be shown of `all`, and where what must be held begins.
    fn scan(&self, all: &[u8], ended: bool) -> (Vec<u8>, usize) {
        let mut shown = Vec::with_capacity(all.len());
        let mut position = 0;
        while let Some(&byte) = all.get(position) {
            let rest = &all[position..];
            let candidates = self.patterns.starting_with(byte);
            // The longest come first: while a longer one may still become whole, a shorter one is not taken.
            let may_grow = |pattern: &&Vec<u8>| rest.len() < pattern.len() && pattern.starts_with(rest);
            if !ended && candidates.iter().any(|pattern| may_grow(&pattern)) {
                return (shown, position);
            }
            match candidates.iter().find(|pattern| rest.starts_with(pattern)) {
                Some(pattern) => {
                    shown.extend(MASK);
                    position += pattern.len();
                }
                None => {
                    shown.push(byte);
                    position += 1;
                }
            }
        }
        (shown, position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "pa55/w&rd +ü";

    fn masked(secrets: &[&str], text: &[u8]) -> String {
        let patterns = Arc::new(Patterns::new(secrets.iter().copied()));
        let mut whole = Masker::new(Arc::clone(&patterns));
        let mut expected = whole.push(text);
        expected.extend(whole.finish());
        // However the stream is cut, the result is the same.
        for width in 1..=text.len().clamp(1, 40) {
            let mut masker = Masker::new(Arc::clone(&patterns));
            let mut shown: Vec<u8> = text.chunks(width).flat_map(|piece| masker.push(piece)).collect();
            shown.extend(masker.finish());
            assert_eq!(shown, expected, "cut every {width} bytes");
        }
        String::from_utf8_lossy(&expected).into_owned()
    }

    #[test]
    fn a_secret_is_masked_wherever_the_stream_is_cut() {
        let text = format!("a {SECRET}{SECRET} b pa55/w pa55");
        assert_eq!(masked(&[SECRET], text.as_bytes()), "a ****** b pa55/w pa55");
        assert_eq!(masked(&[], text.as_bytes()), text);
        assert_eq!(masked(&[SECRET], b""), "");
    }

    #[test]
    fn encoded_forms_are_masked() {
        let once = STANDARD.encode(SECRET);
        let encoded = [
            once.clone(),
            URL_SAFE_NO_PAD.encode(SECRET),
            STANDARD.encode(&once),
            STANDARD.encode(format!("{once}\n")),
            utf8_percent_encode(SECRET, NON_ALPHANUMERIC).to_string(),
            "pa55%2Fw%26rd%20%2B%C3%BC".to_owned(),
            "pa55%2Fw%26rd+%2B%C3%BC".to_owned(),
            hex::encode(SECRET),
        ];
        for form in encoded {
            assert_eq!(masked(&[SECRET], format!("<{form}>").as_bytes()), "<***>", "{form}");
        }
        for before in ["", "x", "xy", "user:"] {
            let form = STANDARD.encode(format!("{before}{SECRET}{SECRET} after"));
            let shown = masked(&[SECRET], form.as_bytes());
            assert!(shown.contains("***") && shown.len() < form.len() / 2 + 12, "{before}: {form} {shown}");
            let long = STANDARD.encode(format!("{before}{0}{0}{0} after", "a long secret 4711"));
            let shown = masked(&["a long secret 4711"], STANDARD.encode(&long).as_bytes());
            assert!(shown.matches("***").count() == 3 && shown.len() < 70, "{before}: {shown}");
        }
    }

    #[test]
    fn a_secret_that_became_the_name_of_a_host_is_masked() {
        assert_eq!(masked(&["AbC123xYz"], b"https://abc123xyz.example/ AbC123xYz"), "https://***.example/ ***");
    }

    #[test]
    fn a_key_of_several_lines_is_masked_line_by_line_and_wrapped_base64_too() {
        let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\r\nhkiG9w0BAQEFAASC\n\nab\n-----END KEY-----\n";
        assert_eq!(masked(&[key], b"> hkiG9w0BAQEFAASC\n> ab\n"), "> ***\n> ab\n");
        assert_eq!(masked(&[key], key.as_bytes()), "***");
        let long = "0123456789abcdefghij".repeat(10);
        let wrapped: Vec<String> = STANDARD
            .encode(&long)
            .as_bytes()
            .chunks(76)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        let shown = masked(&[&long], wrapped.join("\n").as_bytes());
        assert_eq!(shown, vec!["***"; wrapped.len()].join("\n"));
    }

    #[test]
    fn the_longest_of_several_secrets_wins_and_short_ones_are_let_through() {
        assert_eq!(masked(&["token", "token-two"], b"token-two token-tw token"), "*** ***-tw ***");
        assert_eq!(masked(&["abc", "", " "], b"abc  abc"), "abc  abc");
    }

    #[test]
    fn bytes_that_are_no_text_pass_as_they_are() {
        let patterns = Arc::new(Patterns::new([SECRET]));
        let mut masker = Masker::new(patterns);
        let bytes: Vec<u8> = (0..=255).collect();
        let mut shown = masker.push(&bytes);
        shown.extend(masker.finish());
        assert_eq!(shown, bytes);
    }
}
