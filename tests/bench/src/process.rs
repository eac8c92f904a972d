//! What the kernel says of a process and of the machine.

use std::fs;

/// Seconds of processor time of this thread.
pub(crate) fn thread_cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or_default() / 1e9
}

/// The load of the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// Seconds of processor time of a process and of its children that have ended.
pub(crate) fn cpu_with_children(pid: u32) -> f64 {
    ticks(pid, 11..15)
}

/// Seconds of processor time of a process.
pub(crate) fn cpu(pid: u32) -> f64 {
    ticks(pid, 11..13)
}

fn ticks(pid: u32, fields: std::ops::Range<usize>) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let numbers: Vec<f64> = after_name.split_whitespace().map(|word| word.parse().unwrap_or_default()).collect();
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    let sum: f64 = numbers.get(fields).unwrap_or_default().iter().sum();
    sum / per_second as f64
}

/// Resident memory in MiB.
pub(crate) fn rss_mb(pid: u32) -> f64 {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Resident memory in MiB, that which is shared counted by its share.
pub(crate) fn pss_mb(pid: u32) -> f64 {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

fn field(path: &str, name: &str) -> f64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib: f64 = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default();
    kib / 1024.0
}
