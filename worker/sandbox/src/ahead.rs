//! Sandboxes made ahead of need, one for each command: a process in namespaces of its own that waits for its policy. None is used twice.

use nix::unistd::geteuid;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
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
    pool: OnceLock<Pool>,
}

/// The sandboxes that are ready, and the thread that makes them.
#[derive(Debug)]
struct Pool {
    ready: Mutex<Receiver<Made>>,
    maker: Option<JoinHandle<()>>,
}

/// A sandbox that waits for its policy. Dropping it ends it.
#[derive(Debug)]
struct Made {
    waiting: Sandboxed,
    at: Instant,
}

impl Ahead {
    pub(crate) fn new(count: usize, identity: Identity, limits: Limits) -> Self {
        Self { count, identity, limits, pool: OnceLock::new() }
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
        let pool = self.pool.get_or_init(|| self.start(helper));
        let ready = pool.ready.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(made) = ready.try_recv() {
            let sound = matches!(protocol::hear::<Report>(&made.waiting.control), Ok(Heard::Nothing));
            if sound && made.at.elapsed() < PREPARED_AGE_MAX {
                return Some(made.waiting);
            }
        }
        None
    }

    /// A thread that keeps as many ready as there are to be; it ends when nobody can take one any more.
    fn start(&self, helper: &Helper) -> Pool {
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
        let maker = thread::Builder::new().name("sandboxes".to_owned()).spawn(making).ok();
        Pool { ready: Mutex::new(ready), maker }
    }
}

impl Drop for Ahead {
    /// Ends those that are ready, and waits for the one that is being made: at the end of a process its group would stay.
    fn drop(&mut self) {
        let Some(Pool { ready, maker }) = self.pool.take() else { return };
        drop(ready);
        if let Some(maker) = maker {
            // A panic in there has ended what it held.
            let _ = maker.join();
        }
    }
}

fn make(helper: &Helper, identity: Identity, limits: &Limits) -> Result<Made, SandboxError> {
    let waiting = begin(helper, limits)?;
    let request = Request::Prepare { identity, scratch_bytes: limits.scratch_bytes };
    protocol::send_request(waiting.control.as_fd(), &request, None, &[])
        .map_err(|source| SandboxError::Machine { what: "request", source })?;
    Ok(Made { waiting, at: Instant::now() })
}
