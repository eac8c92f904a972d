//! Keeps expressions out of program text: what comes from a repository or a person is data, and must reach a shell as an environment variable.

use serde_json::Value;

use crate::template::{TemplateError, TemplateErrorKind, at, push};

const SHELLS: [&str; 9] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "mksh", "fish", "busybox"];

/// Interpreters and the letters of their options that take program text.
const INTERPRETERS: [(&str, &[char]); 11] = [
    ("python", &['c']),
    ("pypy", &['c']),
    ("perl", &['e', 'E']),
    ("ruby", &['e']),
    ("node", &['e', 'p']),
    ("nodejs", &['e', 'p']),
    ("php", &['r']),
    ("lua", &['e']),
    ("Rscript", &['e']),
    ("deno", &['e', 'p']),
    ("bun", &['e', 'p']),
];

/// Refuses `${{ }}` in a `script` text and in the argument after `-c` (or what means the same) of a known shell or interpreter.
pub(crate) fn check(config: &Value) -> Result<(), TemplateError> {
    check_value(config, None, &mut String::new())
}

fn check_value(value: &Value, key: Option<&str>, pointer: &mut String) -> Result<(), TemplateError> {
    let length = pointer.len();
    match value {
        Value::String(text) if key == Some("script") => refuse(text, "a `script`", pointer),
        Value::Array(items) => {
            if let Some((index, place)) = code_argument(items)
                && let Value::String(text) = &items[index]
            {
                push(pointer, &index.to_string());
                refuse(text, &place, pointer)?;
                pointer.truncate(length);
            }
            for (index, item) in items.iter().enumerate() {
                push(pointer, &index.to_string());
                check_value(item, key, pointer)?;
                pointer.truncate(length);
            }
            Ok(())
        }
        Value::Object(fields) => fields.iter().try_for_each(|(key, field)| {
            push(pointer, key);
            let checked = check_value(field, Some(key), pointer);
            pointer.truncate(length);
            checked
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn refuse(text: &str, place: &str, pointer: &str) -> Result<(), TemplateError> {
    let Some(offset) = text.find("${{") else {
        return Ok(());
    };
    let template = match text[offset..].find("}}") {
        Some(end) => &text[offset..offset + end + 2],
        None => "${{ … }}",
    };
    let place = place.to_owned();
    let template = template.to_owned();
    Err(at(pointer, offset, TemplateErrorKind::Code { place, template }))
}

/// The first argument of a command line that is program text with an expression in it, and how to call it. The program may stand behind
/// another one, as in `env sh -c …` or `nice bash -lc …`; a command whose program is itself an expression may be a shell.
fn code_argument(items: &[Value]) -> Option<(usize, String)> {
    let mut program: Option<Program<'_>> = None;
    let mut expected: Option<String> = None;
    for (index, item) in items.iter().enumerate() {
        let Value::String(argument) = item else {
            expected = None;
            continue;
        };
        let template = argument.contains("${{");
        if let Some(place) = expected.take() {
            if template {
                return Some((index, place));
            }
            // A shell takes further options between `-c` and its text.
            if argument.starts_with('-') && program.as_ref().is_some_and(|running| running.shell) {
                expected = Some(place);
                continue;
            }
        }
        if let Some(found) = Program::named(argument, index == 0) {
            program = Some(found);
            continue;
        }
        let Some(running) = &program else { continue };
        if running.name.contains("python") && argument == "-m" {
            program = None;
        } else if running.takes_code(argument) {
            if template {
                return Some((index, format!("the program text of `{}`", running.name)));
            }
            expected = Some(format!("the argument after `{argument}` of `{}`", running.name));
        }
    }
    None
}

struct Program<'a> {
    name: &'a str,
    shell: bool,
    letters: &'static [char],
}

impl<'a> Program<'a> {
    fn named(argument: &'a str, first: bool) -> Option<Self> {
        let base = argument.rsplit('/').next().unwrap_or(argument);
        let base = base.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
        let (shell, letters): (bool, &'static [char]) = if first && argument.starts_with("${{") {
            (true, &['c', 'e'])
        } else if SHELLS.contains(&base) {
            (true, &['c'])
        } else {
            let (_, letters) = INTERPRETERS.iter().find(|(name, _)| *name == base)?;
            (false, letters)
        };
        Some(Self { name: argument, shell, letters })
    }

    /// Whether this option takes program text, in the next argument or attached to itself.
    fn takes_code(&self, argument: &str) -> bool {
        if let Some(long) = argument.strip_prefix("--") {
            let name = long.split_once('=').map_or(long, |(name, _)| name);
            return matches!(name, "eval" | "print" | "command" | "run");
        }
        let cluster = argument.split("${{").next().unwrap_or(argument);
        cluster.strip_prefix('-').is_some_and(|options| options.contains(self.letters))
    }
}
