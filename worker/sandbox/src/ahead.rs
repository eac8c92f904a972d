//! Sandboxes made ahead of need, one for each command: a process in namespaces of its own that waits for its policy. None is used twice.

use nix::unistd::geteuid;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use crate::limits::PREPARED_AGE_MAX;
use crate::policy::{Floor, Identity, Limits, Network, Policy};
use crate::protocol::{self, Heard, Report, Request};
use crate::root;
use crate::spawn::{Helper, InputPipe, SandboxError, Sandboxed, begin};

/// What is made ahead, and what is ready.
#[derive(Debug)]
pub(crate) struct Ahead {
    count: usize,
    identity: Identity,
    limits: Limits,
    /// There from the first command on: a worker that waits has none.
    ready: OnceLock<Mutex<Receiver<Made>>>,
}

/// A sandbox that waits for its policy. Dropping it ends it.
#[derive(Debug)]
struct Made {
    waiting: Sandboxed,
    at: Instant,
}

impl Ahead {
    pub(crate) fn new(count: usize, identity: Identity, limits: Limits) -> Self {
        Self { count, identity, limits, ready: OnceLock::new() }
    }

    /// The same, with none ready yet.
    pub(crate) fn anew(&self) -> Self {
        Self::new(self.count, self.identity, self.limits.clone())
    }

    /// Starts a command in a sandbox that is ready; none when there is none for it. Whatever goes wrong in here goes wrong again in a fresh
    /// sandbox, and is told there.
    pub(crate) fn run(&self, helper: &Helper, policy: &Policy) -> Option<Sandboxed> {
        let fits = policy.identity == self.identity
            && policy.limits == self.limits
            && policy.floor == Floor::Required
            && policy.network == Network::None;
        if !fits {
            return None;
        }
        let mut running = self.take(helper)?;
        // Root can open the policy's paths wherever they are; the step's ids perhaps not the directories above them.
        let trees = if geteuid().is_root() { root::hold(policy).ok()? } else { Vec::new() };
        let trees: Vec<_> = trees.iter().map(|tree| tree.fd().as_fd()).collect();
        let input = InputPipe::of(policy).ok()?;
        let request = Request::Run(policy.clone());
        protocol::send_request(running.control.as_fd(), &request, input.inside(), &trees).ok()?;
        running.stdin = input.outside;
        Some(running)
    }

    /// The first that is fresh and has not failed.
    fn take(&self, helper: &Helper) -> Option<Sandboxed> {
        let ready = self.ready.get_or_init(|| Mutex::new(self.start(helper)));
        let ready = ready.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(made) = ready.try_recv() {
            let sound = matches!(protocol::hear::<Report>(&made.waiting.control), Ok(Heard::Nothing));
            if sound && made.at.elapsed() < PREPARED_AGE_MAX {
                return Some(made.waiting);
            }
        }
        None
    }

    /// A thread that keeps as many ready as there are to be; it ends when nobody can take one any more.
    fn start(&self, helper: &Helper) -> Receiver<Made> {
        // The last one waits in the thread's hands.
        let (made, ready) = sync_channel(self.count.saturating_sub(1));
        let (identity, limits) = (self.identity, self.limits.clone());
        // Without its own handle, which would keep it alive.
        let helper = helper.clone().making_none_ahead();
        let making = move || {
            while let Ok(next) = make(&helper, identity, &limits)
                && made.send(next).is_ok()
            {}
        };
        // Without a thread there are none ahead.
        let _ = thread::Builder::new().name("sandboxes".to_owned()).spawn(making);
        ready
    }
}

fn make(helper: &Helper, identity: Identity, limits: &Limits) -> Result<Made, SandboxError> {
    let waiting = begin(helper, limits)?;
    let request = Request::Prepare { identity, scratch_bytes: limits.scratch_bytes };
    protocol::send_request(waiting.control.as_fd(), &request, None, &[])
        .map_err(|source| SandboxError::Machine { what: "request", source })?;
    Ok(Made { waiting, at: Instant::now() })
}
