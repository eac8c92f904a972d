//! The memory of the whole tree, watched from the first process through the sandbox's own `/proc`.
//!
//! What counts is anonymous and shared memory of every process, and shared segments that nobody has mapped; mapped files don't count. Pages
//! that processes share are counted for each of them; so before the tree is killed the proportional share (`smaps_rollup`), which is slow
//! but exact, has to agree. What is in memory and in no process (a memory file that is written but not mapped, a pipe's content) is not seen
//! here, only by a cgroup; the limits on open files and file size bound it.

use std::fs::{self, File};
use std::io::Read;
use std::time::{Duration, Instant};

use crate::limits::{MEMORY_WATCH_EVERY, MEMORY_WATCH_SHARE};

/// Looks at the tree's memory from time to time.
pub(crate) struct Watch {
    limit: u64,
    peak: u64,
    next: Instant,
}

impl Watch {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, peak: 0, next: Instant::now() + MEMORY_WATCH_EVERY }
    }

    /// How long until the next look.
    pub(crate) fn next_look(&self) -> Duration {
        // Rounded up: poll counts in whole milliseconds.
        self.next.saturating_duration_since(Instant::now()) + Duration::from_millis(1)
    }

    /// The most that was seen, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }

    /// Whether the tree holds more than its limit; looks only when it is time to.
    pub(crate) fn exceeded(&mut self) -> bool {
        let start = Instant::now();
        if start < self.next {
            return false;
        }
        let processes = processes();
        let segments = unattached_segments();
        let mut held = segments + processes.iter().map(|id| held_by(id)).sum::<u64>();
        if held > self.limit {
            let exact = |id: &String| proportional(id).unwrap_or_else(|| held_by(id));
            held = segments + processes.iter().map(exact).sum::<u64>();
        }
        self.peak = self.peak.max(held);
        let end = Instant::now();
        self.next = end + MEMORY_WATCH_EVERY.max((end - start) * MEMORY_WATCH_SHARE);
        held > self.limit
    }
}

/// All processes of the sandbox but this one.
fn processes() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != "1" && name.bytes().all(|byte| byte.is_ascii_digit()))
        .collect()
}

/// Anonymous, shared and swapped memory of a process in bytes, without mapped files; 0 for a process that has just gone.
fn held_by(id: &str) -> u64 {
    let text = read(&format!("/proc/{id}/status"));
    ["RssAnon:", "RssShmem:", "VmSwap:"].into_iter().filter_map(|name| field(&text, name)).sum()
}

/// Shared memory segments of the sandbox's own IPC namespace that no process has mapped, in bytes: else nobody would be charged for them.
fn unattached_segments() -> u64 {
    let text = read("/proc/sysvipc/shm");
    let mut lines = text.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let Some(head) = lines.next() else { return 0 };
    let column = |name| head.iter().position(|title| *title == name);
    let (Some(attached), Some(resident)) = (column("nattch"), column("rss")) else {
        return 0;
    };
    lines
        .filter(|line| line.get(attached) == Some(&"0"))
        .filter_map(|line| line.get(resident)?.parse::<u64>().ok())
        .sum()
}

/// The exact share of anonymous and shared memory in bytes, swap included; none when the process does not let itself be looked at.
fn proportional(id: &str) -> Option<u64> {
    let text = read(&format!("/proc/{id}/smaps_rollup"));
    let anonymous = field(&text, "Pss_Anon:")?;
    let shared = field(&text, "Pss_Shmem:").unwrap_or(0);
    Some(anonymous + shared + field(&text, "SwapPss:").unwrap_or(0))
}

/// A line `name: number kB`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kib = line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()?;
    Some(kib * 1024)
}

fn read(path: &str) -> String {
    let mut text = String::new();
    if let Ok(mut file) = File::open(path)
        && file.read_to_string(&mut text).is_err()
    {
        text.clear();
    }
    text
}
