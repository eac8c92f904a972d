//! What goes in and comes out arrives as it was.

use crate::run::{Place, run, run_with_input};
use stampmill_sandbox::End;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

#[test]
fn arguments_arrive_as_they_are() {
    let place = Place::new();
    let odd: [&[u8]; 9] =
        [b"", b" ", b"a b", b"line\nline", b"'\"", b"$(touch pwned)`id`", b"\xff\xfe", b"--upload-pack=x", b"*?[a]"];
    let mut policy = place.tool(["args"]);
    policy.argv.extend(odd.iter().map(|one| OsString::from_vec(one.to_vec())));
    let mut sandboxed = stampmill_sandbox::spawn(&crate::run::helper(), &policy).expect("started");
    let stdout = crate::run::gather(sandboxed.stdout.take().expect("a pipe"));
    assert_eq!(sandboxed.wait().expect("waited").end, End::Exited(0));
    let expected: Vec<u8> = odd.iter().flat_map(|one| [one, &b"\0"[..]].concat()).collect();
    let received = stdout.recv_timeout(crate::run::PATIENCE).expect("stdout ends");
    assert_eq!(received, expected);
}

#[test]
fn the_environment_is_exactly_what_was_given() {
    let place = Place::new();
    let mut policy = place.policy(["cat", "/proc/self/environ"]);
    policy.env = vec![
        ("B".into(), "two\nlines".into()),
        ("A".into(), OsString::from_vec(b"\xff=x".to_vec())),
        ("EMPTY".into(), "".into()),
    ];
    let mut sandboxed = stampmill_sandbox::spawn(&crate::run::helper(), &policy).expect("started");
    let stdout = crate::run::gather(sandboxed.stdout.take().expect("a pipe"));
    assert_eq!(sandboxed.wait().expect("waited").end, End::Exited(0));
    let received = stdout.recv_timeout(crate::run::PATIENCE).expect("stdout ends");
    assert_eq!(received, b"B=two\nlines\0A=\xff=x\0EMPTY=\0");
}

#[test]
fn no_descriptor_but_the_standard_three_is_inherited() {
    use std::os::fd::AsRawFd;
    let place = Place::new();
    // One that the caller forgot to close on exec.
    let leak = std::fs::File::open("/proc/self/mountinfo").expect("open");
    let flags = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty());
    nix::fcntl::fcntl(&leak, flags).expect("set");
    assert!(leak.as_raw_fd() > 2);
    assert_eq!(run(&place.tool(["descriptors"])).ok(), "0\n1\n2\n");
    let input = run(&place.shell("readlink /proc/self/fd/0")).ok();
    assert_eq!(input, "/dev/null\n");
}

#[test]
fn exit_codes_and_signals_come_back() {
    let place = Place::new();
    for code in [0, 1, 2, 100, 126, 127, 128, 255] {
        let output = run(&place.shell(&format!("exit {code}")));
        assert_eq!(output.end, End::Exited(code));
    }
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGSEGV, libc::SIGPIPE, libc::SIGUSR1, 40, 64] {
        let output = run(&place.tool(["raise", &signal.to_string()]));
        assert_eq!(output.end, End::Signalled(signal));
    }
}

#[test]
fn signals_have_their_default_actions_and_none_is_blocked() {
    let place = Place::new();
    let status = run(&place.policy(["grep", "^Sig[BI]", "/proc/self/status"])).ok();
    for line in status.lines() {
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
    assert_eq!(status.lines().count(), 2);
}

#[test]
fn input_and_both_outputs_are_separate_and_whole() {
    let place = Place::new();
    let large = "x".repeat(1 << 20);
    let output = run_with_input(&place.shell("tee /dev/null; echo err >&2"), large.as_bytes());
    assert_eq!(output.end, End::Exited(0));
    assert_eq!(output.stderr, "err\n");
    assert!(output.stdout == large);
    let empty = run(&place.shell("cat; echo end"));
    assert_eq!(empty.ok(), "end\n");
}
