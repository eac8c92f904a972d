//! What a use of a plugin may do and use up, as the runtime takes it.

use std::time::Duration;

use stampmill_model as model;
use stampmill_runtime as runtime;

/// A grant.
#[must_use]
pub fn grant_for_plugin(grant: &model::Grant) -> runtime::Grant {
    runtime::Grant {
        command: grant.command.clone(),
        net: grant.net.clone(),
        read: grant.read.iter().map(Into::into).collect(),
        write: grant.write.iter().map(Into::into).collect(),
        http: grant.http.clone(),
        secret: grant.secret.clone(),
        credential: grant.credential.clone(),
        trigger: grant.trigger.clone(),
    }
}

/// Limits.
#[must_use]
pub fn limits_for_plugin(limits: &model::PluginLimits) -> runtime::GuestLimits {
    runtime::GuestLimits {
        memory_bytes: limits.memory_bytes,
        call: limits.time.map(Duration::from),
        compute: limits.compute.map(Duration::from),
        host_call: limits.host_call.map(Duration::from),
    }
}
