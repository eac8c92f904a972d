//! Reads tables of the configuration key by key. Every reader knows which keys it was asked for, so that the others are errors
//! that name the nearest one; what is wrong is reported and left out, so that one run finds more than one error.

use std::cell::RefCell;

use stampmill_model::Milliseconds;
use toml::de::{DeTable, DeValue};

use super::finding::{Problem, Sink, Span};
use super::nearest::{did_you_mean, quoted};
use super::units;
use super::value::ConfigValue;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    /// The value.
    pub(crate) value: T,
    /// Its place.
    pub(crate) span: Span,
}

impl<T> At<T> {
    /// The same place with another value.
    pub(crate) fn with<U>(&self, value: U) -> At<U> {
        At { value, span: self.span.clone() }
    }
}

/// A name of the operator's choice with a list of texts.
pub(crate) type NamedTexts = (At<String>, At<Vec<At<String>>>);

type Entry<'a> = (Span, &'a DeValue<'a>, Span);

/// One table of the file.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    /// What it describes, such as "scheduler `quick`".
    pub(crate) what: String,
    /// Its header, or the braces of an inline table.
    pub(crate) span: Span,
    entries: &'a DeTable<'a>,
    known: RefCell<Vec<&'static str>>,
    sink: &'a Sink,
}

/// The word for a value's type.
pub(crate) fn type_word(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

impl<'a> Table<'a> {
    /// The whole file, or a table found by other means.
    pub(crate) fn new(what: String, span: Span, entries: &'a DeTable<'a>, sink: &'a Sink) -> Self {
        Self { what, span, entries, known: RefCell::default(), sink }
    }

    /// Where problems go.
    pub(crate) fn sink(&self) -> &'a Sink {
        self.sink
    }

    fn entry(&self, key: &'static str) -> Option<Entry<'a>> {
        self.known.borrow_mut().push(key);
        let (key, value) = self.entries.get_key_value(key)?;
        Some((key.span(), value.get_ref(), value.span()))
    }

    /// Where a key stands, if it is there.
    pub(crate) fn key_span(&self, key: &str) -> Option<Span> {
        self.entries.get_key_value(key).map(|(key, _)| key.span())
    }

    fn wrong_type(&self, key: &str, (_, value, span): &Entry<'_>, expected: &str, mend: Option<String>) {
        let found = type_word(value);
        let mut problem =
            Problem::error(span.clone(), format!("`{key}` of {} is {found}, and {expected} is expected", self.what))
                .label(format!("{expected} is expected"));
        if let Some(mend) = mend {
            problem = problem.mend(mend);
        }
        self.sink.report(problem);
    }

    /// A text.
    pub(crate) fn text(&self, key: &'static str) -> Option<At<String>> {
        let entry = self.entry(key)?;
        match entry.1 {
            DeValue::String(text) => Some(At { value: text.clone().into_owned(), span: entry.2 }),
            DeValue::Integer(number) => {
                self.wrong_type(key, &entry, "text", Some(format!("write `{key} = \"{number}\"`")));
                None
            }
            _ => {
                self.wrong_type(key, &entry, "text", None);
                None
            }
        }
    }

    /// A text that must be there; `example` is the line to add.
    pub(crate) fn required_text(&self, key: &'static str, example: &str) -> Option<At<String>> {
        let found = self.text(key);
        self.require(key, example);
        found
    }

    /// Reports a key that is not there at all.
    pub(crate) fn require(&self, key: &'static str, example: &str) {
        if self.entries.get(key).is_none() {
            let problem = Problem::error(self.span.clone(), format!("{} has no `{key}`", self.what));
            self.sink.report(problem.label(format!("`{key}` is missing")).mend(format!("add `{example}`")));
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, key: &'static str) -> Option<At<bool>> {
        let entry = self.entry(key)?;
        if let DeValue::Boolean(value) = entry.1 {
            return Some(At { value: *value, span: entry.2 });
        }
        let mend = match entry.1 {
            DeValue::String(text) if ["true", "false"].contains(&text.as_ref()) => {
                Some(format!("write `{key} = {text}` without quotes"))
            }
            _ => None,
        };
        self.wrong_type(key, &entry, "true or false", mend);
        None
    }

    /// A whole number between two bounds.
    pub(crate) fn number(&self, key: &'static str, least: i64, most: i64) -> Option<At<i64>> {
        let entry = self.entry(key)?;
        let DeValue::Integer(number) = entry.1 else {
            self.wrong_type(key, &entry, "a whole number", None);
            return None;
        };
        match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) if (least..=most).contains(&value) => Some(At { value, span: entry.2 }),
            _ => {
                let message =
                    format!("`{key}` of {} is {number}, and a number from {least} to {most} is expected", self.what);
                self.sink.report(Problem::error(entry.2, message).label("out of range"));
                None
            }
        }
    }

    /// A length of time, at least as long as `least`.
    pub(crate) fn duration(&self, key: &'static str, least: Milliseconds) -> Option<At<Milliseconds>> {
        let entry = self.entry(key)?;
        let text = match entry.1 {
            DeValue::String(text) => text,
            DeValue::Integer(number) => {
                let mend = format!("write the unit: `{key} = \"{number}s\"`, or ms, m, h, d");
                self.wrong_type(key, &entry, "a length of time", Some(mend));
                return None;
            }
            _ => {
                self.wrong_type(key, &entry, "a length of time such as \"30s\"", None);
                return None;
            }
        };
        let at = At { value: text.as_ref(), span: entry.2 };
        parse_duration_at(key, &self.what, &at, least, self.sink).map(|length| at.with(length))
    }

    /// A size in bytes.
    pub(crate) fn bytes(&self, key: &'static str, most: u64) -> Option<At<u64>> {
        let entry = self.entry(key)?;
        let bytes = match entry.1 {
            DeValue::String(text) => units::parse_bytes(text),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        if let Some(value) = bytes.filter(|bytes| (1..=most).contains(bytes)) {
            return Some(At { value, span: entry.2 });
        }
        let message = format!("`{key}` of {} is no size between 1 byte and {most} bytes", self.what);
        self.sink
            .report(Problem::error(entry.2, message).mend(format!("write a number with a unit: `{key} = \"10MiB\"`")));
        None
    }

    /// A list of texts; `None` when the key is missing.
    pub(crate) fn texts(&self, key: &'static str) -> Option<At<Vec<At<String>>>> {
        let entry = self.entry(key)?;
        self.texts_of(key, &entry)
    }

    /// A table of lists of texts, by names of the operator's choice, in the order of the file.
    pub(crate) fn named_texts(&self, key: &'static str, mend: &str) -> Vec<NamedTexts> {
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let DeValue::Table(entries) = entry.1 else {
            self.wrong_type(key, &entry, "a table", Some(format!("write `{mend}`")));
            return Vec::new();
        };
        let table = Table::new(format!("`{key}` of {}", self.what), entry.2, entries, self.sink);
        let texts = |(name, entry): (At<String>, Entry<'a>)| {
            let texts = table.texts_of(&name.value, &entry)?;
            Some((name, texts))
        };
        table.in_order().into_iter().filter_map(texts).collect()
    }

    fn texts_of(&self, key: &str, entry: &Entry<'_>) -> Option<At<Vec<At<String>>>> {
        let DeValue::Array(array) = entry.1 else {
            let mend = match entry.1 {
                DeValue::String(text) => Some(format!("write `{key} = [{:?}]`", text.as_ref())),
                _ => None,
            };
            self.wrong_type(key, entry, "a list of texts", mend);
            return None;
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                DeValue::String(text) => texts.push(At { value: text.clone().into_owned(), span: item.span() }),
                other => self.wrong_type(key, &(entry.0.clone(), other, item.span()), "a list of texts", None),
            }
        }
        Some(At { value: texts, span: entry.2.clone() })
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, key: &'static str, options: &[(&'static str, T)]) -> Option<At<T>> {
        let text = self.text(key)?;
        self.chosen(key, &text, options)
    }

    fn chosen<T: Copy>(&self, key: &str, text: &At<String>, options: &[(&'static str, T)]) -> Option<At<T>> {
        if let Some((_, value)) = options.iter().find(|(word, _)| *word == text.value) {
            return Some(text.with(*value));
        }
        let words: Vec<&str> = options.iter().map(|(word, _)| *word).collect();
        let message =
            format!("`{key}` of {} is `{}`, and one of {} is expected", self.what, text.value, quoted(&words));
        let mend = did_you_mean(&text.value, "words", words);
        self.sink.report(Problem::error(text.span.clone(), message).label("not known").mend(mend));
        None
    }

    /// Several of a few words.
    pub(crate) fn choices<T: Copy>(&self, key: &'static str, options: &[(&'static str, T)]) -> Option<At<Vec<T>>> {
        let texts = self.texts(key)?;
        let chosen = texts.value.iter().filter_map(|text| self.chosen(key, text, options)).map(|at| at.value);
        Some(At { value: chosen.collect(), span: texts.span.clone() })
    }

    /// A table below this one.
    pub(crate) fn table(&self, key: &'static str, what: impl Into<String>) -> Option<Table<'a>> {
        let entry = self.entry(key)?;
        match entry.1 {
            DeValue::Table(entries) => Some(Table::new(what.into(), entry.2, entries, self.sink)),
            DeValue::Array(_) => {
                self.wrong_type(key, &entry, "a table", Some(format!("write `[{key}]` with one pair of brackets")));
                None
            }
            _ => {
                self.wrong_type(key, &entry, "a table", None);
                None
            }
        }
    }

    /// The tables of a list, as `[[key]]` writes them.
    pub(crate) fn tables(&self, key: &'static str, what: &str) -> Vec<Table<'a>> {
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let DeValue::Array(array) = entry.1 else {
            let mend = match entry.1 {
                DeValue::Table(_) => Some(format!("write `[[{key}]]` with two pairs of brackets")),
                _ => None,
            };
            self.wrong_type(key, &entry, "a list of tables", mend);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                DeValue::Table(entries) => tables.push(Table::new(what.to_owned(), item.span(), entries, self.sink)),
                other => self.wrong_type(key, &(entry.0.clone(), other, item.span()), "a list of tables", None),
            }
        }
        tables
    }

    /// A table whose keys are names of the operator's choice, in the order of the file.
    pub(crate) fn named_tables(&self, key: &'static str, what: &str) -> Vec<(At<String>, Table<'a>)> {
        let Some(table) = self.table(key, format!("`{key}`")) else { return Vec::new() };
        let mut named = Vec::new();
        for (name, value) in table.in_order() {
            let table_what = format!("{what} `{}`", name.value);
            match value.1 {
                DeValue::Table(entries) => {
                    named.push((name, Table::new(table_what, value.2, entries, self.sink)));
                }
                _ => table.wrong_type(&name.value, &value, "a table", None),
            }
        }
        named
    }

    /// All entries in the order of the file.
    fn in_order(&self) -> Vec<(At<String>, Entry<'a>)> {
        let entry = |(key, value): (&'a toml::Spanned<_>, &'a toml::Spanned<DeValue<'a>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            (At { value: name.clone().into_owned(), span: key.span() }, (key.span(), value.get_ref(), value.span()))
        };
        let mut entries: Vec<_> = self.entries.iter().map(entry).collect();
        entries.sort_by_key(|(name, _)| name.span.start);
        entries
    }

    /// Any value, as JSON.
    pub(crate) fn json(&self, key: &'static str) -> Option<ConfigValue> {
        let (_, value, span) = self.entry(key)?;
        Some(ConfigValue::read(value, &span, self.sink))
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self) {
        let known = self.known.into_inner();
        for (key, _) in self.entries {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let problem = Problem::error(key.span(), format!("unknown key `{name}` in {}", self.what));
            let mend = did_you_mean(name, "keys here", known.iter().copied());
            self.sink.report(problem.label("not known here").mend(mend));
        }
    }
}

/// The length of time that a text names; reports one that is none or too short.
pub(crate) fn parse_duration_at(
    key: &str,
    what: &str,
    text: &At<&str>,
    least: Milliseconds,
    sink: &Sink,
) -> Option<Milliseconds> {
    match units::parse_duration(text.value) {
        Some(length) if length >= least => Some(length),
        Some(_) => {
            let least = units::show_duration(least);
            let message = format!("`{key}` of {what} is {}, and at least {least} is expected", text.value);
            sink.report(
                Problem::error(text.span.clone(), message)
                    .label("too short")
                    .mend(format!("write `{key} = \"{least}\"` or more")),
            );
            None
        }
        None => {
            let message = format!("`{key}` of {what} is `{}`, which is no length of time", text.value);
            let mend = format!("write numbers with the units ms, s, m, h, d: `{key} = \"30s\"`");
            sink.report(Problem::error(text.span.clone(), message).label("no length of time").mend(mend));
            None
        }
    }
}
