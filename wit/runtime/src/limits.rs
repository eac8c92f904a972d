//! Every bound that a guest lives under, each with the reason for its number.

use std::time::Duration;

use crate::manifest::Kind;

/// Largest component that is taken: Python and JavaScript guests with their interpreters are 12 to 20 MB.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;
/// Largest manifest: schema and examples of a large plugin are tens of kilobytes.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// Components nested in components deeper than this are nothing that a toolchain writes.
pub const COMPONENT_DEPTH_MAX: usize = 32;
/// Compilations at the same time: one takes up to 350 MB of memory and all cores.
pub const COMPILATIONS_AT_ONCE: usize = 1;

/// Granularity of interruption: cheap enough to be always on, fine enough for limits in tenths of a second.
pub const EPOCH: Duration = Duration::from_millis(10);
/// The most memory that an instance can be given: all that a 32-bit memory has.
pub const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Memory of one instance, all its linear memories together.
pub const MEMORY_BYTES: u64 = 64 << 20;
/// Decision plugins are pooled, so that many are alive at once.
pub const DECISION_MEMORY_BYTES: u64 = 32 << 20;
/// Core instances in one component; composed Python components have about twenty.
pub const CORE_INSTANCES_MAX: usize = 100;
/// Memories and tables in one component.
pub const MEMORIES_MAX: usize = 32;
/// Elements of a table: a QuickJS or CPython function table has under twenty thousand.
pub const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Stack of the guest; deeper recursion traps.
pub const WASM_STACK_BYTES: usize = 512 << 10;
/// Stack of the fiber that carries guest and host calls; more than the guest's own by what host calls need.
pub const FIBER_STACK_BYTES: usize = 2 << 20;
/// Bytes that one call may carry over the border, either way: a guest can't send more than its memory holds.
pub const CROSSING_BYTES_MAX: usize = 64 << 20;

/// A decision stands between a change and its builds.
pub const DECISION_CALL: Duration = Duration::from_secs(1);
/// The sender of a webhook gives up after about this long.
pub const HOOK_CALL: Duration = Duration::from_secs(10);
/// A first clone of a large repository takes minutes.
pub const POLL_CALL: Duration = Duration::from_secs(600);
/// A report is a few requests; the outbox tries again.
pub const REPORT_CALL: Duration = Duration::from_secs(60);
/// Parsing a configuration, and whatever runs while a guest is instantiated.
pub const CONFIGURE_CALL: Duration = Duration::from_secs(5);
/// Computing inside the guest during one call of a step, poller or reporter; programs that it starts don't count.
pub const COMPUTE: Duration = Duration::from_secs(60);
/// One host call that is not waiting for a program; an HTTP exchange from the first byte to the last is one.
pub const HOST_CALL: Duration = Duration::from_secs(60);

/// Handles that a guest may hold at the same time.
pub const HANDLES_MAX: usize = 10_000;
/// Host memory behind a guest's handles: command lines, captured output, request bodies.
pub const HELD_BYTES_MAX: usize = 64 << 20;

/// Log messages of one call.
pub const LOG_MESSAGES_MAX: u64 = 1_000;
/// Log bytes of one call.
pub const LOG_BYTES_MAX: u64 = 1 << 20;
/// One log message; the rest is cut off.
pub const LOG_MESSAGE_BYTES_MAX: usize = 8 << 10;

/// Text of a fault, a reason, a summary: a sentence or a short trace.
pub const TEXT_BYTES_MAX: usize = 4 << 10;
/// Changes that one poll or one hook delivery may return; a poller with more says `more`.
pub const CHANGES_MAX: usize = 10_000;
/// Bytes of all changes of one poll or delivery.
pub const CHANGES_BYTES_MAX: usize = 16 << 20;
/// A poller's cursor: a few hundred branches with a revision each.
pub const CURSOR_BYTES_MAX: usize = 1 << 20;
/// Body of the reply to a webhook.
pub const REPLY_BYTES_MAX: usize = 64 << 10;
/// Name of a codebase, a property, a delivery, a step's log.
pub const NAME_BYTES_MAX: usize = 256;
/// Value of one property, as JSON.
pub const PROPERTY_BYTES_MAX: usize = 64 << 10;

/// Codebases of one triggered buildset that a step names, and properties that it gives it: both are written by hand.
pub const TRIGGER_ENTRIES_MAX: usize = 100;
/// All that a step says of one triggered buildset: it travels to the host in one message.
pub const TRIGGER_BYTES_MAX: usize = 1 << 20;

/// Arguments and environment of one command; Linux itself takes 2 MiB.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;
/// What is given to a command on its standard input at once.
pub const STDIN_BYTES_MAX: usize = 16 << 20;
/// What a capture may keep of one stream: it crosses into a guest of 64 MiB.
pub const CAPTURE_BYTES_MAX: u64 = 16 << 20;
/// A command without a limit of its own, and the most that one may ask for.
pub const COMMAND_WALL_MAX: Duration = Duration::from_secs(24 * 3600);
/// Between the stop signal and SIGKILL, when the plugin says nothing.
pub const STOP_GRACE: Duration = Duration::from_secs(5);
/// The most that a plugin may ask for there.
pub const STOP_GRACE_MAX: Duration = Duration::from_secs(60);
/// The longest that `next-event` waits before it answers `quiet`.
pub const NEXT_EVENT_WAIT_MAX: Duration = Duration::from_secs(60);

/// Addresses of one name that are tried in turn; the largest services answer with eight.
pub const ADDRESSES_MAX: usize = 16;
/// HTTP clients that are kept for further requests, each bound to the addresses of one host: its connections stay open for a while.
pub const HTTP_CLIENTS_MAX: usize = 16;

/// Body of a request to the outside.
pub const HTTP_REQUEST_BYTES_MAX: usize = 16 << 20;
/// The longest URL of a request.
pub const HTTP_URL_BYTES_MAX: usize = 16 << 10;
/// Headers of a request to the outside.
pub const HTTP_HEADER_BYTES_MAX: usize = 32 << 10;
/// Body of a response: it crosses into a guest of 64 MiB.
pub const HTTP_RESPONSE_BYTES_MAX: u64 = 16 << 20;

/// Key of the state store.
pub const STATE_KEY_BYTES_MAX: usize = 256;
/// One value of the state store.
pub const STATE_VALUE_BYTES_MAX: usize = 64 << 10;
/// Entries of one use's state store.
pub const STATE_ENTRIES_MAX: u64 = 1_024;
/// Keys and values of one use's state store together.
pub const STATE_BYTES_MAX: u64 = 4 << 20;

/// One read or write of the workspace.
pub const WORKSPACE_CHUNK_BYTES_MAX: u64 = 8 << 20;
/// What one instance may write through the workspace interface in its life.
pub const WORKSPACE_WRITTEN_BYTES_MAX: u64 = 1 << 30;
/// Entries of one directory that are listed.
pub const WORKSPACE_ENTRIES_MAX: usize = 10_000;
/// A path below the workspace: PATH_MAX of Linux.
pub const PATH_BYTES_MAX: usize = 4_096;
/// Bytes that a plugin writes to one of its logs in one call.
pub const LOG_WRITE_BYTES_MAX: usize = 1 << 20;

/// Problems of a configuration that one message lists.
pub const CONFIG_PROBLEMS_MAX: usize = 10;
/// A compiled component that nobody has used for so long belongs to a plugin or a release that is gone; whoever comes back after a holiday
/// compiles nothing again.
pub const COMPILED_UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);
/// A file that is begun and not finished for so long was left by a process that died.
pub const COMPILED_BEGUN: Duration = Duration::from_secs(24 * 3600);

/// Frames of a guest's trace that an error carries.
pub const BACKTRACE_FRAMES_MAX: usize = 16;

/// What the operator sets for one use of a plugin; `None` keeps the default of the plugin's kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestLimits {
    /// Linear memory of one instance.
    pub memory_bytes: Option<u64>,
    /// Wall time of one call into the plugin.
    pub call: Option<Duration>,
    /// Time that the guest itself computes during one call.
    pub compute: Option<Duration>,
    /// Wall time of one host call that doesn't wait for a program.
    pub host_call: Option<Duration>,
}

impl GuestLimits {
    /// What holds for a kind of plugin when the operator sets nothing. A step's call has no limit of its own here: it lasts as long as its
    /// build allows, and computing, host calls and programs have theirs.
    pub fn of_kind(kind: Kind) -> GuestLimits {
        let call = match kind {
            Kind::CodebaseGenerator | Kind::SchedulerFilter | Kind::Merge => Some(DECISION_CALL),
            Kind::ChangeHook => Some(HOOK_CALL),
            Kind::ChangePoller => Some(POLL_CALL),
            Kind::Reporter => Some(REPORT_CALL),
            Kind::Step => None,
        };
        GuestLimits {
            memory_bytes: Some(if kind.is_decision() { DECISION_MEMORY_BYTES } else { MEMORY_BYTES }),
            call,
            compute: Some(COMPUTE),
            host_call: Some(HOST_CALL),
        }
    }
}

/// The limits in force for one instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InForce {
    pub(crate) memory_bytes: u64,
    /// `None`: a step lasts as long as its build allows; computing, host calls and programs have limits of their own.
    pub(crate) call: Option<Duration>,
    pub(crate) compute: Duration,
    pub(crate) host_call: Duration,
}

impl InForce {
    pub(crate) fn new(kind: Kind, wanted: &GuestLimits) -> InForce {
        let default = GuestLimits::of_kind(kind);
        InForce {
            memory_bytes: wanted.memory_bytes.or(default.memory_bytes).unwrap_or(MEMORY_BYTES).min(MEMORY_BYTES_MAX),
            call: wanted.call.or(default.call),
            compute: wanted.compute.or(default.compute).unwrap_or(COMPUTE),
            host_call: wanted.host_call.or(default.host_call).unwrap_or(HOST_CALL),
        }
    }
}
