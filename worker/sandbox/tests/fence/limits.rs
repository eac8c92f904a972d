//! What a command may use up.

use crate::run::{Place, run};
use stampmill_sandbox::End;
use std::fs;

const MIB: u64 = 1 << 20;

#[test]
fn processes_are_limited() {
    let place = Place::new();
    let mut policy = place.tool(["fork", "500"]);
    policy.limits.processes = 20;
    assert_eq!(run(&policy).ok(), "20\n");
}

#[test]
fn two_commands_of_one_user_have_each_their_own_processes() {
    let place = Place::new();
    let mut policy = place.tool(["fork", "500"]);
    policy.limits.processes = 20;
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| run(&policy).ok())).collect();
        runs.into_iter().map(|one| one.join().expect("ran")).collect()
    });
    assert_eq!(outputs, ["20\n"; 3]);
}

#[test]
fn open_files_are_limited() {
    let place = Place::new();
    let mut policy = place.tool(["open", "5000"]);
    policy.limits.open_files = 50;
    assert_eq!(run(&policy).ok(), "50\n");
}

#[test]
fn the_size_of_a_file_is_limited() {
    let place = Place::new();
    let mut policy = place.policy(["dd", "if=/dev/zero", "of=big", "bs=1M", "count=8"]);
    policy.limits.file_bytes = 2 * MIB;
    assert_eq!(run(&policy).end, End::Signalled(libc::SIGXFSZ));
    let size = fs::metadata(place.work_dir.join("big")).expect("there").len();
    assert_eq!(size, 2 * MIB);
}

#[test]
fn the_memory_of_a_process_is_limited() {
    let place = Place::new();
    let mut policy = place.tool(["eat", "300"]);
    policy.limits.memory_bytes = 100 * MIB;
    assert!(run(&policy).failed().contains("refused"));
    policy.argv[2] = "50".into();
    let output = run(&policy);
    assert!(output.usage.peak_process_bytes > 50 * MIB, "{output:?}");
    output.ok();
}

#[test]
fn the_memory_of_the_tree_is_limited() {
    let place = Place::new();
    let mut policy = place.tool(["eat-together", "8", "40"]);
    policy.limits.memory_bytes = 100 * MIB;
    let output = run(&policy);
    assert_eq!(output.end, End::MemoryLimit);
    assert!(output.usage.peak_tree_bytes > 100 * MIB, "{:?}", output.usage);
}

#[test]
fn scratch_space_is_limited() {
    let place = Place::new();
    let script = "dd if=/dev/zero of=/tmp/big bs=1M count=8 2>&1 | grep -o 'No space left'; dd if=/dev/zero of=/dev/shm/big bs=1M count=1 2>&1 | grep -o 'No space left'";
    let mut policy = place.shell(script);
    policy.limits.scratch_bytes = 4 * MIB;
    assert_eq!(run(&policy).ok(), "No space left\nNo space left\n");
}

#[test]
fn processor_time_is_limited_and_counted() {
    let place = Place::new();
    let mut policy = place.shell("while :; do :; done");
    policy.limits.cpu_seconds = Some(1);
    let output = run(&policy);
    // Soft and hard limit are the same, so that the kernel may choose the stronger signal.
    assert!(matches!(output.end, End::Signalled(libc::SIGXCPU | libc::SIGKILL)), "{output:?}");
    let used = output.usage.user + output.usage.system;
    assert!(used.as_millis() > 700 && used.as_millis() < 3000, "{used:?}");
}

#[test]
fn there_are_no_core_dumps() {
    let place = Place::new();
    let output = run(&place.shell("grep -c 'core file size *1 *1 ' /proc/self/limits; kill -ABRT $$"));
    assert_eq!((output.end, output.stdout.as_str()), (End::Signalled(libc::SIGABRT), "1\n"));
    assert_eq!(fs::read_dir(&place.work_dir).expect("read").count(), 0);
}

/// A helper that limits by cgroup, if this machine lets us.
fn by_cgroup() -> Option<stampmill_sandbox::Helper> {
    let cgroups = stampmill_sandbox::Cgroups::detect();
    if cgroups.is_none() {
        println!("skipped: this process may not make cgroups");
    }
    cgroups.map(|cgroups| crate::run::helper().with_cgroups(Some(cgroups)))
}

#[test]
fn a_cgroup_also_holds_memory_that_no_process_has_mapped() {
    let Some(helper) = by_cgroup() else { return };
    let place = Place::new();
    let mut policy = place.tool(["memory-file", "400"]);
    policy.limits.memory_bytes = 100 * MIB;
    let sandboxed = stampmill_sandbox::spawn(&helper, &policy).expect("started");
    assert_eq!(crate::run::finish(sandboxed, b"").end, End::MemoryLimit);
    policy.argv[2] = "50".into();
    let sandboxed = stampmill_sandbox::spawn(&helper, &policy).expect("started");
    assert_eq!(crate::run::finish(sandboxed, b"").end, End::Exited(0));
}

#[test]
fn cgroups_are_gone_after_their_command_even_when_it_is_dropped() {
    let Some(helper) = by_cgroup() else { return };
    let place = Place::new();
    let policy = place.shell("cat /proc/self/cgroup; sleep 1000");
    let sandboxed = stampmill_sandbox::spawn(&helper, &policy).expect("started");
    let id = sandboxed.helper_id();
    let own = fs::read_to_string(format!("/proc/{id}/cgroup")).expect("read");
    let name = format!("stampmill-{}-{id}", std::process::id());
    assert!(own.contains(&name), "{own}");
    let path = own.lines().find_map(|line| line.split_once(":memory:").or(line.split_once("0::")));
    let directory = format!("/sys/fs/cgroup/memory{}", path.expect("a group").1);
    let directory = std::path::Path::new(&directory);
    let was_there = directory.exists();
    drop(sandboxed);
    assert!(!directory.exists(), "{}", directory.display());
    let v1 = stampmill_sandbox::Cgroups::detect().map(|found| found.version());
    assert_eq!(was_there, v1 == Some(stampmill_sandbox::CgroupVersion::V1));
}

#[test]
fn a_cgroup_is_gone_however_early_its_command_is_dropped() {
    let Some(helper) = by_cgroup() else { return };
    let place = Place::new();
    let policy = place.shell("sleep 1000");
    // Over the time in which the fence is put up.
    for pause in 0..20 {
        let sandboxed = stampmill_sandbox::spawn(&helper, &policy).expect("started");
        let id = sandboxed.helper_id();
        let own = fs::read_to_string(format!("/proc/{id}/cgroup")).expect("read");
        let group = own.lines().find_map(|line| line.split_once(":memory:")).map(|(_, path)| path.to_owned());
        std::thread::sleep(std::time::Duration::from_micros(300 * pause));
        drop(sandboxed);
        let directory = format!(
            "/sys/fs/cgroup/memory{}",
            group.unwrap_or_else(|| format!("/stampmill-{}-{id}", std::process::id()))
        );
        assert!(!std::path::Path::new(&directory).exists(), "{directory} after {pause} times 0.3 ms");
    }
}
