//! From a plugin's type to the component's exports.

use crate::bindings::capabilities::stampmill::types::types as wit;
use crate::bindings::{
    change_hook, change_poller, codebase_generator, merge, plugin, reporter, scheduler_filter, step,
};
use crate::{ChangeHook, ChangePoller, CodebaseGenerator, Fault, Merge, Plugin, Reporter, SchedulerFilter, Step};
use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

thread_local! {
    /// The one plugin of this component, made by `configure`. A component has one thread.
    static PLUGIN: RefCell<Option<Rc<dyn Any>>> = const { RefCell::new(None) };
}

/// Implements the generated traits for a plugin's type; `register!` exports it.
#[derive(Debug)]
pub struct Registered<P>(PhantomData<P>);

fn current<P: Plugin>() -> Result<Rc<P>, wit::Fault> {
    let held = PLUGIN.with_borrow(Clone::clone);
    held.and_then(|any| any.downcast::<P>().ok()).ok_or_else(|| {
        wit::Fault::Refused("the plugin was asked before it was configured: call configure first".to_owned())
    })
}

fn configure<P: Plugin>(config: &str) -> Result<(), Fault> {
    let config =
        serde_json::from_str::<P::Config>(config).map_err(|error| Fault::refused(format!("configuration: {error}")))?;
    let made = P::new(config)?;
    PLUGIN.set(Some(Rc::new(made)));
    Ok(())
}

/// A panic in WebAssembly is a bare trap, and there is no standard error: the message goes through the log.
#[cfg(target_arch = "wasm32")]
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| crate::log::error(panic.to_string())));
}

#[cfg(not(target_arch = "wasm32"))]
fn report_panics() {}

impl<P: Plugin> plugin::exports::stampmill::plugin::configurable::Guest for Registered<P> {
    fn configure(config: String) -> Result<(), wit::Fault> {
        report_panics();
        Ok(configure::<P>(&config)?)
    }
}

impl<P: ChangePoller> change_poller::exports::stampmill::change_source::poller::Guest for Registered<P> {
    fn poll(cursor: Option<String>) -> Result<crate::Polled, wit::Fault> {
        Ok(current::<P>()?.poll(cursor.as_deref())?)
    }
}

impl<P: ChangeHook> change_hook::exports::stampmill::change_source::hook::Guest for Registered<P> {
    fn receive(request: crate::HookRequest) -> Result<crate::HookReply, wit::Fault> {
        Ok(current::<P>()?.receive(&request)?)
    }
}

impl<P: CodebaseGenerator> codebase_generator::exports::stampmill::codebase::generator::Guest for Registered<P> {
    fn codebase_of(change: crate::SeenChange) -> Result<Option<String>, wit::Fault> {
        Ok(current::<P>()?.codebase_of(&change)?)
    }
}

impl<P: SchedulerFilter> scheduler_filter::exports::stampmill::filter::filter::Guest for Registered<P> {
    fn judge(changes: Vec<crate::Change>) -> Result<Vec<crate::Judgement>, wit::Fault> {
        let plugin = current::<P>()?;
        Ok(changes.iter().map(|change| plugin.judge(change)).collect::<Result<_, Fault>>()?)
    }
}

impl<P: Merge> merge::exports::stampmill::merge::merge::Guest for Registered<P> {
    fn key(request: crate::Request) -> Result<Option<String>, wit::Fault> {
        Ok(current::<P>()?.key(&request)?)
    }
}

impl<P: Step> step::exports::stampmill::step::step::Guest for Registered<P> {
    fn run() -> Result<crate::Outcome, wit::Fault> {
        Ok(current::<P>()?.run()?)
    }
}

impl<P: Reporter> reporter::exports::stampmill::reporter::reporter::Guest for Registered<P> {
    fn report(id: String, attempt: u32, occasion: crate::Occasion) -> Result<(), wit::Fault> {
        Ok(current::<P>()?.report(&id, attempt, &occasion)?)
    }
}

/// Makes a component of a plugin: exports its kind, and carries the manifest that `build.rs` wrote.
///
/// `stampmill_sdk::register!(step: Shell);` with one of `change-poller`, `change-hook`, `codebase-generator`, `scheduler-filter`, `merge`,
/// `step` and `reporter`. Natively it makes nothing, so that a plugin's tests run anywhere.
#[macro_export]
macro_rules! register {
    (change-poller: $plugin:ty) => { $crate::register!(@export export_change_poller, change_poller, $plugin); };
    (change-hook: $plugin:ty) => { $crate::register!(@export export_change_hook, change_hook, $plugin); };
    (codebase-generator: $plugin:ty) => { $crate::register!(@export export_codebase_generator, codebase_generator, $plugin); };
    (scheduler-filter: $plugin:ty) => { $crate::register!(@export export_scheduler_filter, scheduler_filter, $plugin); };
    (merge: $plugin:ty) => { $crate::register!(@export export_merge, merge, $plugin); };
    (step: $plugin:ty) => { $crate::register!(@export export_step, step, $plugin); };
    (reporter: $plugin:ty) => { $crate::register!(@export export_reporter, reporter, $plugin); };
    (@export $export:ident, $bindings:ident, $plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Registered = $crate::private::Registered<$plugin>;
            $crate::private::export_plugin!(Registered with_types_in $crate::private::plugin);
            $crate::private::$export!(Registered with_types_in $crate::private::$bindings);

            const MANIFEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/manifest.json"));
            #[used]
            #[unsafe(link_section = "stampmill:manifest")]
            static SECTION: [u8; MANIFEST.len()] = *include_bytes!(concat!(env!("OUT_DIR"), "/manifest.json"));
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin::exports::stampmill::plugin::configurable::Guest as _;

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    struct Config {
        codebase: String,
    }

    struct Constant(String);

    impl Plugin for Constant {
        type Config = Config;
        fn new(config: Config) -> Result<Self, Fault> {
            Ok(Constant(config.codebase))
        }
    }

    impl CodebaseGenerator for Constant {
        fn codebase_of(&self, _change: &crate::SeenChange) -> Result<Option<String>, Fault> {
            Ok(Some(self.0.clone()))
        }
    }

    fn ask() -> Result<Option<String>, wit::Fault> {
        use codebase_generator::exports::stampmill::codebase::generator::Guest;
        <Registered<Constant> as Guest>::codebase_of(crate::SeenChange::default())
    }

    #[test]
    fn a_plugin_answers_with_its_configuration_and_not_before_it() {
        assert!(matches!(ask(), Err(wit::Fault::Refused(reason)) if reason.contains("configure")));
        Registered::<Constant>::configure(r#"{"codebase": "app"}"#.to_owned()).expect("a right configuration");
        assert_eq!(ask().expect("an answer").as_deref(), Some("app"));
    }

    #[test]
    fn an_unknown_key_is_refused_and_named() {
        let refused = Registered::<Constant>::configure(r#"{"codebase": "app", "codebse": 1}"#.to_owned());
        assert!(
            matches!(refused, Err(wit::Fault::Refused(reason)) if reason.contains("codebse") && reason.contains("codebase"))
        );
    }
}
