//! Asking a person for a password without showing it.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use super::failure::Failure;
use super::limits::PASSWORD_BYTES_MAX;

/// A new password: typed twice at a terminal, or one line of standard input.
pub(crate) fn new_password(user: &str) -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        return read_line();
    }
    let first = hidden(&format!("password for {user}: "))?;
    let second = hidden("the same again: ")?;
    if first == second { Ok(first) } else { Err(Failure::refused("the two passwords differ; nothing was changed")) }
}

fn hidden(prompt: &str) -> anyhow::Result<String> {
    eprint!("{prompt}");
    std::io::stderr().flush()?;
    let quiet = Quiet::start()?;
    let line = read_line();
    drop(quiet);
    eprintln!();
    line
}

fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    let most = PASSWORD_BYTES_MAX as u64 + 1;
    std::io::stdin().lock().take(most).read_line(&mut line)?;
    if line.len() > PASSWORD_BYTES_MAX {
        return Err(Failure::refused(format!("the password is longer than {PASSWORD_BYTES_MAX} bytes")));
    }
    let line = line.trim_end_matches(['\r', '\n']);
    if line.is_empty() {
        return Err(Failure::refused("there is no password: type one, or give it as a line on standard input"));
    }
    Ok(line.to_owned())
}

/// The terminal shows nothing until this is dropped.
struct Quiet {
    before: Termios,
}

impl Quiet {
    fn start() -> anyhow::Result<Self> {
        let input = std::io::stdin();
        let before = tcgetattr(input.as_fd()).map_err(std::io::Error::from)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(input.as_fd(), SetArg::TCSAFLUSH, &quiet).map_err(std::io::Error::from)?;
        Ok(Self { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that has gone away needs no echo.
        let _ = tcsetattr(std::io::stdin().as_fd(), SetArg::TCSAFLUSH, &self.before);
    }
}
