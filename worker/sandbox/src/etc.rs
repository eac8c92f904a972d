//! What is in `/etc` inside: made for the command, or taken from the machine by name. The list is closed; the rest of the machine's `/etc` is not there.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::helper::Ids;
use crate::limits::{HOME_DIR, NAME_INSIDE};

/// What programs need of the machine's own: the loader's cache, the choice of alternatives, TLS roots in the places of the large distributions,
/// tables of numbers and names. None of it is secret; keys (`/etc/ssl/private`, `/etc/pki/tls/private`) are not in these directories.
pub(crate) const TAKEN: [&str; 11] = [
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates/extracted",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/certs",
    "/etc/crypto-policies",
    "/etc/localtime",
    "/etc/services",
    "/etc/protocols",
];

/// Writes the made files into `/etc` of the new root.
pub(crate) fn write(ids: Ids) -> io::Result<()> {
    let Ids { uid, gid } = ids;
    let user = NAME_INSIDE;
    fs::write(
        "/etc/passwd",
        format!(
            "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n{user}:x:{uid}:{gid}:{user}:{HOME_DIR}:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        ),
    )?;
    fs::write("/etc/group", format!("root:x:0:\n{user}:x:{gid}:\nnogroup:x:65534:\n"))?;
    fs::write("/etc/hosts", format!("127.0.0.1 localhost {user}\n::1 localhost ip6-localhost {user}\n"))?;
    fs::write("/etc/hostname", format!("{user}\n"))?;
    // No name server: a command has no network of its own, and the proxy resolves names.
    fs::write("/etc/resolv.conf", "")?;
    fs::write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n")?;
    symlink("/proc/self/mounts", "/etc/mtab")?;
    if Path::new("/usr/lib/os-release").exists() {
        symlink("../usr/lib/os-release", "/etc/os-release")?;
    }
    Ok(())
}
