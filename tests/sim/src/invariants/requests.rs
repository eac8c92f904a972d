//! A request has one open build at a time, and one that ran to its end.

use std::collections::BTreeMap;

use stampmill_model::{BuildId, BuildState, Outcome, RequestId, RequestState};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::{Written, is_open};

#[derive(Default)]
pub(super) struct Requests {
    /// The build that gave a request its outcome.
    built: BTreeMap<RequestId, BuildId>,
}

impl Invariant for Requests {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        for build in step.started() {
            for request in build.requests() {
                let mut others = facts.said.open_builds().filter(|other| other.id != build.id);
                let other = others.find(|other| other.requests().any(|it| it == request));
                expect(other.is_none(), || {
                    let other = other.map(|other| other.id);
                    format!("request {request} is built by {} while build {other:?} is open", build.id)
                })?;
                let state = &facts.said.requests[&request].state;
                expect(*state == RequestState::Building(build.id), || {
                    format!("build {} was started for request {request}, which is {state:?}", build.id)
                })?;
            }
        }
        Ok(())
    }

    fn committed(&mut self, facts: &Facts, written: &[Written]) -> Finding {
        for written in written {
            match written {
                Written::Build { before, after } => {
                    let was_open = before.as_ref().is_none_or(|before| is_open(before));
                    expect(was_open, || {
                        format!("build {} had ended and is written again: {:?}", after.id, after.state)
                    })?;
                    if let BuildState::Finished { outcome, .. } = after.state
                        && outcome != Outcome::Retry
                    {
                        for request in after.requests() {
                            let other = self.built.insert(request, after.id);
                            expect(other.is_none(), || {
                                format!("request {request} was built to its end by {other:?} and by {}", after.id)
                            })?;
                        }
                    }
                }
                Written::Request { before: Some(before), after } => {
                    let was_over = matches!(before.state, RequestState::Complete { .. });
                    expect(!was_over, || format!("request {} was complete and is {:?}", after.id, after.state))?;
                }
                Written::Request { before: None, after } => {
                    let set = &facts.disk.durable.buildsets.get(&after.buildset);
                    let is_listed = set.is_some_and(|set| set.requests.contains(&after.id));
                    expect(is_listed, || format!("request {} is in no buildset", after.id))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
