//! The fixed numbers and places of the fence.

use std::time::Duration;

/// Where the work directory is seen inside: one fixed place, so that paths in build output are the same on every worker.
pub const BUILD_DIR: &str = "/build";
/// The private home directory inside; empty at the start of every command, gone at its end.
pub const HOME_DIR: &str = "/home/stampmill";
/// Where private files are seen inside: a tmpfs that exists for this one command.
pub const SECRETS_DIR: &str = "/run/secrets";
/// Where the forwarder listens inside when the network is `Proxy`.
pub const PROXY_ADDRESS: &str = "127.0.0.1:3128";

/// The user and host name inside. Nothing of the machine's own names is shown.
pub(crate) const NAME_INSIDE: &str = "stampmill";
/// What is searched for `argv[0]` when the environment has no `PATH`: the usual three of a Linux system.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Version of the messages between caller and helper; they are normally the same program, `Helper::at` may name another.
pub(crate) const PROTOCOL_VERSION: u8 = 2;
/// The largest policy in bytes: room for a full environment and argument list (the kernel's own bound is 6 MiB) with files.
pub(crate) const POLICY_BYTES_MAX: u64 = 32 << 20;
/// The largest record on the control socket: far below the kernel's default socket buffer, so that sending never blocks.
pub(crate) const RECORD_BYTES_MAX: usize = 16 << 10;
/// The longest text of a fault in bytes; a path is at most 4 KiB, so that one of them and the sentence fit.
pub(crate) const FAULT_BYTES_MAX: usize = 6 << 10;

/// How many granted paths a policy may name: each costs about four system calls for every command.
pub(crate) const GRANTS_MAX: usize = 64;
/// How many private files a policy may carry.
pub(crate) const FILES_MAX: usize = 256;
/// Inodes of the private tmpfs (/tmp, HOME, /dev/shm together): enough for any unpacked source tree, about 1 GiB of kernel memory at the very worst.
pub(crate) const SCRATCH_INODES: u64 = 1 << 20;

/// How often the tree's memory is looked at: a process that fills memory at 1 GiB/s overshoots by 100 MiB.
pub(crate) const MEMORY_WATCH_EVERY: Duration = Duration::from_millis(100);
/// The watch sleeps at least this many times as long as it took, so that it never costs more than 5 % of a core.
pub(crate) const MEMORY_WATCH_SHARE: u32 = 20;

/// Connections that the forwarder carries at once; more wait in the listen queue.
pub(crate) const PROXY_LINKS_MAX: usize = 128;
/// Bytes in flight for each direction of a connection: the size at which a copy costs little beside its system calls.
pub(crate) const PROXY_BUFFER_BYTES: usize = 64 << 10;

/// How likely the kernel is to choose a step when memory runs out: before everything that has not asked for less, after what asked for more.
pub(crate) const OOM_SCORE: &str = "500";

/// What a command's cgroup may hold beyond the command's limit: the fence's own processes, and the kernel's memory for them. The watch, which names the limit, comes first.
pub(crate) const CGROUP_EXTRA_BYTES: u64 = 64 << 20;
/// The fence's own processes in a command's cgroup: helper, first process, forwarder.
pub(crate) const CGROUP_EXTRA_PROCESSES: u64 = 3;
/// A killed tree is gone within milliseconds; its group is waited for a second at most.
pub(crate) const CGROUP_REMOVE_TRIES: u32 = 200;
/// How long to wait before trying again to remove a group.
pub(crate) const CGROUP_REMOVE_EVERY: Duration = Duration::from_millis(5);

/// Descriptors with one request at most: its content, the standard input, the work directory and the grants. The kernel's own bound is 253.
pub(crate) const ATTACHED_MAX: usize = 3 + GRANTS_MAX;

/// A sandbox that was made ahead is used within this time: what it holds of the system (the loader's cache, say) may have been replaced since.
pub(crate) const PREPARED_AGE_MAX: Duration = Duration::from_secs(60);
