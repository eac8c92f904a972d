//! When processes die.

use crate::run::{PATIENCE, Place, fifo, finish, helper, program, run, wait};
use stampmill_sandbox::{End, spawn};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

/// Leaves processes behind in every way there is. All inherit the named pipe, which this opens first, so that it is open in them from their first instant.
const ESCAPE: &str = "exec 3> pipe; (setsid nohup sh -c '(sleep 1000 &) ; sleep 1000' > /dev/null 2>&1 < /dev/null &) ; nohup sleep 1000 > /dev/null 2>&1 < /dev/null & ";

#[test]
fn nothing_outlives_the_command() {
    let place = Place::new();
    let dead = fifo(&place, "pipe");
    let output = run(&place.shell(&format!("{ESCAPE} echo done")));
    assert_eq!(output.ok(), "done\n");
    dead.recv_timeout(PATIENCE).expect("no process is left");
}

#[test]
fn everything_is_dead_when_the_end_is_reported() {
    let place = Place::new();
    let dead = fifo(&place, "pipe");
    let sandboxed = spawn(&helper(), &place.shell(&format!("{ESCAPE} :"))).expect("started");
    wait(sandboxed);
    // Only the reading thread has to get through its last call.
    dead.recv_timeout(PATIENCE).expect("no process is left");
}

#[test]
fn kill_ends_the_whole_tree() {
    let place = Place::new();
    let dead = fifo(&place, "pipe");
    let script = format!("trap '' TERM INT HUP; {ESCAPE} echo ready; sleep 1000");
    let mut sandboxed = spawn(&helper(), &place.shell(&script)).expect("started");
    wait_for_line(sandboxed.stdout.as_ref());
    sandboxed.kill().expect("killed");
    assert_eq!(finish(sandboxed, b"").end, End::Signalled(libc::SIGKILL));
    dead.recv_timeout(PATIENCE).expect("no process is left");
}

#[test]
fn dropping_the_handle_ends_the_whole_tree() {
    let place = Place::new();
    let dead = fifo(&place, "pipe");
    let script = format!("{ESCAPE} echo ready; sleep 1000");
    let sandboxed = spawn(&helper(), &place.shell(&script)).expect("started");
    wait_for_line(sandboxed.stdout.as_ref());
    drop(sandboxed);
    dead.recv_timeout(PATIENCE).expect("no process is left");
}

#[test]
fn the_tree_dies_with_a_worker_that_is_killed() {
    let place = Place::new();
    let dead = fifo(&place, "pipe");
    let script = format!("{ESCAPE} echo r; sleep 1000");
    let work_dir = place.work_dir.display().to_string();
    let mut worker =
        Command::new(program()).args(["parent", &work_dir, &script]).stdout(Stdio::piped()).spawn().expect("started");
    let mut line = String::new();
    let stdout = worker.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("read");
    assert_eq!(line, "running\n");
    worker.kill().expect("killed");
    worker.wait().expect("waited");
    dead.recv_timeout(PATIENCE).expect("no process is left");
}

#[test]
fn the_tree_dies_with_a_helper_that_is_killed_and_the_loss_is_reported() {
    let place = Place::new();
    let dead = fifo(&place, "pipe");
    let script = format!("{ESCAPE} echo ready; sleep 1000");
    let sandboxed = spawn(&helper(), &place.shell(&script)).expect("started");
    wait_for_line(sandboxed.stdout.as_ref());
    let id = i32::try_from(sandboxed.helper_id()).expect("a process id");
    let signal = nix::sys::signal::Signal::SIGKILL;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal).expect("sent");
    let End::SetupFailed(fault) = wait(sandboxed).end else {
        panic!("the loss was not noticed");
    };
    assert_eq!(fault.mechanism, stampmill_sandbox::Mechanism::Helper);
    dead.recv_timeout(PATIENCE).expect("no process is left");
}

#[test]
fn a_signal_reaches_the_whole_group_of_the_command() {
    let place = Place::new();
    let sandboxed = spawn(&helper(), &place.tool(["await-signal"])).expect("started");
    wait_for_line(sandboxed.stdout.as_ref());
    sandboxed.signal(libc::SIGTERM).expect("sent");
    let output = finish(sandboxed, b"");
    assert_eq!((output.end, output.stdout.as_str()), (End::Exited(7), "caught, signal: 15 (SIGTERM)\n"));
}

#[test]
fn a_signal_right_after_the_start_is_not_lost() {
    let place = Place::new();
    for _ in 0..20 {
        let sandboxed = spawn(&helper(), &place.policy(["sleep", "1000"])).expect("started");
        sandboxed.signal(libc::SIGTERM).expect("sent");
        assert_eq!(wait(sandboxed).end, End::Signalled(libc::SIGTERM));
    }
}

#[test]
fn output_ends_when_the_command_closes_it_and_not_only_with_the_fence() {
    let place = Place::new();
    let script = "echo all; exec >&- 2>&-; sleep 1000";
    let mut sandboxed = spawn(&helper(), &place.shell(script)).expect("started");
    let mut all = String::new();
    let mut stdout = File::from(sandboxed.stdout.take().expect("a pipe"));
    stdout.read_to_string(&mut all).expect("read");
    assert_eq!(all, "all\n");
}

/// Reads the first line, byte by byte, so that nothing after it is lost.
fn wait_for_line(stdout: Option<&std::os::fd::OwnedFd>) {
    let mut stdout = File::from(stdout.expect("a pipe").try_clone().expect("cloned"));
    let mut byte = [0];
    while byte != *b"\n" {
        stdout.read_exact(&mut byte).expect("a line");
    }
}
