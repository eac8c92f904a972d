//! The password prompt at a real terminal: nothing that is typed is shown, and the terminal is as it was whatever happens.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};

/// Long enough for a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program with a terminal of its own.
struct Session {
    keyboard: File,
    /// Open here too, so that its settings can be looked at after the program has ended.
    terminal: File,
    screen: mpsc::Receiver<Vec<u8>>,
    shown: String,
    child: Child,
}

impl Session {
    fn start(data: &Path) -> Self {
        let pty = openpty(None, None).unwrap();
        let (keyboard, terminal) = (File::from(pty.master), File::from(pty.slave));
        let copy = || terminal.try_clone().unwrap();
        let child = Command::new("setsid")
            .args([
                "--ctty",
                "--wait",
                env!("CARGO_BIN_EXE_stampmill"),
                "user",
                "add",
                "ann",
                "--role",
                "admin",
                "--data",
            ])
            .arg(data)
            .env_remove("STAMPMILL_HOST")
            .env_remove("STAMPMILL_TOKEN")
            .stdin(copy())
            .stdout(copy())
            .stderr(copy())
            .spawn()
            .unwrap();
        let (sender, screen) = mpsc::channel();
        let mut master = keyboard.try_clone().unwrap();
        // It ends with the test, at the latest.
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keyboard, terminal, screen, shown: String::new(), child }
    }

    fn echoes(&self) -> bool {
        tcgetattr(self.terminal.as_fd()).unwrap().local_flags.contains(LocalFlags::ECHO)
    }

    /// Waits for a text on the screen, and until the terminal shows nothing more of what is typed.
    fn asked(&mut self, prompt: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.shown.contains(prompt) || self.echoes() {
            assert!(Instant::now() < until, "no prompt {prompt:?}: {}", self.shown);
            if let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(20)) {
                self.shown += &String::from_utf8_lossy(&bytes);
            }
        }
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            while let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(20)) {
                self.shown += &String::from_utf8_lossy(&bytes);
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end: {}", self.shown);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It has ended, unless the test is failing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ctrl_c_at_the_password_prompt_gives_the_terminal_its_echo_back() {
    let data = tempfile::tempdir().unwrap();
    for (prompts, key) in [(1, "\u{3}"), (2, "\u{3}"), (1, "\u{1c}")] {
        let mut session = Session::start(data.path());
        assert!(session.echoes(), "it does to begin with");
        session.asked("password for ann: ");
        if prompts == 2 {
            session.type_in("hunter2-hunter2\n");
            session.asked("the same again: ");
        }
        session.type_in("half a pass");
        session.type_in(key);
        let status = session.ended();
        assert!(!status.success(), "{status}: {}", session.shown);
        assert!(session.echoes(), "after {prompts} prompts: {}", session.shown);
        assert!(!session.shown.contains("pass\r") && !session.shown.contains("hunter2"), "{}", session.shown);
    }
}

#[test]
fn a_password_that_is_typed_twice_is_taken_and_never_shown() {
    let data = tempfile::tempdir().unwrap();
    let mut session = Session::start(data.path());
    session.asked("password for ann: ");
    session.type_in("hunter2-hunter2\n");
    session.asked("the same again: ");
    session.type_in("hunter2-hunter2\n");
    let status = session.ended();
    assert!(status.success(), "{status}: {}", session.shown);
    assert!(session.shown.contains("user ann may log in as admin"), "{}", session.shown);
    assert!(session.echoes() && !session.shown.contains("hunter2"), "{}", session.shown);
}
