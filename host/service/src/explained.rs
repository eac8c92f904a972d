//! Why requests wait, from the engine.

use stampmill_engine::{ChangeWait, Explanation};
use stampmill_model::{Build, BuildState, ChangeId, RequestId, RequestState};

use crate::door::Service;
use crate::error::ServiceError;
use crate::identity::Identity;
use crate::limits::EXPLAINED_MAX;
use crate::permission::Action;
use crate::queries::Waiting;

/// Which build a request has ended with, whose it was, and what it says of its end.
fn company(build: &Build, request: RequestId) -> String {
    let lead =
        if build.request == request { String::new() } else { format!(", merged with request {}", build.request) };
    let why = said_at_end(build).map(|summary| format!(": {summary}")).unwrap_or_default();
    format!(" with build {} of builder `{}`{lead}{why}", build.number, build.builder)
}

/// What a build says of its end.
fn said_at_end(build: &Build) -> Option<&str> {
    match &build.state {
        BuildState::Finished { summary, .. } if !summary.is_empty() => Some(summary),
        BuildState::Finished { .. } | BuildState::Dispatched | BuildState::Running | BuildState::Cancelling { .. } => {
            None
        }
    }
}

impl Service {
    /// Why a request is where it is. One that has ended is explained from the store.
    pub async fn explain_request(&self, who: &Identity, id: RequestId) -> Result<Explanation, ServiceError> {
        who.require(Action::Read)?;
        if let Some(mut explanation) = self.host.explain_request(id).await? {
            if let Some(build) = self.read(who, move |reading| reading.last_try(id)).await? {
                let why = said_at_end(&build).unwrap_or("thrown away");
                explanation.summary += &format!("; before it was build {}: {why}", build.number);
            }
            return Ok(explanation);
        }
        let request = self.read(who, move |reading| reading.request(id)).await?;
        let summary = match request.state {
            RequestState::AwaitingApproval => "it waits for a person's approval".to_owned(),
            RequestState::Pending => "it waits for a worker".to_owned(),
            RequestState::Building(build) => format!("build {build} runs for it"),
            RequestState::Complete { outcome, build: None, reason, .. } => {
                let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                format!("it has ended: {outcome}{why}")
            }
            RequestState::Complete { outcome, build: Some(build), .. } => {
                let build = self.read(who, move |reading| reading.build(build)).await?;
                format!("it has ended: {outcome}{}", company(&build, id))
            }
        };
        let merging = request.merge_key.in_words().map(|words| format!("; {words}")).unwrap_or_default();
        Ok(Explanation { summary: summary + &merging, position: None, workers: Vec::new() })
    }

    /// What a change waits for at the schedulers that have not built it yet.
    pub async fn explain_change(&self, who: &Identity, id: ChangeId) -> Result<Vec<ChangeWait>, ServiceError> {
        self.read(who, move |reading| reading.change(id)).await?;
        Ok(self.host.explain_change(id).await?)
    }

    /// Each waiting request with one sentence why it waits; the first ones only, as each is a question to the engine.
    pub async fn explain_waiting(
        &self,
        who: &Identity,
        waiting: &[Waiting],
    ) -> Result<Vec<Option<String>>, ServiceError> {
        who.require(Action::Read)?;
        let mut sentences = Vec::with_capacity(waiting.len());
        for (position, entry) in waiting.iter().enumerate() {
            let explanation =
                if position < EXPLAINED_MAX { self.host.explain_request(entry.request.id).await? } else { None };
            sentences.push(explanation.map(|explanation| explanation.summary));
        }
        Ok(sentences)
    }
}
