//! Asking a person for a password without showing it.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use anyhow::Context as _;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use super::limits::PASSWORD_BYTES_MAX;

/// A new password: typed twice at a terminal, or one line of standard input.
pub(crate) fn new_password(user: &str) -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        return read_line();
    }
    let terminal = Terminal::watched().context("signals can't be watched, and the terminal might stay silent")?;
    let first = terminal.hidden(&format!("password for {user}: "))?;
    let second = terminal.hidden("the same again: ")?;
    if first == second { Ok(first) } else { Err(Failure::refused("the two passwords differ; nothing was changed")) }
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

/// How the terminal was before it was told to show nothing; `None` while it shows what is typed.
type Before = Arc<Mutex<Option<Termios>>>;

/// The terminal of standard input, which is put back as it was however the process ends, but by SIGKILL.
struct Terminal {
    before: Before,
}

impl Terminal {
    /// From here to the end of the process a signal that would end it first gives the terminal its echo back.
    fn watched() -> std::io::Result<Self> {
        let terminal = Self { before: Before::default() };
        let (before, (ready, told)) = (Arc::clone(&terminal.before), mpsc::channel());
        std::thread::Builder::new().name("stampmill-echo".to_owned()).spawn(move || watch(&before, &ready))?;
        told.recv().map_err(std::io::Error::other)??;
        Ok(terminal)
    }

    fn hidden(&self, prompt: &str) -> anyhow::Result<String> {
        eprint!("{prompt}");
        std::io::stderr().flush()?;
        let quiet = Quiet::start(&self.before)?;
        let line = read_line();
        drop(quiet);
        eprintln!();
        line
    }
}

/// Waits for a signal in a thread of its own, because the one that asked is blocked in a read that nothing interrupts.
fn watch(before: &Before, ready: &mpsc::Sender<std::io::Result<()>>) {
    let caught = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
        runtime.block_on(async {
            let [mut interrupt, mut terminate, mut hangup, mut quit] = listen(kinds)?;
            // Nobody hears it only if the prompt was given up.
            let _ = ready.send(Ok(()));
            Ok(tokio::select! {
                _ = interrupt.recv() => kinds[0],
                _ = terminate.recv() => kinds[1],
                _ = hangup.recv() => kinds[2],
                _ = quit.recv() => kinds[3],
            })
        })
    });
    match caught {
        Ok(kind) => {
            show_again(before);
            eprintln!();
            std::process::exit(128 + kind.as_raw_value());
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

fn listen<const N: usize>(kinds: [SignalKind; N]) -> std::io::Result<[tokio::signal::unix::Signal; N]> {
    let signals: Vec<_> = kinds.into_iter().map(signal).collect::<Result<_, _>>()?;
    signals.try_into().map_err(|_| std::io::Error::other("a signal is missing"))
}

/// Puts the terminal back as it was, once.
fn show_again(before: &Before) {
    if let Some(termios) = before.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // A terminal that has gone away needs no echo.
        let _ = tcsetattr(std::io::stdin().as_fd(), SetArg::TCSAFLUSH, &termios);
    }
}

/// The terminal shows nothing until this is dropped.
struct Quiet<'a> {
    before: &'a Before,
}

impl<'a> Quiet<'a> {
    fn start(before: &'a Before) -> anyhow::Result<Self> {
        let input = std::io::stdin();
        let shown = tcgetattr(input.as_fd()).map_err(std::io::Error::from)?;
        let mut silent = shown.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        // Kept first: a signal may come right after the next line.
        *before.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        let quiet = Self { before };
        tcsetattr(input.as_fd(), SetArg::TCSAFLUSH, &silent).map_err(std::io::Error::from)?;
        Ok(quiet)
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        show_again(self.before);
    }
}
