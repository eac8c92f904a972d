//! The attempts of a request are numbered upwards: a build has the number of an earlier one only if that was never run. Numbers of a builder's builds
//! only grow, and nothing of a build's identity changes, but that a request leaves those that share it.

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_model::{Build, BuildState, BuilderName, Outcome, RequestId};

use super::{Finding, Invariant, expect};
use crate::facts::Facts;
use crate::records::{Written, is_open};

#[derive(Default)]
pub(super) struct Attempts {
    /// As they are written with each request.
    attempts: BTreeMap<RequestId, u32>,
    last: BTreeMap<RequestId, Last>,
    numbers: BTreeMap<BuilderName, u64>,
}

/// The last build of a request.
struct Last {
    build: Arc<Build>,
    /// Which attempt at the request it is; the build itself has the number of the first of its requests.
    attempt: u32,
    /// Whether the worker has told more of it than that it declines.
    was_run: bool,
}

impl Invariant for Attempts {
    fn committed(&mut self, _: &Facts, written: &[Written]) -> Finding {
        for written in written {
            match written {
                Written::Request { after, .. } => drop(self.attempts.insert(after.id, after.attempts)),
                Written::Build { before: Some(before), after } => {
                    expect(is_same(before, after), || format!("{before:?} has become {after:?}"))?;
                    self.go_on(after);
                }
                Written::Build { before: None, after } => {
                    let number = self.numbers.insert(after.builder.clone(), after.number).unwrap_or(0);
                    expect(after.number > number, || {
                        format!("build {} of {} has number {} after {number}", after.id, after.builder, after.number)
                    })?;
                    let first = self.attempts.get(&after.request);
                    expect(first == Some(&after.attempt), || {
                        let (id, request, attempt) = (after.id, after.request, after.attempt);
                        format!("build {id} is attempt {attempt} at request {request}, which has had {first:?}")
                    })?;
                    after.requests().try_for_each(|request| self.begin(after, request))?;
                    self.go_on(after);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Attempts {
    fn begin(&mut self, build: &Arc<Build>, request: RequestId) -> Finding {
        let (id, attempt) = (build.id, self.attempts.get(&request).copied().unwrap_or(0));
        let next = Last { build: Arc::clone(build), attempt, was_run: false };
        let Some(last) = self.last.insert(request, next) else {
            return expect(attempt >= 1, || format!("build {id} of request {request} is attempt {attempt}"));
        };
        let (before, of) = (last.attempt, last.build.id);
        expect(!is_open(&last.build), || format!("build {id} follows build {of} of request {request}, which is open"))?;
        let grows = if last.was_run { attempt > before } else { attempt >= before };
        expect(grows, || {
            format!("build {id} of request {request} is attempt {attempt} after attempt {before}, build {of}")
        })
    }

    fn go_on(&mut self, build: &Arc<Build>) {
        for request in build.requests() {
            let Some(last) = self.last.get_mut(&request) else { continue };
            last.was_run |= match &build.state {
                BuildState::Running => true,
                BuildState::Dispatched | BuildState::Cancelling { .. } => false,
                BuildState::Finished { outcome, .. } => *outcome != Outcome::Retry,
            };
            last.build = Arc::clone(build);
        }
    }
}

/// Whether a build is what it was, for all of the requests that it was for or for some of them.
fn is_same(before: &Build, after: &Build) -> bool {
    let identity = |build: &Build| (build.number, build.builder.clone(), build.worker.clone(), build.stamps.clone());
    let mut were = before.requests();
    let stay = after.requests().all(|request| were.any(|it| it == request));
    identity(before) == identity(after) && stay && (before.request != after.request || before.attempt == after.attempt)
}
