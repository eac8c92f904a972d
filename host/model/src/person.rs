//! People: who makes changes, and whom builds concern. A person is no login and has no right.

use std::collections::BTreeSet;
use std::fmt;

use crate::limits::{ATTRIBUTE_KIND_BYTES_MAX, AUTHOR_BYTES_MAX};
use crate::{PersonId, Wall};

/// Somebody who makes changes or whom builds concern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// Its id.
    pub id: PersonId,
    /// What to call them; it finds nobody, for people share names.
    pub name: String,
    /// What they are known by, in the order in which it became known.
    pub attributes: Vec<Attribute>,
    /// When the first change of theirs came, or an administrator added them.
    pub since: Wall,
}

/// Something that one person alone is known by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Attribute {
    kind: String,
    value: String,
}

/// The attribute that says by which login the person comes in. Only an administrator gives it; no change has it.
pub const LOGIN: &str = "user";
/// The attribute of an address of mail.
pub const EMAIL: &str = "email";
/// The attribute of an author without an address, as a change has it.
pub const AUTHOR: &str = "author";
/// Attributes by which the author of a change is found: all of them are authors as some version control system writes them.
pub const AUTHOR_KINDS: [&str; 8] = [EMAIL, AUTHOR, "git", "svn", "cvs", "hg", "bzr", "darcs"];

/// Why something is no attribute.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AttributeError {
    /// It has no kind.
    #[error("attribute {0:?} has no kind; write KIND:VALUE, such as email:ann@example.org or irc:ann")]
    NoKind(String),
    /// The kind is no such word.
    #[error(
        "attribute kind {0:?} does not fit; take 1 to {ATTRIBUTE_KIND_BYTES_MAX} lower-case letters, digits and dashes, such as `irc`"
    )]
    Kind(String),
    /// The value is empty, too long or not one line.
    #[error(
        "the `{kind}` of a person has {bytes} bytes of text; take 1 to {AUTHOR_BYTES_MAX} without control characters or spaces at the ends"
    )]
    Value {
        /// Of which kind.
        kind: String,
        /// How long it is.
        bytes: usize,
    },
    /// It is no address.
    #[error("`email` is {0:?}, which is no address; write it as ann@example.org")]
    Email(String),
}

impl Attribute {
    /// An attribute of this kind.
    ///
    /// # Errors
    /// When kind or value does not fit.
    pub fn new(kind: &str, value: &str) -> Result<Self, AttributeError> {
        if !is_kind(kind) {
            return Err(AttributeError::Kind(shown(kind)));
        }
        if !is_line(value) {
            return Err(AttributeError::Value { kind: kind.to_owned(), bytes: value.len() });
        }
        if kind == EMAIL && !is_address(value) {
            return Err(AttributeError::Email(value.to_owned()));
        }
        Ok(Self { kind: kind.to_owned(), value: value.to_owned() })
    }

    /// What `KIND:VALUE` says.
    ///
    /// # Errors
    /// When there is no kind, or kind or value does not fit.
    pub fn parse(text: &str) -> Result<Self, AttributeError> {
        let (kind, value) = text.split_once(':').ok_or_else(|| AttributeError::NoKind(shown(text)))?;
        Self::new(kind, value)
    }

    /// What an author is known by: the address, else the whole of it.
    #[must_use]
    pub fn of(author: &Author) -> Self {
        let (kind, value) = match &author.email {
            Some(email) => (EMAIL, email),
            None => (AUTHOR, &author.text),
        };
        Self { kind: kind.to_owned(), value: value.clone() }
    }

    /// What it is: `email`, `irc`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// As it was given.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What it is found by. Those of [`AUTHOR_KINDS`] are all alike: a change does not say which system its author is from, and an address is
    /// the same however its name is written.
    #[must_use]
    pub fn key(&self) -> AttributeKey {
        if AUTHOR_KINDS.contains(&self.kind.as_str()) {
            let key = Author::parse(&self.value).map_or_else(|| self.value.clone(), |author| author.key());
            return AttributeKey { space: AUTHOR.to_owned(), value: key };
        }
        AttributeKey { space: self.kind.clone(), value: self.value.clone() }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

/// What attributes that are the same have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AttributeKey {
    /// [`AUTHOR`] for all of [`AUTHOR_KINDS`], else the kind.
    pub space: String,
    /// As it is compared.
    pub value: String,
}

/// Whom somebody means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PersonRef {
    /// By id.
    Id(PersonId),
    /// By an attribute of this kind.
    Attribute(Attribute),
    /// By any attribute.
    Any(String),
}

impl PersonRef {
    /// Digits are an id, `KIND:VALUE` is an attribute, all else is the value of one.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if let Ok(id) = text.parse() {
            return Self::Id(PersonId(id));
        }
        match Attribute::parse(text) {
            Ok(attribute) => Self::Attribute(attribute),
            Err(_) => Self::Any(text.to_owned()),
        }
    }
}

/// The author of a change, understood by its form: a change does not say which version control system it is from.
///
/// | system | form |
/// | --- | --- |
/// | git | `Full Name <Email>` |
/// | Subversion, CVS | `Username` |
/// | Mercurial, Bazaar | free, most often as git's |
/// | Darcs | `Email`, maybe as `Full Name <Email>` or `Email (Full Name)` |
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Author {
    text: String,
    /// Full name.
    pub name: Option<String>,
    /// Address of mail, as it was written.
    pub email: Option<String>,
    /// Name of an account in a version control system.
    pub username: Option<String>,
}

impl Author {
    /// Understands an author; `None` for one that names nobody: empty, of several lines, or longer than [`AUTHOR_BYTES_MAX`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !is_line(text) {
            return None;
        }
        let author = |name: Option<&str>, email: Option<&str>, username: Option<&str>| Self {
            text: text.to_owned(),
            name: name.map(unquoted).filter(|name| !name.is_empty()).map(ToOwned::to_owned),
            email: email.map(ToOwned::to_owned),
            username: username.map(ToOwned::to_owned),
        };
        if is_address(text) {
            return Some(author(None, Some(text), None));
        }
        if let Some((name, email)) = enclosed(text, '<', '>') {
            if is_address(email) {
                return Some(author(Some(name), Some(email), None));
            }
            // Git writes `ann <>` for whoever has given no address.
            if email.is_empty() {
                return Self::parse(name);
            }
        }
        if let Some((email, name)) = enclosed(text, '(', ')')
            && is_address(email)
        {
            return Some(author(Some(name), Some(email), None));
        }
        if text.contains(char::is_whitespace) {
            return Some(author(Some(text), None, None));
        }
        Some(author(None, None, Some(text)))
    }

    /// What to call them: full name, else user name, else address.
    #[must_use]
    pub fn called(&self) -> &str {
        self.name.as_ref().or(self.username.as_ref()).or(self.email.as_ref()).unwrap_or(&self.text)
    }

    /// What two authors who are the same person have in common: the address in small letters, which is the same however the name is written;
    /// without one the whole text.
    #[must_use]
    pub fn key(&self) -> String {
        self.email.as_ref().map_or_else(|| self.text.clone(), |email| email.to_lowercase())
    }
}

/// What both of two authors are the same by; for one that names nobody the text itself.
#[must_use]
pub fn author_key(text: &str) -> String {
    Author::parse(text).map_or_else(|| text.to_owned(), |author| author.key())
}

/// Whom a build interests: the blamelist, then those who were named beside it and are not in it, each once.
#[must_use]
pub fn interested(blamelist: &[String], named: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    blamelist.iter().chain(named).filter(|text| seen.insert(author_key(text))).cloned().collect()
}

/// `before<inside>` with a text that ends there; both without spaces around them.
fn enclosed(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    let (before, inside) = text.strip_suffix(close)?.rsplit_once(open)?;
    Some((before.trim(), inside.trim()))
}

fn unquoted(name: &str) -> &str {
    let inside = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    inside.unwrap_or(name).trim()
}

/// Whether it looks like one; whether mail arrives there nobody can see.
fn is_address(text: &str) -> bool {
    let is_odd = |letter: char| letter.is_whitespace() || "<>()".contains(letter);
    let halves = text.rsplit_once('@');
    halves.is_some_and(|(before, after)| !before.is_empty() && !after.is_empty()) && !text.contains(is_odd)
}

fn is_kind(kind: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=ATTRIBUTE_KIND_BYTES_MAX).contains(&kind.len())
        && kind.starts_with(|letter: char| letter.is_ascii_lowercase())
        && kind.bytes().all(fits)
}

/// Whether a text can name a person: one line of a length that people can read.
#[must_use]
pub fn is_line(text: &str) -> bool {
    (1..=AUTHOR_BYTES_MAX).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control)
}

/// The beginning of what somebody typed.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests;
