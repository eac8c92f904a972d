//! Expressions in CEL: compiled with limits, evaluated over [`Facts`], never a panic.

mod bounds;
mod convert;

use std::thread;

use cel::{Context, Program};
use serde_json::Value;

use crate::Facts;
use crate::facts::ROOTS;
use crate::limits::{
    COMPREHENSION_NESTING_MAX, COMPREHENSIONS_MAX, EVALUATION_STACK_BYTES, EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX,
    SHOWN_CHARACTERS_MAX,
};

/// Functions and operators that an expression may use, beside the macros: those of CEL's standard library that need no clock.
const FUNCTIONS: [&str; 34] = [
    "_?_:_",
    "_&&_",
    "_||_",
    "!_",
    "_-_",
    "_+_",
    "_*_",
    "_/_",
    "_%_",
    "_==_",
    "_!=_",
    "_>=_",
    "_<=_",
    "_>_",
    "_<_",
    "-_",
    "_[_]",
    "@in",
    "@not_strictly_false",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bytes",
    "bool",
    "type",
    "dyn",
    "has",
    "exists",
];

/// What is wrong with an expression.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expression `{expression}`{}: {why}", .column.map(|column| format!(" at column {column}")).unwrap_or_default())]
pub struct ExpressionError {
    /// The expression, cut to a readable length.
    pub expression: String,
    /// Where in the expression, counted in characters from 1, if that is known.
    pub column: Option<usize>,
    /// What is wrong, and the mend where there is one.
    pub why: String,
}

/// What a property that is not set stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// It is `null`, so that a condition can compare it; `has(props.x)` still says that it is not there.
    IsNull,
    /// Naming it is an error.
    IsError,
}

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    text: String,
    program: Program,
}

/// Checks an expression without evaluating it.
///
/// # Errors
/// When it is too long or too deep, is not CEL, or uses a name or function that does not exist.
pub fn check_expression(text: &str) -> Result<(), ExpressionError> {
    Expression::compile(text).map(|_| ())
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// See [`check_expression`].
    pub fn compile(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > EXPRESSION_BYTES_MAX {
            let why = format!("has {} bytes, the most is {EXPRESSION_BYTES_MAX}", text.len());
            return Err(error(text, None, why));
        }
        if text.trim().is_empty() {
            return Err(error(text, None, "is empty".to_owned()));
        }
        let program = on_own_stack(|| Program::compile(text))
            .map_err(|why| error(text, None, why))?
            .map_err(|errors| syntax(text, &errors))?;
        let size = bounds::measure(program.expression());
        let refuse = |why: String| Err(error(text, None, why));
        if size.depth > EXPRESSION_DEPTH_MAX {
            return refuse(format!("nests {} deep, the most is {EXPRESSION_DEPTH_MAX}", size.depth));
        }
        if size.comprehensions > COMPREHENSIONS_MAX {
            return refuse(format!(
                "has {} of map, filter, exists, all and exists_one, the most is {COMPREHENSIONS_MAX}",
                size.comprehensions
            ));
        }
        if size.nesting > COMPREHENSION_NESTING_MAX {
            return refuse(format!(
                "has map, filter, exists, all or exists_one {} deep in each other, the most is {COMPREHENSION_NESTING_MAX}",
                size.nesting
            ));
        }
        check_names(text, &program)?;
        let text = text.to_owned();
        Ok(Self { text, program })
    }

    /// Its value.
    ///
    /// # Errors
    /// When a value has the wrong type for what is done with it, or a name is not there.
    pub fn evaluate(&self, facts: &Facts, missing: Missing) -> Result<Value, ExpressionError> {
        if let Some(path) = bounds::plain_path(self.program.expression())
            && let Some(value) = follow(facts, &path)
        {
            return Ok(value.clone());
        }
        let mut values = Vec::new();
        for root in ROOTS.into_iter().filter(|root| self.program.references().has_variable(root)) {
            let value = facts.root(root).unwrap_or(&Value::Null);
            let absent = match missing {
                Missing::IsNull if root == "props" => bounds::untested_properties(self.program.expression()),
                Missing::IsNull | Missing::IsError => Vec::new(),
            };
            values.push((root, convert::to_cel(value, &absent)));
        }
        on_own_stack(|| {
            let mut context = Context::default();
            for (root, value) in values {
                context.add_variable_from_value(root, value);
            }
            let result = self.program.execute(&context).map_err(|trouble| convert::explain(&trouble))?;
            convert::to_json(&result)
        })
        .and_then(|result| result)
        .map_err(|why| error(&self.text, None, why))
    }

    /// Its value as a condition: `true`, `false`, or `null` for false.
    ///
    /// # Errors
    /// As [`Self::evaluate`], and when the value is something else.
    pub fn holds(&self, facts: &Facts) -> Result<bool, ExpressionError> {
        match self.evaluate(facts, Missing::IsNull)? {
            Value::Bool(holds) => Ok(holds),
            Value::Null => Ok(false),
            other => {
                let why = format!("is {}, a condition must be true or false", convert::describe(&other));
                Err(error(&self.text, None, why))
            }
        }
    }
}

/// Runs the parser or the interpreter, which recurse with frames of up to 250 KiB in a build without optimisation, on a stack that is deep
/// enough for the deepest expression; a panic in them becomes an error.
fn on_own_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    let thread = thread::Builder::new().stack_size(EVALUATION_STACK_BYTES);
    thread::scope(|scope| {
        let running = thread
            .spawn_scoped(scope, work)
            .map_err(|trouble| format!("cannot be evaluated, there is no thread for it: {trouble}"))?;
        running.join().map_err(|_| "cannot be evaluated: the interpreter panicked".to_owned())
    })
}

fn check_names(text: &str, program: &Program) -> Result<(), ExpressionError> {
    let references = program.references();
    let bound = bounds::bound_names(program.expression());
    // They come in no order; the first in the text is told of, each time.
    let place = |name: &&str| (text.find(*name), (*name).to_owned());
    let mut variables = references.variables();
    variables.retain(|name| !ROOTS.contains(name) && !bound.contains(*name) && !name.starts_with('@'));
    if let Some(name) = variables.into_iter().min_by_key(place) {
        let why = format!("unknown name `{name}`; there are {}", ROOTS.join(", "));
        return Err(error(text, position(text, name), why));
    }
    let mut functions = references.functions();
    functions.retain(|name| !FUNCTIONS.contains(name) && !name.starts_with('@'));
    match functions.into_iter().min_by_key(place) {
        Some(name) => Err(error(text, position(text, name), format!("unknown function `{name}`"))),
        None => Ok(()),
    }
}

fn follow<'a>(facts: &'a Facts, path: &[&str]) -> Option<&'a Value> {
    let (root, rest) = path.split_first()?;
    rest.iter().try_fold(facts.root(root)?, |value, key| value.get(key))
}

fn position(text: &str, name: &str) -> Option<usize> {
    text.find(name).map(|byte| text[..byte].chars().count() + 1)
}

fn syntax(text: &str, errors: &cel::ParseErrors) -> ExpressionError {
    let first = errors.errors.first();
    let column = first.and_then(|error| usize::try_from(error.pos.1).ok()).filter(|column| *column > 0);
    let why = first.map_or_else(|| "cannot be parsed".to_owned(), |error| error.msg.trim().to_owned());
    error(text, column, why)
}

fn error(text: &str, column: Option<usize>, why: String) -> ExpressionError {
    let mut expression: String = text.trim().chars().take(SHOWN_CHARACTERS_MAX).collect();
    if expression.len() < text.trim().len() {
        expression.push('…');
    }
    ExpressionError { expression, column, why }
}
