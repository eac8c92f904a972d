//! What must not be left when everything has ended: processes, control groups, mounts, files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::ensure;

/// A control group of this test's own, in which all its processes live and make groups: what is left in it is theirs. Where none can be made,
/// as for an ordinary user, there are none to be left either.
pub(crate) struct ControlGroup {
    /// One directory for each hierarchy.
    roots: Vec<PathBuf>,
}

impl ControlGroup {
    /// Makes it; `None` with a line that says so where that is not possible.
    pub(crate) fn make() -> Option<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let base = |controller: &str, path: &str| {
            Path::new("/sys/fs/cgroup").join(controller).join(path.trim_start_matches('/'))
        };
        let mut roots = Vec::new();
        for line in own.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            if ["memory", "pids"].contains(&controllers) {
                roots.push(base(controllers, path).join(format!("kill-loop-{}", std::process::id())));
            }
        }
        let made =
            roots.iter().all(|root| std::fs::create_dir(root).is_ok() && std::fs::create_dir(root.join("own")).is_ok());
        let group = Self { roots };
        if made && !group.roots.is_empty() {
            return Some(group);
        }
        println!("no control group can be made here: what is left of groups is not looked at");
        None
    }

    /// The groups that a process moves into, with spaces between.
    pub(crate) fn own(&self) -> String {
        let own: Vec<String> = self.roots.iter().map(|root| root.join("own").display().to_string()).collect();
        own.join(" ")
    }

    /// Groups below and processes in this one, in words.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for root in self.roots.iter().map(|root| root.join("own")) {
            let entries = std::fs::read_dir(&root).into_iter().flatten().flatten();
            left.extend(entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.path().display().to_string()));
            let processes = std::fs::read_to_string(root.join("cgroup.procs")).unwrap_or_default();
            left.extend(processes.lines().map(|id| format!("process {id} in {}", root.display())));
        }
        left
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for root in &self.roots {
            remove_groups(root);
        }
    }
}

/// Only directories can be removed in there, the lowest first.
fn remove_groups(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_groups(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(directory);
}

/// Looks at everything once all members have ended.
pub(crate) fn nothing_is_left(place: &Path, group: Option<&ControlGroup>) -> anyhow::Result<()> {
    let groups = group.map(ControlGroup::left).unwrap_or_default();
    ensure!(groups.is_empty(), "control groups are left: {groups:#?}");
    let processes = processes_of(place);
    ensure!(processes.is_empty(), "processes are left: {processes:#?}");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let shown = place.display().to_string();
    ensure!(!mounts.contains(&shown), "mounts are left: {mounts}");
    for directory in ["tmp", "w0/spool", "w1/spool", "w0/s", "w1/s"] {
        let left = below(&place.join(directory));
        ensure!(left.is_empty(), "files are left: {left:#?}");
    }
    let temporary: Vec<PathBuf> = below(place).into_iter().filter(|path| is_temporary(path)).collect();
    ensure!(temporary.is_empty(), "files are left half written: {temporary:#?}");
    Ok(())
}

/// Every process that was started for this place: it works in it, was told of something in it, or has inherited from one that was.
fn processes_of(place: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !name.as_bytes().iter().all(u8::is_ascii_digit) || name == OsStr::new(&std::process::id().to_string()) {
            continue;
        }
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let link = |file: &str| std::fs::read_link(entry.path().join(file)).unwrap_or_default();
        let told = [read("cmdline"), read("environ"), link("cwd").into_os_string().into_encoded_bytes()].concat();
        if contains(&told, place.as_os_str().as_bytes()) {
            found.push(format!("{} {}", name.display(), String::from_utf8_lossy(&read("cmdline")).replace('\0', " ")));
        }
    }
    found
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// All files below a directory.
fn below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) { files.extend(below(&path)) } else { files.push(path) }
    }
    files
}

/// What a program writes before it gives a file its name, and what git locks.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let by_end = [".tmp", ".new", ".lock", ".part"].iter().any(|end| name.ends_with(end));
    let by_beginning = [".tmp", "tmp_", ".#", "tmp-"].iter().any(|beginning| name.starts_with(beginning));
    ((by_end && name != "stampmill.lock") || by_beginning) && !is_known_to_stay(path)
}

/// Two kinds of halves stay after a kill and are in nobody's way: objects, which git's own collection removes, and machine code of plugins
/// that was being put into a cache.
fn is_known_to_stay(path: &Path) -> bool {
    let directories: Vec<_> = path.ancestors().skip(1).filter_map(Path::file_name).collect();
    let below = |name: &str| directories.iter().any(|directory| *directory == OsStr::new(name));
    below("objects") || below("compiled") || below("components")
}
