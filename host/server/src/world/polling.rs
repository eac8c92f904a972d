//! Polling change sources. A poller's native programs run in the sandbox, in a directory that is kept between its polls.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use stampmill_agent::command::{CommandSettings, OutputLog, OutputLogs, SandboxedProcesses};
use stampmill_engine::Input;
use stampmill_engine::input::{Polled, Trouble};
use stampmill_model::ChangeSourceName;
use stampmill_runtime::egress::{Attempt, AttemptEnd, NetworkRecord};
use stampmill_runtime::{Fault, Surroundings};
use stampmill_sandbox::{Floor, Helper, Identity, Limits};
use tokio_util::task::TaskTracker;

use super::asking::not_started;
use crate::config::PluginUse;
use crate::convert;
use crate::limits::POLLER_ID;
use crate::secrets::ConfigSecrets;
use crate::shared::Shared;

/// Polls a source once.
pub(super) async fn poll(shared: &Arc<Shared>, source: ChangeSourceName, cursor: Option<String>, attempt: u64) {
    let composition = shared.composition();
    let result = match composition.loaded.change_sources.get(&source) {
        Some(usage) => ask(shared, &source, usage, cursor.as_deref()).await,
        None => Err(Trouble { message: "it is no longer configured".to_owned(), retry: false, retry_after: None }),
    };
    if let Err(trouble) = &result {
        tracing::warn!(change_source = %source, "poll failed: {}", trouble.message);
    }
    shared.driver.tell(Input::Polled { source, attempt, result }).await;
}

async fn ask(
    shared: &Arc<Shared>,
    source: &ChangeSourceName,
    usage: &PluginUse,
    cursor: Option<&str>,
) -> Result<Polled, Trouble> {
    let programs = TaskTracker::new();
    let surroundings = surroundings(shared, source, usage, programs.clone()).map_err(|error| Trouble {
        message: format!("its work directory can't be made: {error:#}"),
        retry: true,
        retry_after: None,
    })?;
    let mut instance = shared.plugins.start(usage, surroundings).await.map_err(|error| not_started(&error))?;
    let polled = instance.poll(cursor).await;
    // The next poll uses the same directory: nothing of this one may be left in it.
    drop(instance);
    programs.close();
    programs.wait().await;
    let polled = polled.map_err(|error| convert::trouble(&error))?;
    Ok(Polled {
        changes: polled.changes.into_iter().map(convert::seen_change).collect(),
        cursor: polled.cursor,
        more: polled.more,
    })
}

/// What a change source's plugin may reach, if it was granted.
fn surroundings(
    shared: &Arc<Shared>,
    source: &ChangeSourceName,
    usage: &PluginUse,
    programs: TaskTracker,
) -> anyhow::Result<Surroundings> {
    let directory = shared.data.join("change-sources").join(source.as_str());
    let sockets = shared.data.join("run");
    let identity = identity();
    for made in [&directory, &sockets] {
        std::fs::create_dir_all(made).with_context(|| format!("can't make `{}`", made.display()))?;
    }
    if let Identity::Ids { uid, gid } = identity {
        std::os::unix::fs::chown(&directory, Some(uid), Some(gid))
            .with_context(|| format!("can't give `{}` to uid {uid}", directory.display()))?;
    }
    let workspace = cap_std::fs::Dir::open_ambient_dir(&directory, cap_std::ambient_authority())?;
    let secrets = Arc::new(ConfigSecrets::new(&shared.composition().loaded, &usage.grant));
    let settings = CommandSettings {
        helper: Helper::this_program(),
        work_directory: directory,
        identity,
        limits: Limits::default(),
        floor: Floor::Required,
        socket_directory: sockets,
        shared_workspace: true,
    };
    let logs = Arc::new(HostLog { source: source.clone() });
    let network = Arc::new(HostNetwork { source: source.clone() });
    let processes = SandboxedProcesses::new(settings, logs, secrets.clone(), shared.stop.clone(), programs)
        .recorded_by(Arc::clone(&network) as _);
    Ok(Surroundings {
        processes: Some(Arc::new(processes)),
        secrets: Some(secrets),
        workspace: Some(Arc::new(workspace)),
        network: Some(network),
        ..Surroundings::default()
    })
}

/// Whose rights the programs of change sources have: never root's.
fn identity() -> Identity {
    if nix::unistd::geteuid().is_root() { Identity::Ids { uid: POLLER_ID, gid: POLLER_ID } } else { Identity::Own }
}

/// What a change source and its programs try to reach has no build to be listed with: what is refused is in the host's log.
struct HostNetwork {
    source: ChangeSourceName,
}

impl NetworkRecord for HostNetwork {
    fn tried(&self, attempt: Attempt) {
        match attempt.end {
            AttemptEnd::Refused => tracing::warn!(change_source = %self.source, "network: {}", attempt.why),
            AttemptEnd::Failed => tracing::debug!(change_source = %self.source, "network: {}", attempt.why),
            AttemptEnd::Connected => {
                tracing::debug!(change_source = %self.source, target = attempt.target, "network: connected");
            }
        }
    }
}

/// What programs of a change source print goes to the host's own log.
struct HostLog {
    source: ChangeSourceName,
}

impl OutputLogs for HostLog {
    fn output(&self, name: &str) -> Result<Box<dyn OutputLog>, Fault> {
        Ok(Box::new(HostLogWriter { source: self.source.clone(), log: name.to_owned() }))
    }
}

struct HostLogWriter {
    source: ChangeSourceName,
    log: String,
}

#[async_trait]
impl OutputLog for HostLogWriter {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        for line in String::from_utf8_lossy(bytes).lines() {
            tracing::debug!(change_source = %self.source, log = self.log, "{line}");
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
