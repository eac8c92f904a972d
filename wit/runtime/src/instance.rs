//! One running plugin: a call goes in under its limits, and an answer or a named error comes out.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::exports::stampmill as exports;
use crate::bindings::types;
use crate::convert;
use crate::error::{Clock, PluginError, PluginErrorKind, Stop, classify};
use crate::host::HostSide;
use crate::limits;
use crate::manifest::Kind;
use crate::plugin::Plugin;
use crate::records::{Change, HookReply, HookRequest, Judgement, Occasion, Outcome, Polled, Request, SeenChange};

use exports::reporter::reporter::Occasion as WitOccasion;

/// One instance of a plugin, with memory of its own. It may be called again and again until a call traps, runs out of a limit, or is dropped
/// before its end; then it is dead and says so.
pub struct Instance {
    plugin: Arc<Plugin>,
    usage: String,
    store: Store<HostSide>,
    exports: Exports,
    dead: bool,
}

#[derive(Clone)]
enum Exports {
    Poller(exports::change_source::poller::Guest),
    Hook(exports::change_source::hook::Guest),
    Generator(exports::codebase::generator::Guest),
    Filter(exports::filter::filter::Guest),
    Merge(exports::merge::merge::Guest),
    Step(exports::step::step::Guest),
    Reporter(exports::reporter::reporter::Guest),
}

/// What a guest's function comes back with.
type Returned<T> = wasmtime::Result<Result<T, types::Fault>>;

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("plugin", &self.plugin.manifest().id)
            .field("usage", &self.usage)
            .finish_non_exhaustive()
    }
}

impl Instance {
    pub(crate) async fn start(
        plugin: Arc<Plugin>,
        usage: String,
        mut store: Store<HostSide>,
        config: &Value,
    ) -> Result<Instance, PluginError> {
        store.set_hostcall_fuel(limits::CROSSING_BYTES_MAX);
        store.epoch_deadline_callback(|context| {
            let side = context.data();
            side.clock.tick(side.limits.compute)?;
            Ok(UpdateDeadline::Yield(1))
        });
        begin(&mut store);
        let limit = Some(store.data().limits.call.unwrap_or(limits::CONFIGURE_CALL).max(limits::CONFIGURE_CALL));
        let instantiated = timed(limit, instantiate(&plugin, &mut store)).await;
        let (exports, configurable) = match instantiated {
            Ok(parts) => parts,
            Err(error) => return Err(failed(&plugin, &usage, "start", broke(&mut store, &error))),
        };
        let mut instance = Instance { plugin, usage, store, exports, dead: false };
        instance.begin("configure")?;
        let returned = timed(limit, configurable.call_configure(&mut instance.store, &config.to_string())).await;
        instance.end("configure", returned)?;
        Ok(instance)
    }

    /// The plugin that this is an instance of.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Whether an earlier call ended it.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Asks a poller for what is new since `cursor`.
    pub async fn poll(&mut self, cursor: Option<&str>) -> Result<Polled, PluginError> {
        let Exports::Poller(guest) = self.exports.clone() else { return Err(self.wrong("poll")) };
        let limit = self.begin("poll")?;
        let returned = timed(limit, guest.call_poll(&mut self.store, cursor)).await;
        let polled = self.end("poll", returned)?;
        polled.try_into().map_err(|kind| self.failed("poll", kind))
    }

    /// Gives a request to a hook.
    pub async fn receive(&mut self, request: HookRequest) -> Result<HookReply, PluginError> {
        let Exports::Hook(guest) = self.exports.clone() else { return Err(self.wrong("receive")) };
        let limit = self.begin("receive")?;
        let request = request.into();
        let returned = timed(limit, guest.call_receive(&mut self.store, &request)).await;
        let reply = self.end("receive", returned)?;
        reply.try_into().map_err(|kind| self.failed("receive", kind))
    }

    /// Asks a codebase generator which codebase a change belongs to.
    pub async fn codebase_of(&mut self, change: &SeenChange) -> Result<Option<String>, PluginError> {
        let Exports::Generator(guest) = self.exports.clone() else { return Err(self.wrong("codebase-of")) };
        let limit = self.begin("codebase-of")?;
        let change = change.into();
        let returned = timed(limit, guest.call_codebase_of(&mut self.store, &change)).await;
        let codebase = self.end("codebase-of", returned)?;
        convert::codebase_in(codebase).map_err(|kind| self.failed("codebase-of", kind))
    }

    /// Asks a filter about changes; one judgement for each comes back, in order.
    pub async fn judge(&mut self, changes: &[Change]) -> Result<Vec<Judgement>, PluginError> {
        let Exports::Filter(guest) = self.exports.clone() else { return Err(self.wrong("judge")) };
        let limit = self.begin("judge")?;
        let given: Vec<types::Change> = changes.iter().map(Into::into).collect();
        let returned = timed(limit, guest.call_judge(&mut self.store, &given)).await;
        let judgements = self.end("judge", returned)?;
        convert::judgements_in(judgements, changes.len()).map_err(|kind| self.failed("judge", kind))
    }

    /// Asks a merge plugin with which others a request may share a build: those of the same key, or nobody.
    pub async fn merge_key(&mut self, request: &Request) -> Result<Option<String>, PluginError> {
        let Exports::Merge(guest) = self.exports.clone() else { return Err(self.wrong("key")) };
        let limit = self.begin("key")?;
        let given = request.into();
        let returned = timed(limit, guest.call_key(&mut self.store, &given)).await;
        let key = self.end("key", returned)?;
        convert::merge_key_in(key).map_err(|kind| self.failed("key", kind))
    }

    /// Runs a step to its end. How long that may take is the caller's matter: dropping the future ends the step and the programs that it started.
    pub async fn run(&mut self) -> Result<Outcome, PluginError> {
        let Exports::Step(guest) = self.exports.clone() else { return Err(self.wrong("run")) };
        let limit = self.begin("run")?;
        let returned = timed(limit, guest.call_run(&mut self.store)).await;
        Ok(self.end("run", returned)?.into())
    }

    /// Tells a reporter. `id` is the same for each attempt.
    pub async fn report(&mut self, id: &str, attempt: u32, occasion: Occasion) -> Result<(), PluginError> {
        let Exports::Reporter(guest) = self.exports.clone() else { return Err(self.wrong("report")) };
        let limit = self.begin("report")?;
        let occasion = match self.hand_over(occasion) {
            Ok(occasion) => occasion,
            Err(error) => {
                let kind = broke(&mut self.store, &error);
                return Err(self.failed("report", kind));
            }
        };
        let returned = timed(limit, guest.call_report(&mut self.store, id, attempt, &occasion)).await;
        self.end("report", returned)
    }

    /// Puts the facts of an occasion where the guest's handles lead.
    fn hand_over(&mut self, occasion: Occasion) -> wasmtime::Result<WitOccasion> {
        let side = self.store.data_mut();
        Ok(match occasion {
            Occasion::BuildStarted(build) => WitOccasion::BuildStarted(side.push_build(build)?),
            Occasion::BuildFinished(build) => WitOccasion::BuildFinished(side.push_build(build)?),
            Occasion::FirstFailure(set) => WitOccasion::FirstFailure(side.push_buildset(set)?),
            Occasion::BuildsetFinished(set) => WitOccasion::BuildsetFinished(side.push_buildset(set)?),
            Occasion::Other(value) => WitOccasion::Other(value.to_string()),
        })
    }

    /// From here to `end` the instance counts as dead: a call whose future is dropped leaves it so.
    fn begin(&mut self, call: &'static str) -> Result<Option<Duration>, PluginError> {
        if self.dead {
            return Err(self.dead_error(call));
        }
        self.dead = true;
        begin(&mut self.store);
        Ok(self.store.data().limits.call)
    }

    fn end<T>(&mut self, call: &'static str, returned: Returned<T>) -> Result<T, PluginError> {
        match returned {
            Ok(answer) => {
                self.dead = false;
                self.store.data_mut().log.end();
                answer.map_err(|fault| self.failed(call, PluginErrorKind::Fault(fault.into())))
            }
            Err(error) => {
                let kind = broke(&mut self.store, &error);
                Err(self.failed(call, kind))
            }
        }
    }

    fn failed(&self, call: &'static str, kind: PluginErrorKind) -> PluginError {
        failed(&self.plugin, &self.usage, call, kind)
    }

    fn dead_error(&self, call: &'static str) -> PluginError {
        self.failed(call, PluginErrorKind::Dead)
    }

    fn wrong(&self, call: &'static str) -> PluginError {
        self.failed(call, PluginErrorKind::WrongCall { kind: self.plugin.kind() })
    }
}

fn begin(store: &mut Store<HostSide>) {
    store.data_mut().begin();
    store.set_epoch_deadline(1);
}

/// The call did not come back: what is known about it.
fn broke(store: &mut Store<HostSide>, error: &wasmtime::Error) -> PluginErrorKind {
    let log = &mut store.data_mut().log;
    let last_words = log.last_words();
    log.end();
    classify(error, last_words)
}

fn failed(plugin: &Plugin, usage: &str, call: &'static str, kind: PluginErrorKind) -> PluginError {
    PluginError { plugin: plugin.manifest().id.clone(), usage: usage.to_owned(), call, kind: Box::new(kind) }
}

async fn timed<T>(limit: Option<Duration>, call: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    match limit {
        None => call.await,
        Some(limit) => match tokio::time::timeout(limit, call).await {
            Ok(returned) => returned,
            Err(_) => Err(Stop::Deadline { what: Clock::Call, limit }.into()),
        },
    }
}

async fn instantiate(
    plugin: &Plugin,
    store: &mut Store<HostSide>,
) -> wasmtime::Result<(Exports, exports::plugin::configurable::Guest)> {
    let linked = plugin.component();
    let instance = linked.instantiate_async(&mut *store).await?;
    let configurable = exports::plugin::configurable::GuestIndices::new(linked)?.load(&mut *store, &instance)?;
    let exports = match plugin.kind() {
        Kind::ChangePoller => {
            Exports::Poller(exports::change_source::poller::GuestIndices::new(linked)?.load(&mut *store, &instance)?)
        }
        Kind::ChangeHook => {
            Exports::Hook(exports::change_source::hook::GuestIndices::new(linked)?.load(&mut *store, &instance)?)
        }
        Kind::CodebaseGenerator => {
            Exports::Generator(exports::codebase::generator::GuestIndices::new(linked)?.load(&mut *store, &instance)?)
        }
        Kind::SchedulerFilter => {
            Exports::Filter(exports::filter::filter::GuestIndices::new(linked)?.load(&mut *store, &instance)?)
        }
        Kind::Merge => Exports::Merge(exports::merge::merge::GuestIndices::new(linked)?.load(&mut *store, &instance)?),
        Kind::Step => Exports::Step(exports::step::step::GuestIndices::new(linked)?.load(&mut *store, &instance)?),
        Kind::Reporter => {
            Exports::Reporter(exports::reporter::reporter::GuestIndices::new(linked)?.load(&mut *store, &instance)?)
        }
    };
    Ok((exports, configurable))
}
