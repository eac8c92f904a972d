//! The process that answers with Buildbot's functions.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// What the answers are of; another Buildbot may answer otherwise.
const VERSION: &str = "4.3.0";

/// A Python that has Buildbot.
pub struct Oracle {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// Starts it; `None` where Buildbot is not installed, which standard error then says.
    ///
    /// # Panics
    /// As [`Self::start_with_zones`].
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with_zones(Path::new("/usr/share/zoneinfo"))
    }

    /// Starts it with the time zones of this directory; `None` where Buildbot is not installed, which standard error then says.
    ///
    /// # Panics
    /// When Buildbot is there and of another version, or when `STAMPMILL_BUILDBOT` names what has none.
    #[must_use]
    pub fn start_with_zones(zones: &Path) -> Option<Self> {
        let named = std::env::var_os("STAMPMILL_BUILDBOT").map(PathBuf::from);
        let python = named.clone().unwrap_or_else(in_target);
        if named.is_none() && !python.exists() {
            eprintln!("skipped: Buildbot {VERSION} is not installed in {}; `.ci/run` installs it", python.display());
            return None;
        }
        let mut child = Command::new(&python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle.py"))
            // The first for the C library, the second for Python's own.
            .env("TZDIR", zones)
            .env("PYTHONTZPATH", zones)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", python.display()));
        let questions = child.stdin.take().expect("standard input is piped");
        let answers = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let mut oracle = Self { child, questions, answers };
        assert_eq!(oracle.line(), VERSION, "{} has another Buildbot", python.display());
        Some(oracle)
    }

    /// What it says of each case, in order.
    ///
    /// # Panics
    /// When it fails; standard error says why.
    pub fn ask(&mut self, kind: &str, cases: &[Value]) -> Vec<Value> {
        writeln!(self.questions, "{}", json!([kind, cases])).expect("it listens");
        let Value::Array(answers) = self.line() else { panic!("it answers with a list") };
        assert_eq!(answers.len(), cases.len(), "an answer for each case");
        answers
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it speaks UTF-8");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the oracle fell silent: {error}: {line:?}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `.ci/run` has installed it.
fn in_target() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its program");
    // `target/debug/deps/test`.
    let target = test.ancestors().nth(3).unwrap_or_else(|| Path::new("target"));
    target.join("buildbot/bin/python")
}
