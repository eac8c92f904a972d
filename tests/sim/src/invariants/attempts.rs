//! The attempts of a request are numbered upwards: a build has the number of an earlier one only if that was never run. Numbers of a builder's builds
//! only grow, and nothing of a build's identity changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_model::{Build, BuildState, BuilderName, Outcome, RequestId};

use super::{Finding, Invariant, expect};
use crate::facts::Facts;
use crate::records::{Written, is_open};

#[derive(Default)]
pub(super) struct Attempts {
    last: BTreeMap<RequestId, Last>,
    numbers: BTreeMap<BuilderName, u64>,
}

/// The last build of a request.
struct Last {
    build: Arc<Build>,
    /// Whether the worker has told more of it than that it declines.
    was_run: bool,
}

impl Invariant for Attempts {
    fn committed(&mut self, _: &Facts, written: &[Written]) -> Finding {
        for written in written {
            let Written::Build { before, after } = written else { continue };
            if let Some(before) = before {
                let identity = |build: &Build| {
                    (build.number, build.attempt, build.request, build.builder.clone(), build.worker.clone())
                };
                expect(identity(before) == identity(after), || format!("{before:?} has become {after:?}"))?;
            } else {
                self.begin(after)?;
            }
            let last =
                self.last.entry(after.request).or_insert_with(|| Last { build: Arc::clone(after), was_run: false });
            last.was_run |= match &after.state {
                BuildState::Running => true,
                BuildState::Dispatched | BuildState::Cancelling { .. } => false,
                BuildState::Finished { outcome, .. } => *outcome != Outcome::Retry,
            };
            last.build = Arc::clone(after);
        }
        Ok(())
    }
}

impl Attempts {
    fn begin(&mut self, build: &Arc<Build>) -> Finding {
        let (id, attempt, request) = (build.id, build.attempt, build.request);
        let number = self.numbers.insert(build.builder.clone(), build.number).unwrap_or(0);
        expect(build.number > number, || {
            format!("build {id} of {} has number {} after {number}", build.builder, build.number)
        })?;
        let Some(last) = self.last.remove(&request) else {
            return expect(attempt >= 1, || format!("build {id} of request {request} is attempt {attempt}"));
        };
        let (before, of) = (last.build.attempt, last.build.id);
        expect(!is_open(&last.build), || format!("build {id} follows build {of} of request {request}, which is open"))?;
        let grows = if last.was_run { attempt > before } else { attempt >= before };
        expect(grows, || {
            format!("build {id} of request {request} is attempt {attempt} after attempt {before}, build {of}")
        })
    }
}
