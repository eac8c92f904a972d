//! The generated types of the contract to the crate's own and back. Text from a guest is bounded here.

use serde_json::Value;

use crate::bindings::exports::stampmill::change_source::{hook, poller};
use crate::bindings::exports::stampmill::filter::filter;
use crate::bindings::stampmill::host::command as wit_command;
use crate::bindings::types as wit;
use crate::error::PluginErrorKind;
use crate::host::log::cut;
use crate::limits;
use crate::records::{
    Change, Fault, HookReply, HookRequest, Judgement, Outcome, Patch, Polled, Request, SeenChange, Setting,
    SourceStamp, Verdict, WantedSource,
};
use crate::surroundings::End;

fn bounded(text: String) -> String {
    if text.len() <= limits::TEXT_BYTES_MAX { text } else { cut(&text, limits::TEXT_BYTES_MAX).to_owned() }
}

impl From<wit::Fault> for Fault {
    fn from(fault: wit::Fault) -> Fault {
        match fault {
            wit::Fault::Refused(text) => Fault::Refused(bounded(text)),
            wit::Fault::Unavailable(wit::Unavailable { reason, retry_after }) => Fault::Unavailable {
                reason: bounded(reason),
                retry_after: retry_after.map(std::time::Duration::from_millis),
            },
            wit::Fault::Broken(text) => Fault::Broken(bounded(text)),
        }
    }
}

impl From<Fault> for wit::Fault {
    fn from(fault: Fault) -> wit::Fault {
        match fault {
            Fault::Refused(text) => wit::Fault::Refused(text),
            Fault::Unavailable { reason, retry_after } => wit::Fault::Unavailable(wit::Unavailable {
                reason,
                retry_after: retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            }),
            Fault::Broken(text) => wit::Fault::Broken(text),
        }
    }
}

impl From<Outcome> for wit::Outcome {
    fn from(outcome: Outcome) -> wit::Outcome {
        match outcome {
            Outcome::Success => wit::Outcome::Success,
            Outcome::Warnings => wit::Outcome::Warnings,
            Outcome::Failure => wit::Outcome::Failure,
            Outcome::Skipped => wit::Outcome::Skipped,
            Outcome::Exception => wit::Outcome::Exception,
            Outcome::Retry => wit::Outcome::Retry,
            Outcome::Cancelled => wit::Outcome::Cancelled,
        }
    }
}

impl From<wit::Outcome> for Outcome {
    fn from(outcome: wit::Outcome) -> Outcome {
        match outcome {
            wit::Outcome::Success => Outcome::Success,
            wit::Outcome::Warnings => Outcome::Warnings,
            wit::Outcome::Failure => Outcome::Failure,
            wit::Outcome::Skipped => Outcome::Skipped,
            wit::Outcome::Exception => Outcome::Exception,
            wit::Outcome::Retry => Outcome::Retry,
            wit::Outcome::Cancelled => Outcome::Cancelled,
        }
    }
}

fn settings_out(settings: &[Setting]) -> Vec<wit::Setting> {
    settings
        .iter()
        .map(|setting| wit::Setting { name: setting.name.clone(), value: setting.value.to_string() })
        .collect()
}

fn settings_in(settings: Vec<wit::Setting>) -> Result<Vec<Setting>, PluginErrorKind> {
    let parse = |setting: wit::Setting| {
        let wit::Setting { name, value } = setting;
        if name.is_empty() || name.len() > limits::NAME_BYTES_MAX {
            let what = format!("{:?} is no name of a property", cut(&name, 80));
            return Err(PluginErrorKind::Malformed(what));
        }
        if value.len() > limits::PROPERTY_BYTES_MAX {
            let limit = limits::PROPERTY_BYTES_MAX as u64;
            return Err(PluginErrorKind::TooMuch { what: "bytes of one property", limit });
        }
        match serde_json::from_str::<Value>(&value) {
            Ok(value) => Ok(Setting { name, value }),
            Err(error) => {
                Err(PluginErrorKind::Malformed(format!("the value of property `{name}` is not JSON: {error}")))
            }
        }
    };
    settings.into_iter().map(parse).collect()
}

impl From<&SeenChange> for wit::SeenChange {
    fn from(seen: &SeenChange) -> wit::SeenChange {
        wit::SeenChange {
            author: seen.author.clone(),
            committer: seen.committer.clone(),
            comments: seen.comments.clone(),
            files: seen.files.clone(),
            repository: seen.repository.clone(),
            project: seen.project.clone(),
            revision: seen.revision.clone(),
            branch: seen.branch.clone(),
            category: seen.category.clone(),
            link: seen.link.clone(),
            committed_at: seen.committed_at,
            properties: settings_out(&seen.properties),
            extra: settings_out(&seen.extra),
        }
    }
}

impl TryFrom<wit::SeenChange> for SeenChange {
    type Error = PluginErrorKind;

    fn try_from(seen: wit::SeenChange) -> Result<SeenChange, PluginErrorKind> {
        Ok(SeenChange {
            author: seen.author,
            committer: seen.committer,
            comments: seen.comments,
            files: seen.files,
            repository: seen.repository,
            project: seen.project,
            revision: seen.revision,
            branch: seen.branch,
            category: seen.category,
            link: seen.link,
            committed_at: seen.committed_at,
            properties: settings_in(seen.properties)?,
            extra: settings_in(seen.extra)?,
        })
    }
}

impl From<&Change> for wit::Change {
    fn from(change: &Change) -> wit::Change {
        wit::Change {
            id: change.id,
            codebase: change.codebase.clone(),
            arrived_at: change.arrived_at,
            seen: (&change.seen).into(),
        }
    }
}

impl From<&Patch> for wit::Patch {
    fn from(patch: &Patch) -> wit::Patch {
        wit::Patch {
            level: patch.level,
            body: patch.body.clone(),
            subdirectory: patch.subdirectory.clone(),
            author: patch.author.clone(),
            comment: patch.comment.clone(),
        }
    }
}

impl From<&SourceStamp> for wit::SourceStamp {
    fn from(stamp: &SourceStamp) -> wit::SourceStamp {
        wit::SourceStamp {
            codebase: stamp.codebase.clone(),
            repository: stamp.repository.clone(),
            project: stamp.project.clone(),
            branch: stamp.branch.clone(),
            revision: stamp.revision.clone(),
            patch: stamp.patch.as_ref().map(Into::into),
            extra: settings_out(&stamp.extra),
        }
    }
}

impl From<&WantedSource> for wit::WantedSource {
    fn from(source: &WantedSource) -> wit::WantedSource {
        wit::WantedSource {
            codebase: source.codebase.clone(),
            repository: source.repository.clone(),
            project: source.project.clone(),
            branch: source.branch.clone(),
            revision: source.revision.clone(),
            patched: source.patched,
            trusted: source.trusted,
        }
    }
}

impl From<&Request> for wit::Request {
    fn from(request: &Request) -> wit::Request {
        wit::Request {
            id: request.id,
            builder: request.builder.clone(),
            project: request.project.clone(),
            priority: request.priority,
            reason: request.reason.clone(),
            scheduler: request.scheduler.clone(),
            owner: request.owner.clone(),
            submitted_at: request.submitted_at,
            sources: request.sources.iter().map(Into::into).collect(),
            properties: settings_out(&request.properties),
            extra: settings_out(&request.extra),
        }
    }
}

/// About how many bytes a change takes.
pub(crate) fn weigh_change(seen: &SeenChange) -> usize {
    let optional = [&seen.committer, &seen.revision, &seen.branch, &seen.category, &seen.link];
    let files: usize = seen.files.iter().map(|file| file.len() + 24).sum();
    256 + seen.author.len()
        + seen.comments.len()
        + seen.repository.len()
        + seen.project.len()
        + files
        + optional.into_iter().flatten().map(String::len).sum::<usize>()
}

fn changes_in(changes: Vec<wit::SeenChange>) -> Result<Vec<SeenChange>, PluginErrorKind> {
    if changes.len() > limits::CHANGES_MAX {
        return Err(PluginErrorKind::TooMuch { what: "changes in one answer", limit: limits::CHANGES_MAX as u64 });
    }
    let mut weight = 0;
    let mut taken = Vec::with_capacity(changes.len());
    for change in changes {
        let settings = change.properties.iter().chain(&change.extra);
        weight += settings.map(|setting| setting.name.len() + setting.value.len()).sum::<usize>();
        let change = SeenChange::try_from(change)?;
        weight += weigh_change(&change);
        if weight > limits::CHANGES_BYTES_MAX {
            let limit = limits::CHANGES_BYTES_MAX as u64;
            return Err(PluginErrorKind::TooMuch { what: "bytes of changes in one answer", limit });
        }
        taken.push(change);
    }
    Ok(taken)
}

impl TryFrom<poller::Polled> for Polled {
    type Error = PluginErrorKind;

    fn try_from(polled: poller::Polled) -> Result<Polled, PluginErrorKind> {
        if polled.cursor.len() > limits::CURSOR_BYTES_MAX {
            return Err(PluginErrorKind::TooMuch {
                what: "bytes of the cursor",
                limit: limits::CURSOR_BYTES_MAX as u64,
            });
        }
        Ok(Polled { changes: changes_in(polled.changes)?, cursor: polled.cursor, more: polled.more })
    }
}

impl From<HookRequest> for hook::Request {
    fn from(request: HookRequest) -> hook::Request {
        hook::Request {
            method: request.method,
            path: request.path,
            query: request.query,
            headers: request.headers,
            body: request.body,
        }
    }
}

impl TryFrom<hook::Reply> for HookReply {
    type Error = PluginErrorKind;

    fn try_from(reply: hook::Reply) -> Result<HookReply, PluginErrorKind> {
        if !(200..=599).contains(&reply.status) {
            return Err(PluginErrorKind::Malformed(format!(
                "status {} of the reply is none of HTTP's final ones",
                reply.status
            )));
        }
        if reply.body.len() > limits::REPLY_BYTES_MAX {
            return Err(PluginErrorKind::TooMuch { what: "bytes of the reply", limit: limits::REPLY_BYTES_MAX as u64 });
        }
        if reply.delivery.as_ref().is_some_and(|delivery| delivery.len() > limits::NAME_BYTES_MAX) {
            return Err(PluginErrorKind::TooMuch {
                what: "bytes of the delivery's id",
                limit: limits::NAME_BYTES_MAX as u64,
            });
        }
        Ok(HookReply {
            status: reply.status,
            body: reply.body,
            delivery: reply.delivery,
            changes: changes_in(reply.changes)?,
        })
    }
}

/// A codebase's name as a generator answered it.
pub(crate) fn codebase_in(codebase: Option<String>) -> Result<Option<String>, PluginErrorKind> {
    match codebase {
        Some(name) if name.len() > limits::NAME_BYTES_MAX => {
            Err(PluginErrorKind::TooMuch { what: "bytes of the codebase's name", limit: limits::NAME_BYTES_MAX as u64 })
        }
        other => Ok(other),
    }
}

/// A key as a merge plugin answered it: people read it, so it is one short line.
pub(crate) fn merge_key_in(key: Option<String>) -> Result<Option<String>, PluginErrorKind> {
    match key {
        Some(key) if key.len() > limits::NAME_BYTES_MAX => {
            Err(PluginErrorKind::TooMuch { what: "bytes of the merge key", limit: limits::NAME_BYTES_MAX as u64 })
        }
        Some(key) if key.chars().any(char::is_control) => {
            Err(PluginErrorKind::Malformed(format!("{:?} is no merge key: it has control characters", cut(&key, 80))))
        }
        other => Ok(other),
    }
}

/// One judgement for each change.
pub(crate) fn judgements_in(
    judgements: Vec<filter::Judgement>,
    changes: usize,
) -> Result<Vec<Judgement>, PluginErrorKind> {
    if judgements.len() != changes {
        let what = format!("{} judgements for {changes} changes", judgements.len());
        return Err(PluginErrorKind::Malformed(what));
    }
    let take = |judgement: filter::Judgement| Judgement {
        verdict: match judgement.verdict {
            filter::Verdict::Important => Verdict::Important,
            filter::Verdict::Unimportant => Verdict::Unimportant,
            filter::Verdict::Ignore => Verdict::Ignore,
        },
        reason: bounded(judgement.reason),
    };
    Ok(judgements.into_iter().map(take).collect())
}

impl From<End> for wit_command::End {
    fn from(end: End) -> wit_command::End {
        match end {
            End::Exited(code) => wit_command::End::Exited(code),
            End::Signalled(signal) => wit_command::End::Signalled(signal),
            End::Stopped(reason) => wit_command::End::Stopped(reason),
        }
    }
}
