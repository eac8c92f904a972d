//! The step `shell`: runs a command; its exit code is the result.
//!
//! It interprets nothing: `command` is an argument list, and `script` is handed to a shell as it stands. The output goes to the step's log
//! by the host's hand; not a byte of it comes here. Needs `grant = { command = ["make"] }`, for a script the shell's path (`/bin/sh`).
//!
//! Secrets go to the command and not through this step, which knows their names alone. `secret-environment = { TOKEN = "deploy-token" }` makes
//! one a variable. `secret-files = { KEY = "deploy-key" }` puts one into the file `/run/secrets/deploy-key`, mode 0400, which this command
//! alone sees and which is gone with it; the variable `KEY` has the path. Both need `secret = ["deploy-token", "deploy-key"]` in the grant.
//!
//! | the command | the step |
//! | --- | --- |
//! | exits with 0 | success |
//! | exits with a code of `warnings-on` | warnings |
//! | exits with a code of `decode` | what is written there |
//! | exits with another code | failure, `make -j2: exit 2` |
//! | ends by a signal | failure, `make -j2: killed by signal 11 (SEGV)` |
//! | is stopped by a limit | failure, with the limit |

mod config;

use config::{Config, Decoded, Signal, Word};
use stampmill_sdk::command::{CommandLine, End, Sink};
use stampmill_sdk::{Fault, Outcome, Plugin, Step, register, running_build};
use std::collections::BTreeMap;

/// Longest label of a command in a summary.
const LABEL_CHARS: usize = 60;

/// The step.
#[derive(Debug)]
pub struct Shell {
    line: CommandLine,
    label: String,
    results: BTreeMap<i32, Outcome>,
}

impl Plugin for Shell {
    type Config = Config;

    fn new(config: Config) -> Result<Shell, Fault> {
        one_value_each(&config)?;
        let results = results(&config)?;
        let (label, line) = command_line(&config)?;
        let mut line = line
            .stdout(Sink::Log(config.log.clone()))
            .stderr(Sink::Log(config.log))
            .silence_limit(config.silence_timeout.get())
            .stop_with(number(config.interrupt_signal), config.grace.get());
        if let Some(limit) = config.wall_timeout {
            line = line.wall_limit(limit.get());
        }
        if let Some(directory) = config.directory {
            line = line.directory(directory);
        }
        if config.terminal {
            line = line.terminal(TERMINAL_COLUMNS, TERMINAL_ROWS);
        }
        for (name, value) in config.environment {
            line = line.environment(name, text(value));
        }
        for (name, secret) in config.secret_environment {
            line = line.secret_environment(name, secret);
        }
        for (name, secret) in config.secret_files {
            line = line.secret_file(name, secret, "", "");
        }
        Ok(Shell { line, label, results })
    }
}

/// Wide enough that few programs fold their lines.
const TERMINAL_COLUMNS: u16 = 160;
const TERMINAL_ROWS: u16 = 50;

impl Step for Shell {
    fn run(&self) -> Result<Outcome, Fault> {
        let end = self.line.run()?.end();
        running_build::summary(&summary(&self.label, &end));
        Ok(self.outcome(&end))
    }
}

impl Shell {
    fn outcome(&self, end: &End) -> Outcome {
        match end {
            End::Exited(code) => match self.results.get(code) {
                Some(outcome) => *outcome,
                None if *code == 0 => Outcome::Success,
                None => Outcome::Failure,
            },
            End::Signalled(_) | End::Stopped(_) => Outcome::Failure,
        }
    }
}

/// A word as the command gets it.
fn text(word: Word) -> String {
    match word {
        Word::Text(text) => text,
        Word::Whole(number) => number.to_string(),
        Word::Fraction(number) => number.to_string(),
        Word::Truth(truth) => truth.to_string(),
    }
}

/// A variable that is written twice would have one value or the other.
fn one_value_each(config: &Config) -> Result<(), Fault> {
    let tables = [
        ("environment", config.environment.keys().collect::<Vec<_>>()),
        ("secret-environment", config.secret_environment.keys().collect()),
        ("secret-files", config.secret_files.keys().collect()),
    ];
    let mut known = BTreeMap::new();
    for (table, names) in tables {
        for name in names {
            if let Some(earlier) = known.insert(name, table) {
                return Err(Fault::refused(format!("`{name}` is in both `{earlier}` and `{table}`: keep one")));
            }
        }
    }
    Ok(())
}

/// The label for people, and the line to run.
fn command_line(config: &Config) -> Result<(String, CommandLine), Fault> {
    match (&config.command, &config.script) {
        (Some(command), None) => {
            let command: Vec<String> = command.iter().cloned().map(text).collect();
            let Some((program, arguments)) = command.split_first() else {
                return Err(Fault::refused("`command` is empty: name a program"));
            };
            Ok((label(&command.join(" ")), CommandLine::new(program).args(arguments)))
        }
        (None, Some(script)) => {
            let Some((shell, arguments)) = config.shell.split_first() else {
                return Err(Fault::refused("`shell` is empty: name a program"));
            };
            let first = script.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
            let line = CommandLine::new(shell).args(arguments).arg("-c").arg(script);
            Ok((label(first.unwrap_or("script")), line))
        }
        (Some(_), Some(_)) => Err(Fault::refused("both `command` and `script` are given: keep one")),
        (None, None) => Err(Fault::refused("neither `command` nor `script` is given: add one")),
    }
}

fn results(config: &Config) -> Result<BTreeMap<i32, Outcome>, Fault> {
    let mut results = BTreeMap::new();
    for (code, decoded) in &config.decode {
        let code = code
            .parse()
            .map_err(|_| Fault::refused(format!("`decode`: `{code}` is not an exit code: write a whole number")))?;
        results.insert(code, outcome_of(*decoded));
    }
    for code in &config.warnings_on {
        if results.insert(*code, Outcome::Warnings).is_some_and(|earlier| earlier != Outcome::Warnings) {
            return Err(Fault::refused(format!("exit code {code} is in both `decode` and `warnings-on`: keep one")));
        }
    }
    Ok(results)
}

fn outcome_of(decoded: Decoded) -> Outcome {
    match decoded {
        Decoded::Success => Outcome::Success,
        Decoded::Warnings => Outcome::Warnings,
        Decoded::Failure => Outcome::Failure,
        Decoded::Skipped => Outcome::Skipped,
        Decoded::Exception => Outcome::Exception,
        Decoded::Retry => Outcome::Retry,
    }
}

/// Linux's numbers.
fn number(signal: Signal) -> u32 {
    match signal {
        Signal::Hangup => 1,
        Signal::Interrupt => 2,
        Signal::Quit => 3,
        Signal::Kill => 9,
        Signal::Terminate => 15,
    }
}

/// One line, not too long.
fn label(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(LABEL_CHARS) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

fn summary(label: &str, end: &End) -> String {
    match end {
        End::Exited(0) => label.to_owned(),
        End::Exited(code) => format!("{label}: exit {code}"),
        End::Signalled(signal) => format!("{label}: killed by signal {signal}{}", signal_name(*signal)),
        End::Stopped(reason) => format!("{label}: killed: {reason}"),
    }
}

fn signal_name(signal: u32) -> &'static str {
    match signal {
        1 => " (HUP)",
        2 => " (INT)",
        3 => " (QUIT)",
        4 => " (ILL)",
        6 => " (ABRT)",
        7 => " (BUS)",
        8 => " (FPE)",
        9 => " (KILL)",
        11 => " (SEGV)",
        13 => " (PIPE)",
        15 => " (TERM)",
        24 => " (XCPU)",
        25 => " (XFSZ)",
        31 => " (SYS)",
        _ => "",
    }
}

register!(step: Shell);

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(config: &str) -> Result<Shell, Fault> {
        Shell::new(stampmill_sdk::serde_json::from_str(config).expect("a configuration"))
    }

    #[test]
    fn numbers_and_truths_of_a_build_become_words() {
        let step = shell(r#"{"command": ["make", 4, true, 1.5]}"#).expect("a step");
        assert_eq!(step.label, "make 4 true 1.5");
    }

    #[test]
    fn a_command_is_an_argument_list_and_stays_one() {
        let step = shell(r#"{"command": ["echo", "$(touch x)", "a b", "`id`"]}"#).expect("a step");
        assert_eq!(step.line.argv(), ["echo", "$(touch x)", "a b", "`id`"]);
    }

    #[test]
    fn a_script_goes_to_the_shell_as_one_argument() {
        let step = shell(r##"{"script": "# build\nmake\nmake check\n"}"##).expect("a step");
        assert_eq!(step.line.argv(), ["/bin/sh", "-e", "-c", "# build\nmake\nmake check\n"]);
        assert_eq!(step.label, "make");
    }

    #[test]
    fn exit_codes_become_results() {
        let step = shell(
            r#"{"command": ["x"], "warnings-on": [2], "decode": {"3": "skipped", "-1": "retry", "0": "warnings"}}"#,
        )
        .expect("a step");
        for (code, outcome) in [
            (0, Outcome::Warnings),
            (1, Outcome::Failure),
            (2, Outcome::Warnings),
            (3, Outcome::Skipped),
            (-1, Outcome::Retry),
        ] {
            assert_eq!(step.outcome(&End::Exited(code)), outcome, "{code}");
        }
        assert_eq!(shell(r#"{"command": ["x"]}"#).expect("a step").outcome(&End::Exited(0)), Outcome::Success);
        assert_eq!(step.outcome(&End::Signalled(11)), Outcome::Failure);
        assert_eq!(step.outcome(&End::Stopped("no output for 20 s".to_owned())), Outcome::Failure);
    }

    #[test]
    fn the_summary_says_how_it_ended() {
        assert_eq!(summary("make -j2", &End::Exited(0)), "make -j2");
        assert_eq!(summary("make -j2", &End::Exited(2)), "make -j2: exit 2");
        assert_eq!(summary("make", &End::Signalled(11)), "make: killed by signal 11 (SEGV)");
        assert_eq!(summary("make", &End::Stopped("no output for 20 s".to_owned())), "make: killed: no output for 20 s");
        assert_eq!(label(&"x".repeat(100)).chars().count(), LABEL_CHARS + 1);
        assert_eq!(label("a\nb"), "a b");
    }

    #[test]
    fn contradictions_are_refused_with_the_keys_names() {
        for (config, word) in [
            ("{}", "script"),
            (r#"{"command": ["a"], "script": "b"}"#, "both"),
            (r#"{"command": []}"#, "empty"),
            (r#"{"command": ["a"], "decode": {"two": "failure"}}"#, "two"),
            (r#"{"command": ["a"], "decode": {"2": "failure"}, "warnings-on": [2]}"#, "warnings-on"),
            (
                r#"{"command": ["a"], "environment": {"K": "v"}, "secret-files": {"K": "key"}}"#,
                "`environment` and `secret-files`",
            ),
            (
                r#"{"command": ["a"], "secret-environment": {"K": "a"}, "secret-files": {"K": "b"}}"#,
                "`secret-environment` and",
            ),
        ] {
            match shell(config) {
                Err(Fault::Refused(reason)) => assert!(reason.contains(word), "{config}: {reason}"),
                other => panic!("{config}: {other:?}"),
            }
        }
    }
}
