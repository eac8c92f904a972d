//! Attacks 2, 5 and 16 (private network): where a step can send what it has. What the proxy decides, address by address, is tested beside it.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::ensure;
use stampmill_e2e::Place;

use super::house::{House, Plan, step};

/// Attacks 2, 5 and 16 (private network): without a grant a step reaches nobody.
#[tokio::test]
async fn attack_5_a_step_without_a_grant_reaches_neither_the_host_nor_metadata_nor_the_machines_sockets()
-> anyhow::Result<()> {
    let targets = ", environment = { TARGETS = \"${{ props.targets }}\" }";
    let jobs = [("dial", step("dial", "exec $H connect $TARGETS", targets, "]"))];
    let house = House::open(Place::new()?, Plan { jobs: &jobs, more: String::new(), limits: "" }).await?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let abstracted = format!("stampmill-test-{}", std::process::id());
    let beside = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstracted)?)?;
    beside.set_nonblocking(true)?;
    let targets = [
        listener.local_addr()?.to_string(),
        house.host.url.replace("http://", ""),
        "169.254.169.254:80".to_owned(),
        "[::ffff:169.254.169.254]:80".to_owned(),
        "10.0.0.1:80".to_owned(),
        "192.168.0.1:22".to_owned(),
        "1.1.1.1:53".to_owned(),
        "2852039166:80".to_owned(),
        "example.org:80".to_owned(),
        format!("@{abstracted}"),
        house.place.path().join("data/admin.sock").display().to_string(),
        "/var/run/docker.sock".to_owned(),
        "/run/systemd/private".to_owned(),
    ];
    let told = format!("targets={}", targets.join(" "));
    for seat in house.seats.clone() {
        let build = house.build_with("dial", seat, &["-p", &told]).await?;
        for target in &targets {
            house.shows(&build, 0, "stdio", &format!("connect {target}: refused")).await?;
        }
        ensure!(build["result"] == "success", "{seat:?}: {build:#}");
    }
    ensure!(listener.accept().is_err() && beside.accept().is_err(), "somebody came");
    house.close().await
}

/// With a grant there is a proxy, and it leads where the grant says and nowhere else.
#[tokio::test]
async fn attack_2_with_a_grant_for_one_place_the_proxy_leads_to_no_other_and_the_attempts_are_listed()
-> anyhow::Result<()> {
    let (granted, other) = (std::net::TcpListener::bind("127.0.0.1:0")?, std::net::TcpListener::bind("127.0.0.1:0")?);
    other.set_nonblocking(true)?;
    let (yes, no) = (granted.local_addr()?.to_string(), other.local_addr()?.to_string());
    let targets = ", environment = { TARGETS = \"${{ props.targets }}\" }";
    let grant = format!("], net = [\"{yes}\"]");
    let jobs = [("send", step("send", "$H tunnel $TARGETS\nexec $H connect $TARGETS", targets, &grant))];
    let house = House::open(Place::new()?, Plan { jobs: &jobs, more: String::new(), limits: "" }).await?;
    let refused =
        [no, house.host.url.replace("http://", ""), "169.254.169.254:80".to_owned(), "10.0.0.1:22".to_owned()];
    let told = format!("targets={yes} {}", refused.join(" "));
    for seat in house.seats.clone() {
        let build = house.build_with("send", seat, &["-p", &told]).await?;
        let log = house.log(&build, 0, "stdio").await?;
        ensure!(log.contains(&format!("tunnel {yes}: HTTP/1.1 200")), "{seat:?}: {log}");
        let page = house.host.text(&format!("/builds/{}", build["id"])).await?;
        for target in &refused {
            ensure!(log.contains(&format!("tunnel {target}: HTTP/1.1 403")), "{seat:?}: {log}");
            ensure!(log.contains(&format!("connect {target}: refused")), "past the proxy, {seat:?}: {log}");
            ensure!(page.contains(target.as_str()), "{seat:?}: {target} is not on the build's page");
        }
        ensure!(log.contains(&format!("connect {yes}: refused")), "past the proxy, {seat:?}: {log}");
    }
    ensure!(other.accept().is_err(), "somebody came");
    house.close().await
}
