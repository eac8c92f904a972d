//! Buildsets of triggerable schedulers, put together piece by piece.

use wasmtime::component::Resource;

use crate::bindings::stampmill::host::trigger::{Host, HostRequest, HostTriggered};
use crate::bindings::types;
use crate::error::Stop;
use crate::host::{Held, HostSide, not_offered, too_large};
use crate::limits;
use crate::records::Fault;
use crate::surroundings::{self, TriggerSpec, TriggerVersion};

/// A buildset that is not made yet.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Request {
    spec: TriggerSpec,
    /// Properties as the guest gave them: `start` can answer with a fault, what collects can't.
    properties: Vec<(String, String)>,
    versions: usize,
    bytes: usize,
    held: Held,
}

/// A buildset that was made.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Triggered(Box<dyn surroundings::Triggered>);

impl Request {
    fn grow(&mut self, bytes: usize) -> Result<(), Stop> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.held.grow(bytes)
    }

    fn check(&self) -> Result<TriggerSpec, Fault> {
        for (what, count) in [("codebases", self.versions), ("properties", self.properties.len())] {
            if count > limits::TRIGGER_ENTRIES_MAX {
                let what = format!("{what} of a triggered buildset");
                return Err(too_large(&what, count as u64, limits::TRIGGER_ENTRIES_MAX as u64));
            }
        }
        if self.bytes > limits::TRIGGER_BYTES_MAX {
            return Err(too_large(
                "bytes of a triggered buildset",
                self.bytes as u64,
                limits::TRIGGER_BYTES_MAX as u64,
            ));
        }
        let mut spec = self.spec.clone();
        for (name, value) in &self.properties {
            spec.properties.insert(name.clone(), super::properties::checked(name, value)?);
        }
        Ok(spec)
    }
}

impl Host for HostSide {}

impl HostRequest for HostSide {
    async fn new(&mut self, scheduler: String) -> wasmtime::Result<Resource<Request>> {
        let (held, bytes) = (self.hold(scheduler.len())?, scheduler.len());
        let spec = TriggerSpec { scheduler, ..TriggerSpec::default() };
        Ok(self.table.push(Request { spec, properties: Vec::new(), versions: 0, bytes, held })?)
    }

    async fn latest(&mut self, request: Resource<Request>) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.spec.latest = true;
        Ok(())
    }

    async fn version(
        &mut self,
        request: Resource<Request>,
        codebase: String,
        branch: Option<String>,
        revision: Option<String>,
    ) -> wasmtime::Result<()> {
        let request = self.table.get_mut(&request)?;
        let texts = [Some(&codebase), branch.as_ref(), revision.as_ref()];
        request.grow(texts.into_iter().flatten().map(String::len).sum())?;
        request.versions += 1;
        request.spec.versions.insert(codebase, TriggerVersion { branch, revision });
        Ok(())
    }

    async fn property(&mut self, request: Resource<Request>, name: String, value: String) -> wasmtime::Result<()> {
        let request = self.table.get_mut(&request)?;
        request.grow(name.len() + value.len())?;
        request.properties.push((name, value));
        Ok(())
    }

    async fn detach(&mut self, request: Resource<Request>) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.spec.detached = true;
        Ok(())
    }

    async fn start(
        &mut self,
        request: Resource<Request>,
    ) -> wasmtime::Result<Result<Resource<Triggered>, types::Fault>> {
        let spec = self.table.get(&request)?.check();
        match self.trigger(spec).await {
            Ok(triggered) => Ok(Ok(self.table.push(Triggered(triggered))?)),
            Err(fault) => Ok(Err(fault.into())),
        }
    }

    async fn drop(&mut self, request: Resource<Request>) -> wasmtime::Result<()> {
        self.table.delete(request)?;
        Ok(())
    }
}

impl HostTriggered for HostSide {
    async fn buildset(&mut self, triggered: Resource<Triggered>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&triggered)?.0.buildset())
    }

    async fn wait(&mut self, triggered: Resource<Triggered>) -> wasmtime::Result<Result<types::Outcome, types::Fault>> {
        let patience = self.patience();
        let triggered = self.table.get_mut(&triggered)?;
        // Other builds take their time; the step's own limit holds.
        let ended = patience.outside(triggered.0.wait()).await;
        Ok(ended.map(Into::into).map_err(Into::into))
    }

    async fn drop(&mut self, triggered: Resource<Triggered>) -> wasmtime::Result<()> {
        self.table.delete(triggered)?;
        Ok(())
    }
}

impl HostSide {
    async fn trigger(&mut self, spec: Result<TriggerSpec, Fault>) -> Result<Box<dyn surroundings::Triggered>, Fault> {
        let spec = spec?;
        self.grant.allows_trigger(&spec.scheduler)?;
        let triggers = self.surroundings.triggers.clone().ok_or_else(|| not_offered("trigger"))?;
        // The host may be away for a while; the step's own limit holds.
        self.patience().outside(triggers.start(spec)).await
    }
}
