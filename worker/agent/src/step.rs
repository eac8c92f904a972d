//! Runs one step: a plugin in the runtime, with the capabilities that the step has here.

mod around;
mod network;
mod programs;
mod triggers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde_json::Value;
use stampmill_model::{Grant, Outcome, ProgramEnd, StepPlan};
use stampmill_runtime::{GuestLimits, Plugin, PluginError, Surroundings, Use};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::build::Context;
use crate::command::{CommandSettings, SandboxedProcesses, ownership};
use crate::convert::{grant_for_plugin, limits_for_plugin, outcome_from_runtime};
use crate::limits::{CANCEL_GRACE, PLUGIN_MESSAGES_WAITING, WORK_LOOK_EVERY, WORK_LOOK_SHARE};
use crate::logs::StepLogs;
use crate::workdir::Allowance;
use around::{BuildDoor, MessageLog, PropertyDoor, StepSecrets};
use network::StepNetwork;
use programs::{LastEnd, NotedProcesses};
use triggers::TriggerDoor;

/// The log that says why a step could not be run.
pub(crate) const ERROR_LOG: &str = "error";
/// The log of what the plugin itself has to say.
const PLUGIN_LOG: &str = "plugin";

/// How a step ended.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// One line, may be empty.
    pub(crate) summary: String,
    /// How the last of its programs ended, if one did by itself.
    pub(crate) program: Option<ProgramEnd>,
}

/// How a step is ended before its time.
#[derive(Clone)]
pub(crate) struct Stop {
    /// Programs get their stop signal; the plugin has [`CANCEL_GRACE`] to return.
    pub(crate) asked: CancellationToken,
    /// At once.
    pub(crate) now: CancellationToken,
}

/// Runs a step to its end. When this returns no program of the step is left.
#[tracing::instrument(target = "stampmill::stage", name = "step", level = "debug", skip_all)]
pub(crate) async fn run(context: &Context, number: u32, plan: &StepPlan, config: Value, stop: &Stop) -> Ended {
    let logs = context.logs(number);
    let door = Arc::new(BuildDoor::new(context.clone(), number));
    let network = Arc::new(StepNetwork::new(context.clone(), number));
    let programs = Programs {
        stop: CancellationToken::new(),
        running: TaskTracker::new(),
        shared_workspace: AtomicBool::new(false),
        last: LastEnd::default(),
    };
    let step = Step { context, number, plan, logs: &logs, door: &door, network: &network, programs: &programs };
    let begun = Instant::now();
    let ended = tokio::select! {
        ended = step.in_time(config, stop) => ended,
        why = step.outgrown() => Err(why),
        () = logs.flush_in_time() => Err("the step's logs cannot be recorded".to_owned()),
        () = door.tell_in_time() => Err("the step's summary cannot be recorded".to_owned()),
        () = network.tell_in_time() => Err("the step's network attempts cannot be recorded".to_owned()),
    };
    // The plugin's instance is dropped, which kills its programs; here they are gone.
    programs.running.close();
    programs.running.wait().await;
    network.tell();
    let ended = match step.give_away().await {
        Ok(()) => ended,
        Err(error) => ended.and(Err(error.to_string())),
    };
    // However it ended: one that fails each time fills the directory as well.
    let too_much = if context.work().is_due_after(begun.elapsed()) { step.too_much().await } else { None };
    let ended = ended.and_then(|ended| too_much.map_or(Ok(ended), Err));
    let ended = match ended {
        Ok(ended) => ended,
        Err(why) => step.broken(&why).await,
    };
    if let Err(error) = logs.flush().await {
        tracing::warn!(step = number, %error, "the end of a log is lost");
    }
    let summary = if ended.summary.is_empty() { door.summary() } else { ended.summary };
    Ended { outcome: ended.outcome, summary: context.one_line(&summary), program: programs.last.get() }
}

/// The programs of a step.
struct Programs {
    /// Cancelled: they get their stop signal.
    stop: CancellationToken,
    running: TaskTracker,
    /// Whether the plugin itself may have written into the work directory.
    shared_workspace: AtomicBool,
    last: LastEnd,
}

struct Step<'a> {
    context: &'a Context,
    number: u32,
    plan: &'a StepPlan,
    logs: &'a StepLogs,
    door: &'a Arc<BuildDoor>,
    network: &'a Arc<StepNetwork>,
    programs: &'a Programs,
}

impl Step<'_> {
    async fn in_time(&self, config: Value, stop: &Stop) -> Result<Ended, String> {
        // Fetching and compiling a plugin is not the step's time: the host may be away.
        let (plugin, grant) = tokio::select! {
            prepared = self.prepare() => prepared?,
            () = stop.asked.cancelled() => return Ok(cancelled()),
            () = stop.now.cancelled() => return Ok(cancelled()),
        };
        let limit = Duration::from(self.plan.time_limit);
        let mut running = std::pin::pin!(self.start(&plugin, &grant, config));
        let cut = tokio::select! {
            ended = &mut running => return ended,
            () = tokio::time::sleep(limit) => {
                Err(format!("step `{}` ran longer than {} s", self.plan.name, limit.as_secs_f64()))
            }
            () = stop.asked.cancelled() => Ok(cancelled()),
            () = stop.now.cancelled() => Ok(cancelled()),
        };
        // Programs get their signal, and the plugin a moment to see their end and to say its last words.
        self.programs.stop.cancel();
        tokio::select! {
            _ = &mut running => {}
            () = tokio::time::sleep(CANCEL_GRACE) => {}
            () = stop.now.cancelled() => {}
        }
        cut
    }

    /// Watches the work directory; answers, when it holds too much, what is said of that.
    async fn outgrown(&self) -> String {
        let mut pause = WORK_LOOK_EVERY;
        loop {
            tokio::time::sleep(pause).await;
            let begun = Instant::now();
            if let Some(why) = self.too_much().await {
                return why;
            }
            pause = (begun.elapsed() * WORK_LOOK_SHARE).max(WORK_LOOK_EVERY);
        }
    }

    async fn too_much(&self) -> Option<String> {
        let limits = &self.context.agent().config.limits;
        let allowed = Allowance { bytes: limits.work_bytes, files: limits.work_files };
        let too_much = self.context.work().measure(allowed).await?;
        Some(format!("step `{}`: {too_much}; it is emptied at the end of the build", self.plan.name))
    }

    /// What the plugin itself wrote belongs to the programs of later steps too.
    async fn give_away(&self) -> Result<(), ownership::OwnershipError> {
        if self.programs.shared_workspace.load(Ordering::Relaxed) {
            ownership::give(self.context.work_directory(), self.context.agent().identity).await?;
        }
        Ok(())
    }

    #[tracing::instrument(target = "stampmill::stage", name = "plugin", level = "debug", skip_all)]
    async fn prepare(&self) -> Result<(Arc<Plugin>, Grant), String> {
        let (plan, agent) = (self.plan, self.context.agent());
        let allowed = agent.config.allow.effective(&plan.plugin.name, &plan.grant);
        let grant = allowed.map_err(|refused| refused.to_string())?;
        let plugin = agent.components.plugin(&plan.plugin.digest).await;
        let plugin = plugin.map_err(|error| format!("plugin `{}`: {error}", plan.plugin.name))?;
        Ok((plugin, grant))
    }

    async fn start(&self, plugin: &Arc<Plugin>, grant: &Grant, config: Value) -> Result<Ended, String> {
        let (messages, written) = MessageLog::new(PLUGIN_MESSAGES_WAITING);
        let usage = Use {
            grant: grant_for_plugin(grant),
            // The plugin's own limit lies behind the step's, which is kept above and ends programs with their signal.
            limits: GuestLimits {
                call: Some(Duration::from(self.plan.time_limit) + CANCEL_GRACE),
                ..limits_for_plugin(&self.plan.limits)
            },
            surroundings: self.surroundings(self.context, plugin, grant, messages)?,
            ..Use::new(self.plan.name.clone(), config)
        };
        // The messages end when the instance is dropped, which `call` does.
        let (result, ()) = tokio::join!(call(plugin, usage), written.write(self.logs, PLUGIN_LOG));
        match result {
            Ok(outcome) => Ok(Ended { outcome, summary: String::new(), program: None }),
            Err(error) => Err(told(&self.plan.plugin.name, &error)),
        }
    }

    fn surroundings(
        &self,
        context: &Context,
        plugin: &Plugin,
        grant: &Grant,
        messages: MessageLog,
    ) -> Result<Surroundings, String> {
        let directory = Dir::open_ambient_dir(context.work_directory(), ambient_authority())
            .map_err(|error| format!("the work directory cannot be opened: {error}"))?;
        let settings = settings(context, plugin);
        self.programs.shared_workspace.store(settings.shared_workspace, Ordering::Relaxed);
        let secrets = Arc::new(StepSecrets::new(context.secrets(), grant));
        let processes = SandboxedProcesses::new(
            settings,
            Arc::new(self.logs.clone()),
            Arc::clone(&secrets) as _,
            self.programs.stop.clone(),
            self.programs.running.clone(),
        )
        .recorded_by(Arc::clone(self.network) as _);
        let processes = NotedProcesses { processes, last: self.programs.last.clone() };
        Ok(Surroundings {
            log: Some(Arc::new(messages)),
            processes: Some(Arc::new(processes)),
            secrets: Some(secrets),
            state: None,
            workspace: Some(Arc::new(directory)),
            properties: Some(Arc::new(PropertyDoor::new(context.clone(), self.number))),
            logs: Some(Arc::new(self.logs.clone())),
            running_build: Some(Arc::clone(self.door) as _),
            triggers: Some(Arc::new(TriggerDoor::new(context.clone(), self.number))),
            network: Some(Arc::clone(self.network) as _),
        })
    }

    async fn broken(&self, why: &str) -> Ended {
        if let Err(error) = self.logs.line(ERROR_LOG, why).await {
            tracing::warn!(%error, why, "a step's error cannot be recorded in its log");
        }
        Ended { outcome: Outcome::Exception, summary: why.to_owned(), program: None }
    }
}

fn cancelled() -> Ended {
    Ended { outcome: Outcome::Cancelled, summary: String::new(), program: None }
}

#[tracing::instrument(target = "stampmill::stage", name = "guest", level = "debug", skip_all)]
async fn call(plugin: &Arc<Plugin>, usage: Use) -> Result<Outcome, Box<PluginError>> {
    let mut instance = plugin.start(usage).await.map_err(Box::new)?;
    let outcome = instance.run().await.map_err(Box::new)?;
    Ok(outcome_from_runtime(outcome))
}

fn told(plugin: &str, error: &PluginError) -> String {
    let text = error.to_string();
    if text.contains(plugin) { text } else { format!("plugin `{plugin}`: {text}") }
}

fn settings(context: &Context, plugin: &Plugin) -> CommandSettings {
    let agent = context.agent();
    CommandSettings {
        helper: agent.helper.clone(),
        work_directory: context.work_directory().to_owned(),
        identity: agent.identity,
        limits: agent.program_limits(),
        floor: agent.floor(),
        socket_directory: agent.sockets.clone(),
        shared_workspace: plugin.imports().iter().any(|import| import.contains("workspace")),
    }
}
