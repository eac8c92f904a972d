//! Limits of a whole tree by cgroup: a second line, set from outside, where this process may make groups. Without it resource limits and the memory watch hold alone.
//!
//! Version 2 needs a delegated group whose subgroup this process is in (systemd: `Delegate=memory pids` and `DelegateSubgroup=worker`): commands become its siblings,
//! because a group with processes of its own can't pass controllers on. Version 1 needs the right to make groups below this process's own.
//! See <https://docs.kernel.org/admin-guide/cgroup-v2.html>.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::limits::{CGROUP_EXTRA_BYTES, CGROUP_EXTRA_PROCESSES, CGROUP_REMOVE_EVERY, CGROUP_REMOVE_TRIES};
use crate::policy::Limits;

/// The kernel's interface that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CgroupVersion {
    /// Separate hierarchies.
    V1,
    /// The unified hierarchy.
    V2,
}

/// How the names of all groups begin.
const PREFIX: &str = "stampmill-";
/// How the rest of the name of a group begins that was made to see whether one can be.
const TRY: &str = "try-";

/// Where this process can make groups for commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroups {
    version: CgroupVersion,
    /// The directory for groups that limit memory, and the one for processes: in version 2 the same one.
    memory: PathBuf,
    processes: PathBuf,
}

/// A command's group; removed when dropped.
#[derive(Debug)]
pub(crate) struct Group {
    version: CgroupVersion,
    memory: PathBuf,
    processes: PathBuf,
}

impl Cgroups {
    /// Looks where this process can make groups, by making one. None when it can't.
    ///
    /// Moving a process into a group takes about 0.1 ms, now and then 20 ms (the kernel waits for all processors).
    #[must_use]
    pub fn detect() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let found = [unified(&own, &mounts), separate(&own, &mounts)].into_iter().flatten().find(Self::works)?;
        found.sweep();
        Some(found)
    }

    /// Removes the groups of commands whose worker or host was killed: nobody else does. What has only just been killed is waited for, beside
    /// everything else.
    fn sweep(&self) {
        let mut left = self.left_behind();
        left.retain(|directory| !is_removed(directory));
        if left.is_empty() {
            return;
        }
        let wait = move || {
            for _ in 0..CGROUP_REMOVE_TRIES {
                left.retain(|directory| !is_removed(directory));
                if left.is_empty() {
                    return;
                }
                thread::sleep(CGROUP_REMOVE_EVERY);
            }
        };
        // Without another thread they stay until the next start.
        let _ = thread::Builder::new().name("cgroup-sweep".to_owned()).spawn(wait);
    }

    /// The directories of commands' groups that are there now, others' who live included.
    fn left_behind(&self) -> Vec<PathBuf> {
        let mut parents = vec![&self.memory, &self.processes];
        parents.dedup();
        let entries = parents.into_iter().filter_map(|parent| fs::read_dir(parent).ok()).flatten().flatten();
        entries.map(|entry| entry.path()).filter(|directory| maker(directory).is_some()).collect()
    }

    /// Which interface it is.
    #[must_use]
    pub fn version(&self) -> CgroupVersion {
        self.version
    }

    fn works(&self) -> bool {
        // Several threads may look at once.
        static TRIES: AtomicU64 = AtomicU64::new(0);
        let name = format!("{PREFIX}{TRY}{}-{}", std::process::id(), TRIES.fetch_add(1, Ordering::Relaxed));
        self.make(&name, &Limits::default()).is_ok()
    }

    /// A group for a command that has not begun yet. When it can't be made, the other limits hold alone.
    pub(crate) fn for_command(&self, helper: u32, limits: &Limits) -> Option<Group> {
        let group = self.make(&format!("{PREFIX}{}-{helper}", std::process::id()), limits).ok()?;
        group.take_in(helper).ok()?;
        Some(group)
    }

    fn make(&self, name: &str, limits: &Limits) -> io::Result<Group> {
        let group =
            Group { version: self.version, memory: self.memory.join(name), processes: self.processes.join(name) };
        if let Err(error) = group.directories().into_iter().try_for_each(make_directory) {
            // What was made is empty, and what was there is another's: neither is waited for.
            group.directories().into_iter().for_each(|directory| drop(fs::remove_dir(directory)));
            std::mem::forget(group);
            return Err(error);
        }
        let bytes = limits.memory_bytes.saturating_add(CGROUP_EXTRA_BYTES).to_string();
        let processes = limits.processes.saturating_add(CGROUP_EXTRA_PROCESSES);
        let file = match self.version {
            CgroupVersion::V1 => "memory.limit_in_bytes",
            CgroupVersion::V2 => "memory.max",
        };
        fs::write(group.memory.join(file), bytes)?;
        fs::write(group.processes.join("pids.max"), processes.to_string())?;
        Ok(group)
    }
}

/// The process that made a group, by the group's name.
fn maker(directory: &Path) -> Option<u32> {
    let name = directory.file_name()?.to_str()?.strip_prefix(PREFIX)?;
    let name = name.strip_prefix(TRY).unwrap_or(name);
    name.split('-').next()?.parse().ok()
}

/// Whether a group is gone: it was removed just now if the process that made it is dead and no other is in it.
fn is_removed(directory: &Path) -> bool {
    if maker(directory).is_some_and(is_alive) {
        return false;
    }
    match fs::remove_dir(directory) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// A process that has ended and that nobody has asked for is not.
fn is_alive(process: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { return false };
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    !matches!(state, Some("Z" | "X"))
}

/// One that is there already was left behind by a worker that was killed, for another process has its number now; one that is in use stays.
fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_dir(path)?;
            fs::create_dir(path)
        }
        made => made,
    }
}

/// The unified hierarchy: the group above this process's own, when it passes on what is needed.
fn unified(own: &str, mounts: &str) -> Option<Cgroups> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mount = mount_point(mounts, |kind, _| kind == "cgroup2")?;
    let parent = below(&mount, own).parent()?.to_owned();
    if !parent.starts_with(&mount) {
        return None;
    }
    // Passed on already, or allowed to be; if neither, making a group fails later for want of the files.
    let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory +pids");
    Some(Cgroups { version: CgroupVersion::V2, memory: parent.clone(), processes: parent })
}

/// The separate hierarchies: below this process's own groups.
fn separate(own: &str, mounts: &str) -> Option<Cgroups> {
    let find = |controller: &str| {
        let path = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?;
            let path = parts.next()?;
            controllers.split(',').any(|one| one == controller).then_some(path)
        })?;
        let mount =
            mount_point(mounts, |kind, options| kind == "cgroup" && options.split(',').any(|one| one == controller))?;
        Some(below(&mount, path))
    };
    Some(Cgroups { version: CgroupVersion::V1, memory: find("memory")?, processes: find("pids")? })
}

fn below(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}

/// The first mount of a whole hierarchy that fits: `… root mountpoint options … - type source superoptions`.
fn mount_point(mounts: &str, fits: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let place: Vec<_> = place.split(' ').collect();
        let kind: Vec<_> = kind.split(' ').collect();
        let whole = *place.get(3)? == "/";
        (whole && fits(kind.first()?, kind.get(2)?)).then(|| PathBuf::from(place[4]))
    })
}

impl Group {
    fn directories(&self) -> Vec<&Path> {
        match self.version {
            CgroupVersion::V1 => vec![&self.memory, &self.processes],
            CgroupVersion::V2 => vec![&self.memory],
        }
    }

    fn take_in(&self, process: u32) -> io::Result<()> {
        self.directories()
            .into_iter()
            .try_for_each(|directory| fs::write(directory.join("cgroup.procs"), process.to_string()))
    }

    /// Whether the kernel killed a process of the group because the group had no memory left.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        let file = match self.version {
            CgroupVersion::V1 => "memory.oom_control",
            CgroupVersion::V2 => "memory.events",
        };
        let Ok(text) = fs::read_to_string(self.memory.join(file)) else {
            return false;
        };
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.is_some_and(|count| count.trim() != "0")
    }
}

impl Drop for Group {
    /// Normally the group is empty. When its command was only just killed, the last processes need a moment; what is left after that stays as an empty directory.
    fn drop(&mut self) {
        for directory in self.directories() {
            for _ in 0..CGROUP_REMOVE_TRIES {
                match fs::remove_dir(directory) {
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                        thread::sleep(CGROUP_REMOVE_EVERY);
                    }
                    // Removed, or never there.
                    _ => break,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
30 29 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
31 29 0:27 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
32 29 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
33 29 0:29 /part /elsewhere rw,relatime - cgroup cgroup rw,memory
";

    #[test]
    fn a_group_that_was_left_behind_is_in_nobodys_way_and_one_in_use_is_not_taken() {
        let Some(cgroups) = Cgroups::detect() else {
            println!("skipped: this process may not make cgroups");
            return;
        };
        let name = format!("stampmill-left-{}", std::process::id());
        std::mem::forget(cgroups.make(&name, &Limits::default()).expect("made"));
        let group = cgroups.make(&name, &Limits::default()).expect("made again");
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("started");
        group.take_in(child.id()).expect("taken in");
        let taken = cgroups.make(&name, &Limits::default());
        child.kill().and_then(|()| child.wait()).expect("ended");
        assert_eq!(taken.map(drop).map_err(|error| error.raw_os_error()), Err(Some(libc::EBUSY)));
    }

    #[test]
    fn a_group_whose_worker_was_killed_goes_at_the_next_start_and_those_of_the_living_stay() {
        let Some(cgroups) = Cgroups::detect() else {
            println!("skipped: this process may not make cgroups");
            return;
        };
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("started");
        let living = cgroups.for_command(child.id(), &Limits::default()).expect("made");
        let mut dead = std::process::Command::new("true").spawn().expect("started");
        let left = cgroups.make(&format!("{PREFIX}{}", dead.id()), &Limits::default()).expect("made");
        let of_dead: Vec<PathBuf> = left.directories().into_iter().map(Path::to_owned).collect();
        std::mem::forget(left);
        // Not asked for yet, so that nobody else gets its number.
        while is_alive(dead.id()) {
            thread::sleep(CGROUP_REMOVE_EVERY);
        }
        assert!(Cgroups::detect().is_some());
        let gone = of_dead.iter().all(|directory| !directory.exists());
        let stays = living.directories().into_iter().all(Path::exists);
        dead.wait().expect("ended");
        child.kill().and_then(|()| child.wait()).expect("ended");
        assert!(gone, "{of_dead:?}");
        assert!(stays, "{living:?}");
    }

    #[test]
    fn groups_of_version_1_are_below_the_workers_own() {
        let own = "8:pids:/a\n4:memory:/a/b\n0::/\n";
        let found = separate(own, MOUNTS).expect("both");
        assert_eq!(found.memory, Path::new("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(found.processes, Path::new("/sys/fs/cgroup/pids/a"));
        assert_eq!(separate("4:memory:/a\n", MOUNTS), None);
    }

    #[test]
    fn groups_of_version_2_are_beside_the_workers_own() {
        let found = unified("0::/system.slice/stampmill.service/worker\n", MOUNTS).expect("found");
        let expected = "/sys/fs/cgroup/unified/system.slice/stampmill.service";
        assert_eq!(found.memory, Path::new(expected));
        assert_eq!(found.processes, found.memory);
        // In the root group there is nothing above.
        assert_eq!(unified("0::/\n", MOUNTS), None);
    }
}
