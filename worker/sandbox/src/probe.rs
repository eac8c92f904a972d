//! What this machine gives: each mechanism, whether it works for this user, and the tier that follows.

use nix::unistd::{Gid, Uid, getegid, geteuid};
use serde::{Deserialize, Serialize};

use crate::cgroup::{CgroupVersion, Cgroups};
use crate::fault::{Fault, Mechanism};
use crate::helper::Ids;
use crate::policy::{Floor, Identity, Policy};
use crate::protocol::{Report, Request};
use crate::spawn::{End, Helper, SandboxError, Sandboxed, ask, rehearse};
use crate::{landlock, namespaces, seccomp};

/// The ids that a probe by root uses: `nobody`, which every system has.
const NOBODY: u32 = 65534;

/// How well commands can be confined here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// No native command: only WebAssembly steps.
    WasmOnly,
    /// With `Floor::Degraded` only.
    Degraded,
    /// With all of the fence.
    Sandboxed,
}

/// What the helper finds out without putting up a fence.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Facts {
    namespaces: Vec<(Mechanism, bool)>,
    seccomp: bool,
    landlock: u32,
}

/// The mechanisms of this machine, for this user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mechanisms {
    /// Each necessary mechanism, and whether it works here.
    pub each: Vec<(Mechanism, bool)>,
    /// The version of Landlock; 0 for none. Below 2 it is not used.
    pub landlock_version: u32,
    /// The cgroup interface by which the helper was told to limit trees, if any; else they are limited by watching.
    pub cgroup: Option<CgroupVersion>,
    /// What follows.
    pub tier: Tier,
    /// Why the tier is not `Sandboxed`: what happened when the whole fence was put up.
    pub fault: Option<Fault>,
}

impl Mechanisms {
    /// Those that don't work, in the order in which they act. Landlock is among them when it is not used.
    #[must_use]
    pub fn missing(&self) -> Vec<Mechanism> {
        let each = self.each.iter();
        let mut missing: Vec<_> = each.filter(|(_, works)| !works).map(|(m, _)| *m).collect();
        let failed = self.fault.as_ref().map(|fault| fault.mechanism);
        missing.extend(failed.filter(|mechanism| !missing.contains(mechanism)));
        if self.landlock_version < landlock::LEAST {
            missing.push(Mechanism::Landlock);
        }
        missing
    }
}

/// Looks, by trying: every namespace alone, then the whole fence with nothing in it. Takes some milliseconds. Root tries as `nobody`.
///
/// # Errors
/// When the helper can't be started or is none.
pub fn probe(helper: &Helper) -> Result<Mechanisms, SandboxError> {
    let Report::Facts(facts) = ask(helper, &Request::Facts)? else {
        return Err(SandboxError::Helper {
            program: helper.program().to_owned(),
            source: std::io::Error::other("it answered something else than it was asked"),
        });
    };
    let required = try_fence(helper, Floor::Required)?;
    let (tier, fault) = match required {
        None => (Tier::Sandboxed, None),
        Some(fault) => match try_fence(helper, Floor::Degraded)? {
            None => (Tier::Degraded, Some(fault)),
            Some(_) => (Tier::WasmOnly, Some(fault)),
        },
    };
    let mut each = facts.namespaces;
    each.push((Mechanism::Seccomp, facts.seccomp));
    Ok(Mechanisms {
        each,
        landlock_version: facts.landlock,
        cgroup: helper.cgroups().map(Cgroups::version),
        tier,
        fault,
    })
}

fn try_fence(helper: &Helper, floor: Floor) -> Result<Option<Fault>, SandboxError> {
    let identity = if geteuid().is_root() { Identity::Ids { uid: NOBODY, gid: NOBODY } } else { Identity::Own };
    // Nothing runs in it, so that any directory will do that can be entered.
    let mut policy = Policy::new(vec!["rehearsal".into()], "/usr".into(), identity);
    policy.floor = floor;
    let ended = rehearse(helper, &policy)?.wait_for_end()?;
    Ok(match ended {
        End::Exited(0) => None,
        End::SetupFailed(fault) => Some(fault),
        other => Some(Fault::new(Mechanism::Helper, format!("the rehearsal ended as {other:?}"))),
    })
}

impl Sandboxed {
    fn wait_for_end(mut self) -> Result<End, SandboxError> {
        let ending = self.wait().map_err(|source| SandboxError::Machine { what: "answer", source })?;
        Ok(ending.end)
    }
}

/// The helper's half of a probe.
pub(crate) fn facts() -> Facts {
    let root = geteuid().is_root();
    let ids = if root {
        Ids { uid: Uid::from_raw(NOBODY), gid: Gid::from_raw(NOBODY) }
    } else {
        Ids { uid: geteuid(), gid: getegid() }
    };
    Facts {
        namespaces: namespaces::availability(root, ids),
        seccomp: seccomp::is_available(),
        landlock: landlock::version(),
    }
}
