//! A request is shown to its merge plugin before it is built, and is never merged over what that has answered: those that share a build were
//! given the same key, by the first answer that came in time; who was given none is built alone.

use std::collections::BTreeMap;

use stampmill_engine::Input;
use stampmill_engine::config::Merge;
use stampmill_model::{MergeKey, Request, RequestId, RequestState};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::Written;

/// The answers that came while somebody waited for them; `None` is a plugin that did not give a key.
#[derive(Default)]
pub(super) struct MergeKeys(BTreeMap<RequestId, Option<String>>);

impl Invariant for MergeKeys {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        if step.input.is_none() {
            // What was not durable is gone, and asked again.
            let is_answered = |it: &Request| !matches!(it.merge_key, MergeKey::Unasked | MergeKey::Awaited);
            self.0.retain(|id, _| facts.said.requests.get(id).is_some_and(|it| is_answered(it)));
        }
        for written in step.written {
            let Written::Request { before: Some(before), after } = written else { continue };
            if before.merge_key != MergeKey::Awaited {
                let is_kept = before.merge_key == after.merge_key
                    || (&before.merge_key, &after.merge_key) == (&MergeKey::Unasked, &MergeKey::Awaited);
                expect(is_kept, || format!("the plugin is asked once: {before:?} became {after:?}"))?;
                continue;
            }
            if let Some(Input::MergeKeyFound { request, result }) = step.input
                && *request == after.id
            {
                self.0.entry(after.id).or_insert_with(|| result.clone().ok().flatten());
            }
        }
        for build in step.started() {
            let keys: Vec<_> = build.requests().map(|id| (id, &facts.said.requests[&id].merge_key)).collect();
            let is_asked_about = keys.iter().find(|(_, key)| **key == MergeKey::Awaited);
            expect(is_asked_about.is_none(), || format!("build {} starts without an answer: {keys:?}", build.id))?;
            let by_plugin = facts.builder(&build.builder).is_some_and(|builder| builder.merge == Merge::ByPlugin);
            let answers = keys.iter().map(|(id, _)| self.0.get(id).cloned().flatten());
            let mut answers = answers.collect::<Vec<_>>();
            answers.sort_unstable();
            answers.dedup();
            let is_one = answers.len() == 1 && (!by_plugin || answers[0].is_some());
            expect(keys.len() == 1 || is_one, || format!("build {} is merged over {answers:?}: {keys:?}", build.id))?;
        }
        Ok(())
    }

    fn over(&mut self, facts: &Facts) -> Finding {
        let waits = facts
            .said
            .requests
            .values()
            .find(|it| it.merge_key == MergeKey::Awaited && !matches!(it.state, RequestState::Complete { .. }));
        expect(waits.is_none(), || format!("nobody answers about {waits:?}"))
    }
}
