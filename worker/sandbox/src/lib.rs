//! The operating system's fence around one native command, on Linux.
//!
//! This crate decides nothing: which programs, paths, secrets and hosts a command may have is its caller's
//! business. It does not pull, log or mask output, keeps no time (the caller kills what runs too long), and does not run WebAssembly.
//!
//! ```text
//!  worker process                     helper: the same program, re-executed, single-threaded
//!  ──────────────                     ──────────────────────────────────────────────────────
//!  spawn(policy) ── socket pair ────▶ helper      drops root, enters the namespaces, forks
//!    stdin, stdout, stderr: pipes        └─ first process (pid 1 in there): builds the private root, drops all
//!    orders: signal, kill ──────────▶         │   capabilities, reaps, watches memory, kills the tree
//!    ◀─────────── one report: how it ended    ├─ forwarder, only with a network grant: 127.0.0.1:3128 → Unix socket
//!                                             └─ the command: rlimits, Landlock, seccomp, exec
//! ```
//!
//! One socket pair is policy channel, control channel, status and death notice at once: it becomes readable when the command
//! has ended, and when the worker dies the other end sees it close and kills the tree. Nothing of the policy is in an argument or
//! an environment variable.
//!
//! Modules in reading order: `policy` (what is asked), `spawn` (the caller's side), `ahead` (sandboxes that wait for their policy), `cgroup` (limits of the tree, set from outside), `protocol` and `wire`
//! (between the two), `server` (which forks helpers), `helper`, `namespaces`, `mounts`, `root`, `etc`, `network`, `proxy`, `caps`, `supervise`, `memory`, `payload`, `rlimits`, `landlock`,
//! `seccomp` (in the order in which they act), `probe` (what this machine gives).
//!
//! A program that uses this crate calls [`enter_if_asked`] as the first thing in `main`.

mod ahead;
mod caps;
mod cgroup;
mod etc;
mod fault;
mod helper;
mod landlock;
mod limits;
mod memory;
mod mounts;
mod namespaces;
mod network;
mod payload;
mod policy;
mod probe;
mod protocol;
mod proxy;
mod rlimits;
mod root;
mod seccomp;
mod server;
mod spawn;
mod supervise;
mod wire;

pub use cgroup::{CgroupVersion, Cgroups};
pub use fault::{Fault, Mechanism};
pub use helper::enter_if_asked;
pub use limits::{BUILD_DIR, HOME_DIR, PROXY_ADDRESS, SECRETS_DIR};
pub use policy::{Floor, Identity, Input, Limits, Network, Policy, PolicyError, PrivateFile};
pub use probe::{Mechanisms, Tier, probe};
pub use spawn::{End, Ending, Helper, SandboxError, Sandboxed, Usage, settle, spawn};
