//! Types for configurations: each reads one way of writing, and says so in the schema.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// A span of time, written as `"30s"`, `"1m30s"`, `"500ms"`, `"2h"` or `"7d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(std::time::Duration);

/// A number of bytes, written as `"64KiB"`, `"10MiB"`, `"1GB"` or `"512B"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// The name of a secret that the plugin or its programs see. The host refuses a configuration that names one which `grant.secret` does not
/// have; a plugin whose secrets are all written with this type may be used without any.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretName(String);

/// The name of a secret that the host attaches to a request and the plugin never sees ([`crate::http::Request::credential`]). The host refuses
/// a configuration that names one which neither `grant.credential` nor `grant.secret` has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct CredentialName(String);

/// Text that is not a duration or size; the message says what is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotThis {
    text: String,
    wanted: &'static str,
}

const DURATION_WANTED: &str = "a duration such as \"30s\", \"1m30s\", \"500ms\" or \"2h\"";
const DURATION_PATTERN: &str = "^([0-9]{1,15}(ms|s|m|h|d))+$";
const DURATION_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_WANTED: &str = "a size such as \"64KiB\", \"10MiB\", \"1GB\" or \"512B\"";
const SIZE_PATTERN: &str = "^[0-9]{1,15}(B|KB|KiB|MB|MiB|GB|GiB)$";
const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// Takes a number with its unit from the front of the text; answers their product and the rest.
fn take_amount<'a>(text: &'a str, units: &[(&str, u64)]) -> Option<(u64, &'a str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let rest = &text[digits..];
    let word = rest.find(|c: char| c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    let (_, factor) = units.iter().find(|(unit, _)| *unit == word)?;
    Some((number.checked_mul(*factor)?, &rest[word.len()..]))
}

impl Duration {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Duration {
        Duration(std::time::Duration::from_secs(seconds))
    }

    /// As the standard library's type.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl FromStr for Duration {
    type Err = NotThis;

    fn from_str(text: &str) -> Result<Duration, NotThis> {
        let wrong = || NotThis { text: text.to_owned(), wanted: DURATION_WANTED };
        let mut total = 0u64;
        let mut rest = text;
        loop {
            let (amount, after) = take_amount(rest, &DURATION_UNITS).ok_or_else(wrong)?;
            total = total.checked_add(amount).ok_or_else(wrong)?;
            if after.is_empty() {
                return Ok(Duration(std::time::Duration::from_millis(total)));
            }
            rest = after;
        }
    }
}

impl fmt::Display for Duration {
    /// The largest unit that divides it: `90s`, `2m`, `1500ms`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let (unit, factor) = DURATION_UNITS
            .iter()
            .rev()
            .find(|(_, factor)| millis != 0 && millis.is_multiple_of(u128::from(*factor)))
            .unwrap_or(&("s", 1000));
        write!(out, "{}{unit}", millis / u128::from(*factor))
    }
}

impl Size {
    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Size {
        Size(bytes)
    }

    /// In bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = NotThis;

    fn from_str(text: &str) -> Result<Size, NotThis> {
        match take_amount(text, &SIZE_UNITS) {
            Some((bytes, "")) => Ok(Size(bytes)),
            _ => Err(NotThis { text: text.to_owned(), wanted: SIZE_WANTED }),
        }
    }
}

impl fmt::Display for NotThis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}` is not {}", self.text, self.wanted)
    }
}

impl std::error::Error for NotThis {}

/// A name is a text, and its schema says whose.
macro_rules! name {
    ($name:ident, $word:literal) => {
        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> $name {
                $name(name.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "x-stampmill-names": $word })
            }
        }
    };
}

name!(SecretName, "secret");
name!(CredentialName, "credential");

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": DURATION_PATTERN, "examples": ["30s", "1m30s"] })
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": SIZE_PATTERN, "examples": ["64KiB", "10MiB"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Option<u128> {
        text.parse::<Duration>().ok().map(|read| read.get().as_millis())
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(millis("30s"), Some(30_000));
        assert_eq!(millis("1m30s"), Some(90_000));
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("7d"), Some(604_800_000));
        for wrong in [
            "",
            "30",
            "s",
            "30 s",
            "-1s",
            "1.5s",
            "30sec",
            "s30",
            "1m30",
            "99999999999999999999s",
            "999999999999999d9d9d\u{e9}",
        ] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_duration_is_shown_in_its_largest_whole_unit() {
        assert_eq!(Duration::seconds(90).to_string(), "90s");
        assert_eq!(Duration::seconds(1200).to_string(), "20m");
        assert_eq!(Duration::seconds(0).to_string(), "0s");
        assert_eq!("1500ms".parse::<Duration>().map(|read| read.to_string()), Ok("1500ms".to_owned()));
    }

    #[test]
    fn sizes_are_read_with_their_unit_and_not_without() {
        assert_eq!("64KiB".parse(), Ok(Size::bytes(65_536)));
        assert_eq!("1GB".parse(), Ok(Size::bytes(1_000_000_000)));
        for wrong in ["64", "KiB", "64kib", "1GiB2", "18446744073709551615KiB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_schema_says_which_texts_name_secrets_also_where_there_may_be_none() {
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "only its schema is looked at")]
        struct Config {
            key: Option<SecretName>,
            environment: std::collections::BTreeMap<String, SecretName>,
            token: CredentialName,
        }
        let schema = schemars::schema_for!(Config).to_value();
        let names = |pointer: &str| schema.pointer(pointer).map(|schema| schema["x-stampmill-names"].clone());
        assert_eq!(names("/properties/key"), Some("secret".into()));
        assert_eq!(names("/properties/environment/additionalProperties"), Some("secret".into()));
        assert_eq!(names("/properties/token"), Some("credential".into()));
        assert_eq!(schema["properties"]["key"]["type"], serde_json::json!(["string", "null"]));
    }

    #[test]
    fn an_error_names_the_text_and_what_is_wanted() {
        let error = serde_json::from_str::<Duration>("\"soon\"").expect_err("not a duration").to_string();
        assert!(error.contains("`soon`") && error.contains("30s"), "{error}");
    }
}
