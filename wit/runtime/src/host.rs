//! Our side of one instance: what it holds, counts and may do. A file for each capability.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;

use crate::bindings::types;
use crate::error::{Clock, Stop};
use crate::grant::Grant;
use crate::limits::{self, InForce};
use crate::records::Fault;
use crate::surroundings::Surroundings;

pub(crate) mod command;
pub(crate) mod facts;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod logs;
pub(crate) mod properties;
pub(crate) mod running_build;
pub(crate) mod secret;
pub(crate) mod state;
pub(crate) mod trigger;
pub(crate) mod workspace;

/// The data of one instance's store.
pub(crate) struct HostSide {
    pub(crate) table: ResourceTable,
    pub(crate) grant: Grant,
    pub(crate) surroundings: Surroundings,
    pub(crate) limits: InForce,
    pub(crate) memory: Memory,
    pub(crate) log: log::Meter,
    pub(crate) clock: Arc<CallClock>,
    pub(crate) http: Arc<http::Client>,
    held: Arc<AtomicUsize>,
    written_bytes: u64,
}

impl HostSide {
    pub(crate) fn new(
        names: log::Names,
        grant: Grant,
        surroundings: Surroundings,
        limits: InForce,
        http: Arc<http::Client>,
    ) -> HostSide {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::HANDLES_MAX);
        HostSide {
            table,
            grant,
            log: log::Meter::new(names, surroundings.log.clone()),
            surroundings,
            limits,
            memory: Memory { used: 0, growing_by: 0, limit: limits.memory_bytes },
            clock: Arc::new(CallClock::new()),
            http,
            held: Arc::new(AtomicUsize::new(0)),
            written_bytes: 0,
        }
    }

    /// Begins a call: its counters start again.
    pub(crate) fn begin(&mut self) {
        self.clock = Arc::new(CallClock::new());
        self.log.begin();
    }

    /// Counts host memory that stands behind a handle of the guest's, as long as the answer lives.
    pub(crate) fn hold(&self, bytes: usize) -> Result<Held, Stop> {
        let mut held = Held { bytes: 0, total: self.held.clone() };
        held.grow(bytes)?;
        Ok(held)
    }

    /// Counts bytes written to the workspace.
    pub(crate) fn count_written(&mut self, bytes: usize) -> Result<(), Fault> {
        let total = self.written_bytes.saturating_add(bytes as u64);
        if total > limits::WORKSPACE_WRITTEN_BYTES_MAX {
            return Err(too_large("bytes written to the workspace", total, limits::WORKSPACE_WRITTEN_BYTES_MAX));
        }
        self.written_bytes = total;
        Ok(())
    }

    /// For waiting without holding on to `self`, of which a future may not keep a shared reference across threads.
    pub(crate) fn patience(&self) -> Patience {
        Patience { clock: self.clock.clone(), limit: self.limits.host_call }
    }
}

/// How long a host call may wait, and the clock that leaves the waiting out of the guest's computing.
#[derive(Clone)]
pub(crate) struct Patience {
    clock: Arc<CallClock>,
    pub(crate) limit: Duration,
}

impl Patience {
    /// Waits for something in the world, at most as long as one host call may take.
    pub(crate) async fn wait<T>(
        self,
        call: &'static str,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let limit = self.limit;
        match self.outside(tokio::time::timeout(limit, work)).await {
            Ok(result) => result,
            Err(_) => Err(Fault::unavailable(format!("`{call}` took longer than its limit of {limit:?}"))),
        }
    }

    /// The same for functions that can't answer with a fault: being late ends the guest.
    pub(crate) async fn wait_or_stop<T>(
        self,
        call: &'static str,
        work: impl Future<Output = T>,
    ) -> wasmtime::Result<T> {
        let limit = self.limit;
        let late = |_| wasmtime::Error::from(Stop::Deadline { what: Clock::HostCall(call), limit });
        self.outside(tokio::time::timeout(limit, work)).await.map_err(late)
    }

    /// Waits for something that has a limit of its own.
    pub(crate) async fn outside<T>(&self, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let result = work.await;
        self.clock.spent_outside(began.elapsed());
        result
    }
}

/// Host memory that is counted against one guest.
pub(crate) struct Held {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Held {
    /// Counts more; too much ends the guest.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Stop> {
        self.bytes = self.bytes.saturating_add(bytes);
        let before = self.total.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > limits::HELD_BYTES_MAX {
            let limit = limits::HELD_BYTES_MAX as u64;
            return Err(Stop::TooMuch { what: "bytes behind handles", limit });
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Says to the guest that something is too large.
pub(crate) fn too_large(what: &str, found: u64, limit: u64) -> Fault {
    Fault::Refused(format!("{what}: {found} are more than the limit of {limit}"))
}

/// The plugin's world has something that this place doesn't; `start` refuses that, so this is the second lock on the door.
pub(crate) fn not_offered(what: &str) -> Fault {
    Fault::Refused(format!("`{what}` is not offered here"))
}

/// Turns our fault into the guest's.
pub(crate) fn answer<T>(result: Result<T, Fault>) -> Result<T, types::Fault> {
    result.map_err(Into::into)
}

/// What one call has used of its time.
pub(crate) struct CallClock {
    began: Instant,
    outside_us: AtomicU64,
    ticks: AtomicU64,
}

impl CallClock {
    fn new() -> CallClock {
        CallClock { began: Instant::now(), outside_us: AtomicU64::new(0), ticks: AtomicU64::new(0) }
    }

    fn spent_outside(&self, time: Duration) {
        let elapsed = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.outside_us.fetch_add(elapsed, Ordering::Relaxed);
    }

    /// The guest was found computing at a tick. Both counts are upper bounds of what it computed: the ticks that met it, and the time that
    /// it wasn't waiting for us; the smaller one is fair on a busy machine.
    pub(crate) fn tick(&self, limit: Duration) -> Result<(), Stop> {
        let ticks = self.ticks.fetch_add(1, Ordering::Relaxed) + 1;
        let by_ticks = limits::EPOCH.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX));
        let outside = Duration::from_micros(self.outside_us.load(Ordering::Relaxed));
        let by_wall = self.began.elapsed().saturating_sub(outside);
        if by_ticks.min(by_wall) > limit {
            return Err(Stop::Deadline { what: Clock::Compute, limit });
        }
        Ok(())
    }
}

/// Linear memory and tables of one instance.
pub(crate) struct Memory {
    used: u64,
    growing_by: u64,
    limit: u64,
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let growing_by = (desired as u64).saturating_sub(current as u64);
        let asked = self.used.saturating_add(growing_by);
        if asked > self.limit {
            return Err(Stop::Memory { limit: self.limit, asked }.into());
        }
        self.used = asked;
        self.growing_by = growing_by;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.used = self.used.saturating_sub(self.growing_by);
        self.growing_by = 0;
        tracing::warn!(%error, "memory of a plugin could not grow");
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > limits::TABLE_ELEMENTS_MAX {
            let limit = limits::TABLE_ELEMENTS_MAX as u64;
            return Err(Stop::TooMuch { what: "elements of a table", limit }.into());
        }
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        limits::MEMORIES_MAX
    }

    fn memories(&self) -> usize {
        limits::MEMORIES_MAX
    }
}
