//! The build that a step belongs to.

use std::sync::Arc;

use wasmtime::component::Resource;

use crate::bindings::stampmill::host::running_build::Host;
use crate::host::facts::Build;
use crate::host::log::cut;
use crate::host::{HostSide, not_offered};
use crate::limits;
use crate::surroundings::RunningBuild;

impl Host for HostSide {
    async fn current(&mut self) -> wasmtime::Result<Resource<Build>> {
        let build = self.running_build()?;
        let facts = self.patience().wait_or_stop("running-build.current", build.facts()).await?;
        self.push_build(facts)
    }

    async fn summary(&mut self, text: String) -> wasmtime::Result<()> {
        let build = self.running_build()?;
        let line = cut(text.lines().next().unwrap_or_default(), limits::TEXT_BYTES_MAX).to_owned();
        self.patience().wait_or_stop("running-build.summary", build.summary(line)).await
    }

    async fn progress(&mut self, done: u64, total: Option<u64>) -> wasmtime::Result<()> {
        let build = self.running_build()?;
        self.patience().wait_or_stop("running-build.progress", build.progress(done, total)).await
    }
}

impl HostSide {
    fn running_build(&self) -> wasmtime::Result<Arc<dyn RunningBuild>> {
        self.surroundings.running_build.clone().ok_or_else(|| not_offered("running-build").into())
    }
}
