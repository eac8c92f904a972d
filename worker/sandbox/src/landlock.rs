//! Landlock as a second fence inside the private root: reading everywhere, writing only where the root is writable, no signal and no abstract
//! socket out of the tree. Best effort: kernels from 5.19 have enough of it. See <https://docs.kernel.org/userspace-api/landlock.html>.
#![expect(unsafe_code, reason = "the bindings keep the question for the version private")]

use ::landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, Scope,
};
use std::path::Path;

use crate::fault::{Blame, Fault, Mechanism};
use crate::limits::{BUILD_DIR, HOME_DIR};
use crate::policy::Policy;
use crate::root::shown;

/// The version whose rules these are; newer kernels enforce the same, older ones what they have.
const WRITTEN_FOR: ABI = ABI::V6;
/// Version 1 forbids every move between directories, which breaks builds; it is not used.
pub(crate) const LEAST: u32 = 2;
/// `LANDLOCK_CREATE_RULESET_VERSION`: asks for the version instead of making a rule set.
const ASK_VERSION: libc::c_uint = 1;

/// Writable places that every command has.
const WRITABLE: [&str; 5] = [BUILD_DIR, "/tmp", HOME_DIR, "/dev", "/proc"];

/// The version that the kernel has; 0 for none.
pub(crate) fn version() -> u32 {
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the kernel reads no memory.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, ASK_VERSION) };
    u32::try_from(version).unwrap_or(0)
}

/// Whether this kernel's Landlock is in force around commands.
pub(crate) fn is_used() -> bool {
    version() >= LEAST
}

/// Fences this process in. Does nothing on a kernel that has no usable Landlock.
pub(crate) fn restrict(policy: &Policy) -> Result<(), Fault> {
    if !is_used() {
        return Ok(());
    }
    let all = AccessFs::from_all(WRITTEN_FOR);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .blame(Mechanism::Landlock, "file rights")?
        .scope(Scope::AbstractUnixSocket)
        .and_then(|rules| rules.scope(Scope::Signal))
        .blame(Mechanism::Landlock, "scopes")?
        .create()
        .blame(Mechanism::Landlock, "rule set")?;
    rules = allow(rules, Path::new("/"), AccessFs::from_read(WRITTEN_FOR))?;
    for place in WRITABLE {
        rules = allow(rules, Path::new(place), all)?;
    }
    for place in &policy.write {
        let rights = if place.is_dir() { all } else { AccessFs::from_file(WRITTEN_FOR) };
        rules = allow(rules, place, rights)?;
    }
    rules.restrict_self().blame(Mechanism::Landlock, "restriction")?;
    Ok(())
}

fn allow(rules: RulesetCreated, place: &Path, rights: ::landlock::BitFlags<AccessFs>) -> Result<RulesetCreated, Fault> {
    let fd = PathFd::new(place).blame(Mechanism::Landlock, &shown(place))?;
    rules.add_rule(PathBeneath::new(fd, rights)).blame(Mechanism::Landlock, &shown(place))
}
