//! What a force scheduler asks of people, and a job of its builders.

use std::collections::BTreeMap;

use stampmill_engine::NAMES_OF_BUILD;
use stampmill_engine::form::{Entry, Group, Parameter, ParameterKind, Pattern, SourceField};

use super::{flag, optional};
use crate::config::finding::{Problem, Span};
use crate::config::limits;
use crate::config::nearest::quoted;
use crate::config::reader::{At, Table};

/// What people may choose of a codebase.
pub(super) const SOURCE_FIELDS: [(&str, SourceField); 4] = [
    ("branch", SourceField::Branch),
    ("revision", SourceField::Revision),
    ("repository", SourceField::Repository),
    ("project", SourceField::Project),
];

/// Kinds that need a person who answers, or a page with frames.
const ASKED_OF_PEOPLE: [Word; 3] = [Word::User, Word::File, Word::Group];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    String,
    Text,
    Int,
    Bool,
    Choice,
    User,
    File,
    Group,
}

const WORDS: [(&str, Word); 8] = [
    ("string", Word::String),
    ("text", Word::Text),
    ("int", Word::Int),
    ("bool", Word::Bool),
    ("choice", Word::Choice),
    ("user", Word::User),
    ("file", Word::File),
    ("group", Word::Group),
];

/// The object whose keys the names of parameters become.
#[derive(Default)]
struct Object {
    /// Whether it is not the properties themselves but in a group with a name.
    is_inner: bool,
    /// Whether builders give the values, in the configuration.
    is_of_builders: bool,
    /// Names that are taken, and where.
    names: BTreeMap<String, Span>,
}

/// The parameters below a scheduler, in the order of the file.
pub(super) fn entries(scheduler: &Table<'_>) -> Vec<Entry> {
    read(scheduler, Object::default())
}

/// The parameters below a job, in the order of the file.
pub(super) fn parameters(job: &Table<'_>) -> Vec<Parameter> {
    let entries = read(job, Object { is_of_builders: true, ..Object::default() });
    let parameter = |entry| match entry {
        Entry::Parameter(parameter) => Some(parameter),
        // It was reported.
        Entry::Group(_) => None,
    };
    entries.into_iter().filter_map(parameter).collect()
}

fn read(scheduler: &Table<'_>, mut object: Object) -> Vec<Entry> {
    let mut count = 0;
    let entries = level(scheduler, 0, &mut object, &mut count);
    if count > limits::PARAMETERS_MAX {
        let message =
            format!("{} has {count} parameters, and at most {} are taken", scheduler.what, limits::PARAMETERS_MAX);
        scheduler.sink().report(Problem::error(scheduler.span.clone(), message).mend("ask less"));
    }
    entries
}

fn level(around: &Table<'_>, groups: usize, object: &mut Object, count: &mut usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    for mut table in around.tables("parameter", &format!("a parameter of {}", around.what)) {
        *count += 1;
        if groups > limits::PARAMETER_GROUPS_MAX {
            let message = format!("{} is in more than {} groups", table.what, limits::PARAMETER_GROUPS_MAX);
            table.sink().report(Problem::error(table.span.clone(), message).mend("nest less"));
            return entries;
        }
        entries.extend(entry(&mut table, groups, object, count));
        table.finish();
    }
    entries
}

fn entry(table: &mut Table<'_>, groups: usize, object: &mut Object, count: &mut usize) -> Option<Entry> {
    let name = table.text("name");
    if let Some(name) = &name {
        table.what = format!("parameter `{}`", name.value);
        check_name(table, name, object);
    }
    let word = table.choice("kind", &WORDS);
    table.require("kind", "kind = \"string\"");
    let label = optional(table, "label").unwrap_or_default();
    let is_named_group = name.as_ref().is_some_and(|name| !name.value.is_empty());
    // A group with a name is an object of its own; what is in one without is beside the group.
    let inner = match is_named_group {
        true => level(table, groups + 1, &mut Object { is_inner: true, ..Object::default() }, count),
        false => level(table, groups + 1, object, count),
    };
    let kinds = kinds(table);
    let required = flag(table, "required", false);
    let hide = flag(table, "hide", false);
    let default = table.json("default");
    let word = word?;
    check_keys(table, &word);
    if object.is_of_builders {
        check_for_builders(table, &word);
    }
    if word.value == Word::Group {
        if inner.is_empty() && table.key_span("parameter").is_none() {
            let problem = Problem::error(table.span.clone(), format!("{} has no parameters", table.what));
            table.sink().report(problem.mend("add `[[scheduler.parameter.parameter]]`"));
        }
        return Some(Entry::Group(Group { name: name.map(|at| at.value).unwrap_or_default(), label, entries: inner }));
    }
    table.require("name", "name = \"version\"");
    let kind = kinds.of(table, word.value);
    let default = default.and_then(|default| {
        let expected = match kind.read(&default.value) {
            Ok(Some(value)) => return Some(value),
            Ok(None) => "is empty".to_owned(),
            Err(expected) => expected,
        };
        let problem = Problem::error(default.span, format!("`default` of {} {expected}", table.what));
        table.sink().report(problem.mend("write an answer that a person could give, or remove it"));
        None
    });
    check_required(table, required, hide);
    Some(Entry::Parameter(Parameter { name: name?.value, label, kind, default, required, hide }))
}

/// What the kinds are made of.
struct Kinds {
    regex: Option<Pattern>,
    min: Option<At<i64>>,
    max: Option<At<i64>>,
    choices: Option<At<Vec<At<String>>>>,
    strict: bool,
    multiple: bool,
    size_max: Option<At<u64>>,
}

fn kinds(table: &Table<'_>) -> Kinds {
    let regex = table.text("regex").and_then(|text| match Pattern::new(&text.value) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let problem = Problem::error(text.span, format!("`regex` of {}: {error}", table.what));
            table.sink().report(problem.mend("the whole answer must match it; `v[0-9]+` takes `v12`"));
            None
        }
    });
    Kinds {
        regex,
        min: table.number("min", i64::MIN, i64::MAX),
        max: table.number("max", i64::MIN, i64::MAX),
        choices: table.texts("choices"),
        strict: flag(table, "strict", true),
        multiple: flag(table, "multiple", false),
        size_max: table.bytes("max-size", limits::PARAMETER_FILE_BYTES_MAX),
    }
}

impl Kinds {
    fn of(self, table: &Table<'_>, word: Word) -> ParameterKind {
        match word {
            Word::String | Word::Group => ParameterKind::String { regex: self.regex },
            Word::Text => ParameterKind::Text { regex: self.regex },
            Word::User => ParameterKind::User { regex: self.regex },
            Word::Bool => ParameterKind::Bool,
            Word::Int => {
                if let (Some(min), Some(max)) = (&self.min, &self.max)
                    && min.value > max.value
                {
                    let message = format!("`min` of {} is {}, and `max` is {}", table.what, min.value, max.value);
                    let problem = Problem::error(min.span.clone(), message).also(max.span.clone(), "less");
                    table.sink().report(problem.mend("no number is between them; exchange them"));
                }
                ParameterKind::Int { min: self.min.map(|at| at.value), max: self.max.map(|at| at.value) }
            }
            Word::Choice => {
                let choices = choices(table, self.choices, self.strict);
                ParameterKind::Choice { choices, strict: self.strict, multiple: self.multiple }
            }
            Word::File => {
                let size_max = self.size_max.map_or(limits::PARAMETER_FILE_BYTES_MAX, |at| at.value);
                ParameterKind::File { size_max: usize::try_from(size_max).unwrap_or(usize::MAX) }
            }
        }
    }
}

fn choices(table: &Table<'_>, choices: Option<At<Vec<At<String>>>>, strict: bool) -> Vec<String> {
    if strict {
        table.require("choices", "choices = [\"quick\", \"all\"]");
    }
    let Some(choices) = choices else { return Vec::new() };
    if (choices.value.is_empty() && strict) || choices.value.len() > limits::CHOICES_MAX {
        let message = format!("{} has {} choices", table.what, choices.value.len());
        let problem = Problem::error(choices.span, message);
        table.sink().report(problem.mend(format!("give 1 to {}", limits::CHOICES_MAX)));
    }
    let line = ParameterKind::Choice { choices: Vec::new(), strict: false, multiple: false };
    let mut taken: Vec<String> = Vec::new();
    for At { value, span } in choices.value {
        let why = match line.read(&value.as_str().into()) {
            Ok(Some(_)) if taken.contains(&value) => "is there twice",
            Ok(Some(_)) if value.trim() != value => "begins or ends with a space",
            Ok(Some(_)) => {
                taken.push(value);
                continue;
            }
            Ok(None) => "is empty",
            Err(_) => "is not one line of text",
        };
        let problem = Problem::error(span, format!("choice {value:?} of {} {why}", table.what));
        table.sink().report(problem.mend("remove it"));
    }
    taken
}

/// Names are keys of properties, and stand between dots in what people send.
fn check_name(table: &Table<'_>, name: &At<String>, object: &mut Object) {
    let At { value, span } = name;
    let is_word = value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if value.is_empty() || !is_word || value.len() > limits::NAME_CHARS_MAX {
        let problem = Problem::error(span.clone(), format!("the name {value:?} of a parameter can't be used"));
        table.sink().report(
            problem.label("not a name").mend("use letters, digits, `-` and `_`; what people read goes into `label`"),
        );
    } else if !object.is_inner && NAMES_OF_BUILD.contains(&value.as_str()) {
        let problem = Problem::error(span.clone(), format!("{} has a name that builds set themselves", table.what));
        let taken = quoted(&NAMES_OF_BUILD);
        table.sink().report(problem.label("never seen").mend(format!("take another than {taken}")));
    } else if let Some(first) = object.names.insert(value.clone(), span.clone()) {
        let problem = Problem::error(span.clone(), format!("there are two parameters `{value}`"));
        table.sink().report(problem.label("the second").also(first, "the first").mend("give one another name"));
    }
}

/// Keys that mean nothing for the kind are mistakes: they look as if they did something.
fn check_keys(table: &Table<'_>, word: &At<Word>) {
    use Word::{Bool, Choice, File, Group, Int, String, Text, User};
    let keys: [(&str, &[Word], &str); 11] = [
        ("regex", &[String, Text, User], "string`, `text` and `user"),
        ("min", &[Int], "int"),
        ("max", &[Int], "int"),
        ("choices", &[Choice], "choice"),
        ("strict", &[Choice], "choice"),
        ("multiple", &[Choice], "choice"),
        ("max-size", &[File], "file"),
        ("parameter", &[Group], "group"),
        ("default", &[String, Text, Int, Bool, Choice, User, File], "string`, `int` and the others that are no `group"),
        (
            "required",
            &[String, Text, Int, Choice, User, File],
            "string`, `int` and the others that can be empty: no `bool` or `group",
        ),
        ("hide", &[String, Text, Int, Bool, Choice, User, File], "string`, `int` and the others that are no `group"),
    ];
    let kind = WORDS.iter().find(|(_, known)| *known == word.value).map_or("", |(text, _)| text);
    for (key, kinds, names) in keys {
        let Some(place) = table.key_span(key).filter(|_| !kinds.contains(&word.value)) else { continue };
        let message = format!("`{key}` of {} means nothing for kind `{kind}`", table.what);
        let problem = Problem::error(place, message).label("without effect").also(word.span.clone(), "the kind");
        table.sink().report(problem.mend(format!("it belongs to kind `{names}`")));
    }
}

/// What only people can be asked means nothing for a builder.
fn check_for_builders(table: &Table<'_>, word: &At<Word>) {
    let fitting = "take `string`, `text`, `int`, `bool` or `choice`";
    if ASKED_OF_PEOPLE.contains(&word.value) {
        let kind = WORDS.iter().find(|(_, known)| *known == word.value).map_or("", |(text, _)| text);
        let message = format!("kind `{kind}` of {} is for force schedulers, which ask people", table.what);
        table.sink().report(Problem::error(word.span.clone(), message).label("nobody is asked").mend(fitting));
    }
    if let Some(place) = table.key_span("hide") {
        let problem = Problem::error(place, format!("`hide` of {} means nothing in a job", table.what));
        table.sink().report(problem.label("no page shows it").mend("remove it"));
    }
}

fn check_required(table: &Table<'_>, required: bool, hide: bool) {
    let Some(place) = table.key_span("required").filter(|_| required) else { return };
    if table.key_span("default").is_some() {
        let message =
            format!("`required` of {} means nothing beside `default`, which answers for whoever does not", table.what);
        table.sink().report(Problem::error(place, message).label("without effect").mend("remove one of them"));
    } else if hide {
        let message = format!("{} is required and hidden, so that nobody can force a build on a page", table.what);
        table.sink().report(Problem::error(place, message).mend("give it a `default` instead of `required`"));
    }
}
