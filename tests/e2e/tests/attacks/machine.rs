//! Attacks 9 and 16 (escalation): no socket, device or namespace of the machine is seen in a step, and no way leads to more rights.

use std::fs;

use anyhow::{Context as _, ensure};
use stampmill_e2e::Place;

use super::house::{House, Plan, plain};

/// What every program may have: they are the same in every sandbox and hold nothing.
const DEVICES: [&str; 6] = ["/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"];

#[tokio::test]
async fn attack_9_no_socket_device_or_namespace_of_the_machine_is_seen() -> anyhow::Result<()> {
    let jobs = [("look", plain("look", "exec $H look"))];
    let house = House::open(Place::new()?, Plan { jobs: &jobs, more: String::new(), limits: "" }).await?;
    for seat in house.seats.clone() {
        let build = house.build("look", seat).await?;
        let log = house.log(&build, 0, "stdio").await?;
        ensure!(build["result"] == "success" && log.contains("the look is over"), "{seat:?}: {build:#}\n{log}");
        let mut spaces = 0;
        for line in log.lines() {
            if let Some(space) = line.strip_prefix("namespace ") {
                let (kind, _) = space.split_once(':').context("kind and number")?;
                let ours = fs::read_link(format!("/proc/self/ns/{kind}"))?;
                ensure!(ours.as_os_str() != space, "{seat:?}: the machine's own {space}");
                spaces += 1;
            }
            if let Some(device) = line.strip_prefix("device ") {
                ensure!(DEVICES.contains(&device), "{seat:?}: {device}");
            }
            ensure!(!line.starts_with("socket "), "{seat:?}: {line}");
        }
        ensure!(spaces == 7, "{seat:?}: {log}");
        ensure!(log.contains("device /dev/null"), "the search finds what is there: {log}");
        ensure!(log.contains("0 sockets are listed"), "{seat:?}: {log}");
        for refused in ["sysctl: refused", "sysrq: refused", "kernel memory: refused"] {
            house.shows(&build, 0, "stdio", refused).await?;
        }
    }
    house.close().await
}

#[tokio::test]
async fn attack_16_no_way_leads_to_root_or_into_another_namespace() -> anyhow::Result<()> {
    let jobs = [("rise", plain("rise", "exec $H become-root"))];
    let house = House::open(Place::new()?, Plan { jobs: &jobs, more: String::new(), limits: "" }).await?;
    for seat in house.seats.clone() {
        let build = house.build("rise", seat).await?;
        let log = house.log(&build, 0, "stdio").await?;
        ensure!(build["result"] == "success" && !log.contains("DONE"), "{seat:?}: {build:#}\n{log}");
        for way in [
            "setuid",
            "setgid",
            "unshare user",
            "unshare mount",
            "unshare pid",
            "mount",
            "chroot",
            "mknod disk",
            "map",
            "enter user of self",
            "enter mnt of 1",
            "enter net of 1",
        ] {
            house.shows(&build, 0, "stdio", &format!("{way}: refused")).await?;
        }
        for none in ["CapEff: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1"] {
            ensure!(log.contains(none), "{seat:?} {none}: {log}");
        }
    }
    house.close().await
}
