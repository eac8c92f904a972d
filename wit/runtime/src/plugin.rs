//! A loaded plugin: what it is, whether a use of it is possible, and starting one.

use std::sync::Arc;

use serde_json::Value;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentNamedList, HasSelf, InstancePre, Lift, Linker, Lower};
use wasmtime::{Engine, Store};

use crate::bindings::exports::stampmill as exports;
use crate::bindings::stampmill::host as interfaces;
use crate::bindings::types;
use crate::config::ConfigSchema;
use crate::digest::Digest;
use crate::error::{PluginError, PluginErrorKind, Refusal};
use crate::grant::Grant;
use crate::host::{HostSide, http, log};
use crate::inspect::{Inspection, LoadError};
use crate::instance::Instance;
use crate::limits::{GuestLimits, InForce};
use crate::manifest::{Kind, Manifest, Permission};
use crate::surroundings::Surroundings;

/// One use of a plugin: a change source, a step of a job, a filter of a scheduler.
#[derive(Clone, Debug)]
pub struct Use {
    /// Its name, for messages.
    pub name: String,
    /// The plugin's configuration for it.
    pub config: Value,
    /// What the operator allows it.
    pub grant: Grant,
    /// What the operator set about its limits.
    pub limits: GuestLimits,
    /// What it has around it.
    pub surroundings: Surroundings,
}

impl Use {
    /// A use that may do nothing and has nothing around it.
    pub fn new(name: impl Into<String>, config: Value) -> Use {
        Use {
            name: name.into(),
            config,
            grant: Grant::default(),
            limits: GuestLimits::default(),
            surroundings: Surroundings::default(),
        }
    }
}

/// A component that was checked, compiled and linked; instances are made from it in microseconds.
pub struct Plugin {
    inspection: Inspection,
    schema: ConfigSchema,
    component: InstancePre<HostSide>,
    http: Arc<http::Client>,
    /// Whether the schema says which keys name secrets.
    secrets_are_named: bool,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("inspection", &self.inspection).finish_non_exhaustive()
    }
}

impl Plugin {
    pub(crate) fn new(
        engine: &Engine,
        component: &Component,
        inspection: Inspection,
        schema: ConfigSchema,
        http: Arc<http::Client>,
    ) -> Result<Plugin, LoadError> {
        let mismatch = |error: wasmtime::Error| LoadError::Mismatch {
            plugin: inspection.manifest.id.clone(),
            why: format!("{error:#}"),
        };
        let linker = link(engine, &inspection.imports).map_err(mismatch)?;
        let linked = linker.instantiate_pre(component).map_err(mismatch)?;
        check_exports(&linked, inspection.manifest.kind).map_err(mismatch)?;
        let secrets_are_named = inspection.manifest.says_where_secrets_are_named();
        Ok(Plugin { inspection, schema, component: linked, http, secrets_are_named })
    }

    /// The name of its bytes.
    pub fn digest(&self) -> &Digest {
        &self.inspection.digest
    }

    /// What it says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.inspection.manifest
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        self.inspection.manifest.kind
    }

    /// The interfaces that it really imports.
    pub fn imports(&self) -> &[String] {
        &self.inspection.imports
    }

    /// Whether this use is possible as it is configured: something is granted of each thing that the plugin asks for, and the configuration
    /// is what its schema describes. No secret need be granted where the schema says which keys name one: the configuration may name none. What the surroundings offer is looked at when the use starts.
    pub fn check(&self, usage: &Use) -> Result<(), Refusal> {
        let (plugin, name) = (self.manifest().id.clone(), usage.name.clone());
        usage.grant.check().map_err(|bad| Refusal::BadGrant {
            usage: name.clone(),
            key: bad.key,
            value: bad.value,
            why: bad.why,
        })?;
        for permission in &self.manifest().permissions {
            let optional = *permission == Permission::Secret && self.secrets_are_named;
            if let Some(mend) = missing(*permission, &usage.grant).filter(|_| !optional) {
                return Err(Refusal::NotGranted { plugin, usage: name, permission: *permission, mend });
            }
        }
        let problems = self.schema.check(&usage.config);
        if problems.is_empty() { Ok(()) } else { Err(Refusal::Config { plugin, usage: name, problems }) }
    }

    /// Starts one instance: checked, with fresh memory, configured.
    pub async fn start(self: &Arc<Self>, usage: Use) -> Result<Instance, PluginError> {
        let checked = self.check(&usage).and_then(|()| self.check_offered(&usage));
        checked.map_err(|refusal| PluginError {
            plugin: self.manifest().id.clone(),
            usage: usage.name.clone(),
            call: "start",
            kind: Box::new(PluginErrorKind::Refused(refusal)),
        })?;
        let limits = InForce::new(self.kind(), &usage.limits);
        let names = log::Names { plugin: self.manifest().id.clone(), usage: usage.name.clone() };
        let side = HostSide::new(names, usage.grant, usage.surroundings, limits, self.http.clone());
        let mut store = Store::new(self.component.engine(), side);
        store.limiter(|side| &mut side.memory);
        Instance::start(self.clone(), usage.name, store, &usage.config).await
    }

    pub(crate) fn component(&self) -> &InstancePre<HostSide> {
        &self.component
    }

    fn check_offered(&self, usage: &Use) -> Result<(), Refusal> {
        let around = &usage.surroundings;
        let offered = |permission: Permission| match permission {
            Permission::Command => around.processes.is_some(),
            Permission::Secret => around.secrets.is_some(),
            Permission::State => around.state.is_some(),
            Permission::Workspace => around.workspace.is_some(),
            Permission::Properties => around.properties.is_some(),
            Permission::Logs => around.logs.is_some(),
            Permission::Trigger => around.triggers.is_some(),
            Permission::Http => true,
        };
        let absent = self
            .manifest()
            .permissions
            .iter()
            .find(|permission| !offered(**permission))
            .map(|permission| permission.as_str());
        let building = self.imports().iter().any(|import| import.starts_with("stampmill:host/running-build@"));
        let unbuilt = (building && around.running_build.is_none()).then_some("running-build");
        match absent.or(unbuilt) {
            None => Ok(()),
            Some(permission) => {
                Err(Refusal::NotOffered { plugin: self.manifest().id.clone(), usage: usage.name.clone(), permission })
            }
        }
    }
}

/// The line of configuration that is missing, if one is. What reaches only this build or this use needs no grant.
fn missing(permission: Permission, grant: &Grant) -> Option<&'static str> {
    match permission {
        Permission::Command if grant.command.is_empty() => Some("grant = { command = [\"PROGRAM\"] }"),
        Permission::Http if grant.http.is_empty() => Some("grant = { http = [\"https://HOST\"] }"),
        Permission::Secret if grant.secret.is_empty() => Some("grant = { secret = [\"NAME\"] }"),
        Permission::Trigger if grant.trigger.is_empty() => Some("grant = { trigger = [\"SCHEDULER\"] }"),
        _ => None,
    }
}

/// Links what the component imports and nothing else: an interface that its manifest doesn't ask for isn't there.
fn link(engine: &Engine, imports: &[String]) -> wasmtime::Result<Linker<HostSide>> {
    type Side = HasSelf<HostSide>;
    let mut linker = Linker::new(engine);
    for import in imports {
        let interface = import.split(['/', '@']).nth(1).unwrap_or_default();
        match interface {
            "log" => interfaces::log::add_to_linker::<_, Side>(&mut linker, |side| side)?,
            "command" => interfaces::command::add_to_linker::<_, Side>(&mut linker, |side| side)?,
            "http" => interfaces::http::add_to_linker::<_, Side>(&mut linker, |side| side)?,
            "secret" => interfaces::secret::add_to_linker::<_, Side>(&mut linker, |side| side)?,
            "state" => interfaces::state::add_to_linker::<_, Side>(&mut linker, |side| side)?,
            "workspace" => interfaces::workspace::add_to_linker::<_, Side>(&mut linker, |side| side)?,
            "facts" => interfaces::facts::add_to_linker::<_, Side>(&mut linker, |side| side)?,
            "running-build" => interfaces::running_build::add_to_linker::<_, Side>(&mut linker, |side| side)?,
            "properties" => interfaces::properties::add_to_linker::<_, Side>(&mut linker, |side| side)?,
            "logs" => interfaces::logs::add_to_linker::<_, Side>(&mut linker, |side| side)?,
            "trigger" => interfaces::trigger::add_to_linker::<_, Side>(&mut linker, |side| side)?,
            // `types` holds no function, and anything else was refused when the component was inspected.
            _ => {}
        }
    }
    Ok(linker)
}

/// Compares the types of the exported functions now, so that a plugin of another time fails when it is loaded and not in a build.
fn check_exports(linked: &InstancePre<HostSide>, kind: Kind) -> wasmtime::Result<()> {
    type Answer<T> = (Result<T, types::Fault>,);
    let version = "0.1.0";
    let export = |path: &str| format!("{path}@{version}");
    fits::<(String,), Answer<()>>(linked, &export("stampmill:plugin/configurable"), "configure")?;
    let interface = export(crate::contract::export_of(kind));
    match kind {
        Kind::ChangePoller => {
            fits::<(Option<String>,), Answer<exports::change_source::poller::Polled>>(linked, &interface, "poll")
        }
        Kind::ChangeHook => {
            use exports::change_source::hook::{Reply, Request};
            fits::<(Request,), Answer<Reply>>(linked, &interface, "receive")
        }
        Kind::CodebaseGenerator => {
            fits::<(types::SeenChange,), Answer<Option<String>>>(linked, &interface, "codebase-of")
        }
        Kind::SchedulerFilter => {
            fits::<(Vec<types::Change>,), Answer<Vec<exports::filter::filter::Judgement>>>(linked, &interface, "judge")
        }
        Kind::Merge => fits::<(types::Request,), Answer<Option<String>>>(linked, &interface, "key"),
        Kind::Step => fits::<(), Answer<types::Outcome>>(linked, &interface, "run"),
        Kind::Reporter => {
            use exports::reporter::reporter::Occasion;
            fits::<(String, u32, Occasion), Answer<()>>(linked, &interface, "report")
        }
    }
}

fn fits<P, R>(linked: &InstancePre<HostSide>, interface: &str, function: &str) -> wasmtime::Result<()>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let component = linked.component();
    let missing = || wasmtime::format_err!("`{interface}` has no function `{function}`");
    let instance = component.get_export_index(None, interface).ok_or_else(missing)?;
    match component.get_export(Some(&instance), function) {
        Some((ComponentItem::ComponentFunc(found), _)) => found
            .typecheck::<P, R>(&linked.instance_type())
            .map_err(|error| error.context(format!("`{interface}`, function `{function}`"))),
        _ => Err(missing()),
    }
}
