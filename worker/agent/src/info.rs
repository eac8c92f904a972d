//! What the worker says of itself.

use std::collections::BTreeMap;
use std::process::Stdio;

use stampmill_model::{Mechanism, Tier, WorkerInfo};
use stampmill_sandbox::{CgroupVersion, Helper, Mechanisms};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::limits::TOOL_LIMIT;

/// Tools whose versions the host shows, and the argument that makes them tell. A fixed list, run once, as the worker itself: none of it comes
/// from a plugin or a repository.
const TOOLS: [(&str, &str); 13] = [
    ("bash", "--version"),
    ("cargo", "--version"),
    ("cc", "--version"),
    ("clang", "--version"),
    ("cmake", "--version"),
    ("gcc", "--version"),
    ("git", "--version"),
    ("go", "version"),
    ("make", "--version"),
    ("node", "--version"),
    ("perl", "--version"),
    ("python3", "--version"),
    ("rustc", "--version"),
];

/// Finds out what this machine is and gives. Takes some milliseconds, and at most [`TOOL_LIMIT`] when a tool hangs.
pub(crate) async fn gather(helper: &Helper, max_builds: u32) -> WorkerInfo {
    let probing = helper.clone();
    let probe = tokio::task::spawn_blocking(move || stampmill_sandbox::probe(&probing)).await;
    let (tier, mechanisms) = match probe {
        Ok(Ok(found)) => (tier(&found), mechanisms(&found)),
        Ok(Err(error)) => (Tier::WasmOnly, vec![missing(&error.to_string())]),
        Err(error) => (Tier::WasmOnly, vec![missing(&error.to_string())]),
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    WorkerInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        uname: uname(),
        cores,
        max_builds,
        tier,
        mechanisms,
        tools: tools().await,
    }
}

fn missing(why: &str) -> Mechanism {
    Mechanism { name: "helper".to_owned(), works: false, detail: why.to_owned() }
}

fn tier(found: &Mechanisms) -> Tier {
    match found.tier {
        stampmill_sandbox::Tier::Sandboxed => Tier::Sandboxed,
        stampmill_sandbox::Tier::Degraded => Tier::Degraded,
        stampmill_sandbox::Tier::WasmOnly => Tier::WasmOnly,
    }
}

fn mechanisms(found: &Mechanisms) -> Vec<Mechanism> {
    let missing = found.missing();
    let fault_of = |mechanism| match &found.fault {
        Some(fault) if fault.mechanism == mechanism => fault.text.clone(),
        _ => String::new(),
    };
    let mut all: Vec<Mechanism> = found
        .each
        .iter()
        .map(|(mechanism, _)| Mechanism {
            name: mechanism.to_string(),
            works: !missing.contains(mechanism),
            detail: fault_of(*mechanism),
        })
        .collect();
    let landlock = stampmill_sandbox::Mechanism::Landlock;
    all.push(Mechanism {
        name: landlock.to_string(),
        works: !missing.contains(&landlock),
        detail: format!("version {}", found.landlock_version),
    });
    let (cgroups, detail) = match found.cgroup {
        Some(CgroupVersion::V1) => (true, "version 1"),
        Some(CgroupVersion::V2) => (true, "version 2"),
        None => (false, "limits of whole trees are kept by watching"),
    };
    all.push(Mechanism { name: "cgroups".to_owned(), works: cgroups, detail: detail.to_owned() });
    for other in missing {
        let name = other.to_string();
        if !all.iter().any(|mechanism| mechanism.name == name) {
            let detail = fault_of(other);
            all.push(Mechanism { name, works: false, detail });
        }
    }
    all
}

fn uname() -> Vec<String> {
    let Ok(found) = nix::sys::utsname::uname() else {
        return Vec::new();
    };
    [found.sysname(), found.nodename(), found.release(), found.version(), found.machine()]
        .map(|field| field.to_string_lossy().into_owned())
        .to_vec()
}

async fn tools() -> BTreeMap<String, String> {
    let mut asking = JoinSet::new();
    for (tool, argument) in TOOLS {
        asking.spawn(async move { (tool, version(tool, argument).await) });
    }
    let mut found = BTreeMap::new();
    while let Some(answer) = asking.join_next().await {
        if let Ok((tool, Some(version))) = answer {
            found.insert(tool.to_owned(), version);
        }
    }
    found
}

/// The first line of what a tool says, or nothing when it is not there.
async fn version(tool: &str, argument: &str) -> Option<String> {
    let running = Command::new(tool)
        .arg(argument)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(TOOL_LIMIT, running).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(200).collect())
}
