//! Texts of a plugin's configuration that name secrets, as its schema says with `x-stampmill-names`: each must be granted.

use std::collections::BTreeSet;
use std::sync::Arc;

use jsonschema::{Keyword, ValidationError, ValidationOptions};
use serde_json::Value;
use stampmill_runtime::NAMES_KEYWORD;

use crate::config::finding::Problem;
use crate::config::raw::{Grant, Use};

/// Which right a named secret needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Named {
    /// The plugin sees it, or its programs do: `grant.secret`.
    Secret,
    /// The host attaches it to requests: `grant.credential`, or `grant.secret` for any origin.
    Credential,
}

impl Named {
    const fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Credential => "credential",
        }
    }

    /// From the word in a schema.
    pub(super) fn of(word: &str) -> Option<Self> {
        [Self::Secret, Self::Credential].into_iter().find(|named| named.word() == word)
    }

    /// What to say of a name that is not granted. `shown` is its key.
    pub(super) fn problem(self, usage: &Use, pointer: &str, shown: &str) -> Problem {
        let (what, config) = (&usage.what, &usage.config);
        let secret = config.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let message = format!("{shown} of {what} names the {} `{secret}`, which it is not granted", self.word());
        let line = match self {
            Self::Secret => format!("secret = [{secret:?}]"),
            Self::Credential => format!("credential = {{ {secret} = [{:?}] }}", origin(&config.value)),
        };
        let mend = match usage.grant.span {
            Some(_) => format!("add `{line}` to the grant"),
            None => format!("add `grant = {{ {line} }}`"),
        };
        Problem::error(config.place(pointer), message).label("not granted").mend(mend)
    }
}

/// Where a plugin most likely sends its requests.
fn origin(config: &Value) -> String {
    let url = config.get("url").and_then(Value::as_str).and_then(|url| reqwest::Url::parse(url).ok());
    url.map_or_else(|| "https://host".to_owned(), |url| url.origin().ascii_serialization())
}

/// Validation under which a name that is not granted is wrong.
pub(super) fn with_grant<'a>(options: ValidationOptions<'a>, grant: &Grant) -> ValidationOptions<'a> {
    let listed = grant.keys.iter().filter(|(key, _, _)| *key == "secret").flat_map(|(_, _, items)| items);
    let secrets: BTreeSet<String> = listed.map(|item| item.value.clone()).collect();
    let bound = grant.credentials.iter().map(|(name, _)| name.value.clone());
    let credentials: Arc<BTreeSet<String>> = Arc::new(bound.chain(secrets.iter().cloned()).collect());
    let secrets = Arc::new(secrets);
    options.with_keyword(NAMES_KEYWORD, move |_, word, _| {
        // A word of a later release says nothing here.
        let named = word.as_str().and_then(Named::of);
        let granted = match named {
            Some(Named::Secret) | None => Arc::clone(&secrets),
            Some(Named::Credential) => Arc::clone(&credentials),
        };
        Ok(Box::new(MustBeGranted { named, granted }))
    })
}

struct MustBeGranted {
    named: Option<Named>,
    granted: Arc<BTreeSet<String>>,
}

impl<'i> Keyword<'i> for MustBeGranted {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        match self.named {
            Some(named) if !self.is_valid(instance) => Err(ValidationError::custom(named.word())),
            Some(_) | None => Ok(()),
        }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        // What is no text is wrong for another reason, or is the absence of a name.
        self.named.is_none() || instance.as_str().is_none_or(|name| self.granted.contains(name))
    }
}
