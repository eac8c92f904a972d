//! What a use of a plugin may use up: what is configured for it, else the default of its kind, and never more than the host-wide maximum.

use stampmill_model::{Milliseconds, PluginLimits};
use stampmill_runtime::{GuestLimits, Kind};

use super::Checker;
use crate::config::finding::{Problem, Sink};
use crate::config::limits as bounds;
use crate::config::raw;
use crate::config::reader::At;
use crate::config::units::{show_bytes, show_duration};

/// What no use of a plugin may exceed, by `[limits]`.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Most {
    memory_bytes: u64,
    time: Milliseconds,
    compute: Milliseconds,
    host_call: Milliseconds,
}

impl Most {
    /// What the file says, else the defaults.
    pub(in crate::config) fn new(limits: &raw::Limits) -> Self {
        Self {
            memory_bytes: limits.plugin_memory.unwrap_or(bounds::PLUGIN_MEMORY),
            time: limits.plugin_time.unwrap_or(bounds::PLUGIN_TIME),
            compute: limits.plugin_compute.unwrap_or(bounds::PLUGIN_COMPUTE),
            host_call: limits.plugin_host_call.unwrap_or(bounds::PLUGIN_HOST_CALL),
        }
    }
}

/// One limit of one use.
struct One<'a> {
    what: &'a str,
    key: &'static str,
    /// Of `[limits]`.
    host_key: &'static str,
    sink: &'a Sink,
}

impl One<'_> {
    /// `None` where the default is in force: a default above the maximum is not.
    fn within<T: Copy + PartialOrd>(
        &self,
        wanted: Option<&At<T>>,
        default: Option<T>,
        most: T,
        show: fn(T) -> String,
    ) -> Option<T> {
        let Some(wanted) = wanted else { return default.filter(|default| *default > most).map(|_| most) };
        if wanted.value <= most {
            return Some(wanted.value);
        }
        let (key, host_key, shown) = (self.key, self.host_key, show(most));
        let message = format!(
            "`limits.{key}` of {} is {}, and `{host_key}` of `[limits]` allows {shown}",
            self.what,
            show(wanted.value)
        );
        let problem = Problem::error(wanted.span.clone(), message).label(format!("at most {shown}"));
        self.sink.report(problem.mend(format!("write `{key} = \"{shown}\"` or less, or raise `{host_key}`")));
        None
    }
}

impl Checker<'_> {
    pub(super) fn limits(&self, usage: &raw::Use, kind: Kind) -> PluginLimits {
        let default = GuestLimits::of_kind(kind);
        let (set, most) = (&usage.limits, &self.most);
        let one = |key, host_key| One { what: &usage.what, key, host_key, sink: self.sink };
        let length = |time: Option<std::time::Duration>| {
            time.map(|time| Milliseconds(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
        };
        let (compute, host_call) = (length(default.compute), length(default.host_call));
        PluginLimits {
            memory_bytes: one("memory", "plugin-memory").within(
                set.memory.as_ref(),
                default.memory_bytes,
                most.memory_bytes,
                show_bytes,
            ),
            time: match (kind, &set.time) {
                (Kind::Step, None) => None,
                (Kind::Step, Some(time)) => {
                    let message =
                        format!("`limits.time` of {} means nothing: a step's time is its `timeout`", usage.what);
                    let mend = format!("write `timeout = \"{}\"` beside `plugin`", show_duration(time.value));
                    self.sink.report(Problem::error(time.span.clone(), message).label("without effect").mend(mend));
                    None
                }
                (_, time) => {
                    one("time", "plugin-time").within(time.as_ref(), length(default.call), most.time, show_duration)
                }
            },
            compute: one("compute", "plugin-compute").within(
                set.compute.as_ref(),
                compute,
                most.compute,
                show_duration,
            ),
            host_call: one("host-call", "plugin-host-call").within(
                set.host_call.as_ref(),
                host_call,
                most.host_call,
                show_duration,
            ),
        }
    }
}
