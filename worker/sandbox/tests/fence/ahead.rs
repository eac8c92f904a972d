//! Sandboxes made ahead of need.

use crate::run::{PATIENCE, Place, finish, helper, identity, is_ahead, program};
use stampmill_sandbox::{Cgroups, End, Helper, Limits, spawn};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Ticks of a second in /proc.
const TICKS: f64 = 100.0;

#[test]
fn all_of_it_holds_in_sandboxes_that_were_made_ahead() {
    if is_ahead() {
        return;
    }
    let output = Command::new(std::env::current_exe().expect("a path"))
        .args(["--test-threads", "2"])
        .env("SANDBOX_TEST_AHEAD", "1")
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("running 0 tests"), "{said}");
}

/// Seconds since the machine started.
fn uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").expect("uptime");
    text.split(' ').next().and_then(|seconds| seconds.parse().ok()).expect("a number")
}

#[test]
fn a_sandbox_is_there_before_its_command_and_serves_no_second_one() {
    let place = Place::new();
    let helper = Helper::at(&program()).making_ahead(2, identity(), Limits::default());
    let script = "ls -A /tmp /home/stampmill; touch /tmp/mark ~/mark; cut -d ' ' -f 22 /proc/1/stat";
    let begun = Instant::now();
    let mut early = 0;
    while early < 3 {
        assert!(begun.elapsed() < PATIENCE, "none was made ahead");
        thread::sleep(Duration::from_millis(100));
        let asked = uptime();
        let said = finish(spawn(&helper, &place.shell(script)).expect("started"), b"").ok();
        assert!(!said.contains("mark"), "a second command: {said}");
        let made: f64 = said.trim().rsplit('\n').next().and_then(|ticks| ticks.parse().ok()).expect("a number");
        // Half of the pause, so that no rounding counts.
        early += i32::from(made / TICKS < asked - 0.05);
    }
}

#[test]
fn commands_of_other_limits_get_a_sandbox_of_their_own() {
    let place = Place::new();
    let helper = helper().making_ahead(1, identity(), Limits::default());
    for memory in [64 << 20, 96 << 20, 64 << 20] {
        let mut policy = place.shell("ulimit -n; echo fine");
        policy.limits.memory_bytes = memory;
        policy.limits.open_files = 77;
        let said = finish(spawn(&helper, &policy).expect("started"), b"").ok();
        assert_eq!(said, "77\nfine\n");
    }
}

#[test]
fn what_is_made_ahead_ends_when_nobody_can_use_it_any_more() {
    let place = Place::new();
    // A copy, to know its processes from those of other tests.
    let copy = place.outer().join("helper-of-this-test");
    fs::copy(program(), &copy).expect("copied");
    let helper = Helper::at(&copy).making_ahead(3, identity(), Limits::default());
    let count = || {
        let found = Command::new("pgrep").args(["-c", "-f"]).arg(&copy).output().expect("pgrep");
        String::from_utf8_lossy(&found.stdout).trim().parse::<u32>().unwrap_or(0)
    };
    assert_eq!(count(), 0, "none before the first command");
    finish(spawn(&helper, &place.policy(["true"])).expect("started"), b"").ok();
    let until = |wanted: &dyn Fn(u32) -> bool| {
        let begun = Instant::now();
        while !wanted(count()) {
            assert!(begun.elapsed() < PATIENCE, "there are {}", count());
            thread::sleep(Duration::from_millis(20));
        }
    };
    until(&|count| count >= 3);
    drop(helper);
    until(&|count| count == 0);
}

#[test]
fn the_cgroup_of_a_sandbox_made_ahead_holds_its_command() {
    let Some(cgroups) = Cgroups::detect() else {
        println!("skipped: this process may not make cgroups");
        return;
    };
    let place = Place::new();
    let mut policy = place.tool(["memory-file", "400"]);
    policy.limits.memory_bytes = 100 << 20;
    let helper = Helper::at(&program()).with_cgroups(Some(cgroups)).making_ahead(2, identity(), policy.limits.clone());
    for _ in 0..4 {
        // Long enough for the next one to be ready; a fresh one would do as well.
        thread::sleep(Duration::from_millis(200));
        assert_eq!(finish(spawn(&helper, &policy).expect("started"), b"").end, End::MemoryLimit);
    }
}

#[test]
fn no_cgroup_is_left_of_what_was_made_ahead_when_nobody_can_use_it_any_more() {
    let Some(cgroups) = Cgroups::detect() else {
        println!("skipped: this process may not make cgroups");
        return;
    };
    let place = Place::new();
    let copy = place.outer().join("helper-of-this-test");
    fs::copy(program(), &copy).expect("copied");
    let helper =
        Helper::at(&copy).with_cgroups(Some(cgroups)).making_ahead(3, identity(), place.policy(["true"]).limits);
    finish(spawn(&helper, &place.policy(["true"])).expect("started"), b"").ok();
    let groups = || -> BTreeSet<String> {
        let found = Command::new("pgrep").arg("-f").arg(&copy).output().expect("pgrep");
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        // One that has ended meanwhile is in no group.
        let texts = found.lines().filter_map(|id| fs::read_to_string(format!("/proc/{id}/cgroup")).ok());
        let lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        let paths = lines.iter().filter_map(|line| line.split_once(":memory:").or(line.split_once("0::")));
        paths.map(|(_, path)| path.to_owned()).filter(|path| path.contains("/stampmill-")).collect()
    };
    let begun = Instant::now();
    let made = loop {
        let made = groups();
        if made.len() >= 3 {
            break made;
        }
        assert!(begun.elapsed() < PATIENCE, "there are {made:?}");
        thread::sleep(Duration::from_millis(20));
    };
    let directories = || made.iter().flat_map(|path| ["", "/memory"].map(|kind| format!("/sys/fs/cgroup{kind}{path}")));
    let there = |directory: &String| fs::exists(directory).expect("readable");
    assert_eq!(directories().filter(there).count(), made.len());
    drop(helper);
    stampmill_sandbox::settle();
    assert_eq!(directories().filter(there).collect::<Vec<_>>(), Vec::<String>::new());
}
