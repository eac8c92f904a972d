//! What is wrong in a configuration, and where.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity, SourceCode};

use super::limits;

/// Bytes of the configuration's text.
pub(crate) type Span = Range<usize>;

/// One error or warning, before it is bound to the text that it points into.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    severity: Severity,
    message: String,
    place: Span,
    label: String,
    also: Option<(Span, String)>,
    mend: Option<String>,
}

impl Problem {
    /// An error at a place; `message` names the thing and the value.
    pub(crate) fn error(place: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            place,
            label: "here".to_owned(),
            also: None,
            mend: None,
        }
    }

    /// A warning at a place.
    pub(crate) fn warning(place: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// What is written beside the caret.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// A second place that belongs to it.
    pub(crate) fn also(mut self, place: Span, label: impl Into<String>) -> Self {
        self.also = Some((place, label.into()));
        self
    }

    /// What to do.
    pub(crate) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }
}

/// One error or warning of a configuration file.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    problem: Problem,
    source: Arc<Source>,
}

/// The text that findings point into.
#[derive(Debug)]
pub(crate) struct Source {
    named: NamedSource<String>,
}

impl Source {
    /// The text of the file at this path.
    pub(crate) fn new(path: &Path, text: String) -> Self {
        Self { named: NamedSource::new(path.display().to_string(), text) }
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        self.named.inner()
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    fn position(&self, byte: usize) -> (usize, usize) {
        let text = self.text();
        let mut byte = byte.min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        let before = &text[..byte];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl Finding {
    /// Binds a problem to its text.
    pub(crate) fn new(problem: Problem, source: Arc<Source>) -> Self {
        Self { problem, source }
    }

    /// Line of its place, from 1.
    pub(crate) fn line(&self) -> usize {
        self.source.position(self.problem.place.start).0
    }

    /// Column of its place in characters, from 1.
    pub(crate) fn column(&self) -> usize {
        self.source.position(self.problem.place.start).1
    }

    /// Whether it is a warning and no error.
    pub(crate) fn is_warning(&self) -> bool {
        self.problem.severity != Severity::Error
    }

    /// What is wrong, without place and mend.
    pub(crate) fn message(&self) -> &str {
        &self.problem.message
    }

    /// What to do about it.
    pub(crate) fn mend(&self) -> Option<&str> {
        self.problem.mend.as_deref()
    }

    /// With the source lines and carets, for a terminal.
    pub(crate) fn render(&self, colour: bool) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let mut text = String::new();
        let handler = GraphicalReportHandler::new_themed(theme).with_width(limits::TERMINAL_COLUMNS);
        match handler.render_report(&mut text, &Headline(self)) {
            Ok(()) => text,
            Err(_) => format!("{self}\n"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.source.named.name();
        write!(f, "{name}:{}:{}: {}", self.line(), self.column(), self.message())?;
        if let Some((place, label)) = &self.problem.also {
            write!(f, " ({label}: line {})", self.source.position(place.start).0)?;
        }
        match self.mend() {
            Some(mend) => write!(f, "; {mend}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Finding {}

/// miette prints the message of the error itself above the source; place and mend have lines of their own there.
struct Headline<'a>(&'a Finding);

impl fmt::Debug for Headline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Headline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.problem.message)
    }
}

impl std::error::Error for Headline<'_> {}

impl Diagnostic for Headline<'_> {
    fn severity(&self) -> Option<Severity> {
        Some(self.0.problem.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.problem.mend.as_ref().map(|mend| Box::new(mend) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.0.source.named)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let problem = &self.0.problem;
        let label = |(place, label): (&Span, &String)| LabeledSpan::new_with_span(Some(label.clone()), place.clone());
        let mut first = label((&problem.place, &problem.label));
        if let Some((place, text)) = &problem.also {
            // The primary label decides which line and column the header names.
            first = LabeledSpan::new_primary_with_span(Some(problem.label.clone()), problem.place.clone());
            return Some(Box::new([first, label((place, text))].into_iter()));
        }
        Some(Box::new(std::iter::once(first)))
    }
}

/// Gathers what is found, so that one run shows all of it.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    problems: RefCell<Vec<Problem>>,
}

impl Sink {
    /// Takes a problem.
    pub(crate) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Errors and warnings, each in the order of the text.
    pub(crate) fn into_findings(self, source: &Arc<Source>) -> (Vec<Finding>, Vec<Finding>) {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.place.start);
        problems
            .into_iter()
            .map(|problem| Finding::new(problem, Arc::clone(source)))
            .partition(|finding| !finding.is_warning())
    }
}

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// There is no such file.
    #[error("there is no configuration at {path}; write one with `stampmill init`, or name another with --config")]
    Missing {
        /// Where it was looked for.
        path: String,
    },
    /// The file is there and can't be read.
    #[error("the configuration {path} can't be read: {source}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no configuration.
    #[error("the configuration {path} has {bytes} bytes, and at most {limit} are read")]
    TooLarge {
        /// Which file.
        path: String,
        /// Its size.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The pins of plugins can't be read or written.
    #[error(transparent)]
    Lock(#[from] super::lock::LockError),
    /// The file says something that can't be.
    #[error("{}", lines(.0))]
    Wrong(Vec<Finding>),
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl ConfigError {
    /// With source lines and carets, for a terminal.
    pub(crate) fn render(&self, colour: bool) -> String {
        match self {
            Self::Wrong(findings) => {
                let shown = findings.iter().take(limits::FINDINGS_SHOWN);
                let mut text: String = shown.map(|finding| finding.render(colour)).collect();
                if let Some(more) = findings.len().checked_sub(limits::FINDINGS_SHOWN).filter(|more| *more > 0) {
                    text.push_str(&format!("… and {more} more\n"));
                }
                text
            }
            other => format!("error: {other}\n"),
        }
    }
}
