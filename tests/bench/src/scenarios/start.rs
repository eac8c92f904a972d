//! Start, size and history.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::builds::submit;
use crate::farm::{Farm, Host, Place, Program};
use crate::process::{cpu, pss_mb, rss_mb};
use crate::report::{Report, Run, median, ms};

/// Builds of `history`.
const HISTORY: usize = 2000;
/// Builds of `long_history`, each of one property.
const LONG_HISTORY: usize = 100_000;
/// Workers that are connected at once.
const WORKERS: usize = 200;
/// How often a page is asked for one figure.
const ASKED: usize = 30;

pub(crate) async fn cold_start(program: &Program, report: &mut Report) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for _ in 0..report.runs {
        let place = Place::new(1, 1)?;
        report.quiet().await;
        let mut run = Run::new();
        let (page, _) = answered(program, &place, &mut run, "start").await?;
        page.stop().await?;
        let (host, started) = answered(program, &place, &mut run, "restart").await?;
        run.insert("start_cpu_s", started);
        tokio::time::sleep(Duration::from_secs(3)).await;
        run.insert("rss_mb", rss_mb(host.pid));
        run.insert("pss_mb", pss_mb(host.pid));
        run.insert("stop_s", host.stop().await?.as_secs_f64());
        runs.push(run);
    }
    report.emit("cold_start", &runs, &[])
}

/// A host that has answered its first page; the processor time that it took.
async fn answered(program: &Program, place: &Place, run: &mut Run, what: &str) -> anyhow::Result<(Host, f64)> {
    let begun = Instant::now();
    let host = Host::start(program, place.path()).await?;
    let page = reqwest::get(format!("{}/", host.url)).await?.error_for_status()?;
    ensure!(page.text().await?.contains("</html>"), "that is no page");
    let took = begun.elapsed().as_secs_f64();
    let (page, listening) =
        if what == "start" { ("start_s", "listening_s") } else { ("restart_s", "restart_listening_s") };
    run.insert(page, took);
    run.insert(listening, host.started_in.as_secs_f64());
    let spent = cpu(host.pid);
    Ok((host, spent))
}

pub(crate) async fn history(program: &Program, report: &mut Report) -> anyhow::Result<()> {
    let mut farm = Farm::start(program, 2, 8).await?;
    let mut run = Run::from([("rss_before_mb", rss_mb(farm.host.pid))]);
    let mut events = farm.events().await?;
    let (begun, spent) = (Instant::now(), cpu(farm.host.pid));
    for _ in 0..HISTORY / 40 {
        submit(&farm, "true", 40).await?;
        events.finished(40).await?;
    }
    let fill = begun.elapsed().as_secs_f64();
    run.insert("fill_s", fill);
    run.insert("fill_builds_per_s", HISTORY as f64 / fill);
    run.insert("fill_master_cpu_s_per_build", (cpu(farm.host.pid) - spent) / HISTORY as f64);
    run.insert("master_rss_mb", rss_mb(farm.host.pid));
    let mut runs = Vec::new();
    for _ in 0..report.runs {
        report.quiet().await;
        let mut run = run.clone();
        for (time, size, path) in [
            ("builds50_ms", "builds50_kb", "/api/v1/builds?limit=50"),
            ("builders_ms", "builders_kb", "/api/v1/builders"),
            ("builder_builds20_ms", "builder_builds20_kb", "/api/v1/builds?builder=true&limit=20"),
            ("page_ms", "page_kb", "/builders/true"),
        ] {
            let (took, bytes) = asked(&farm, path).await?;
            run.insert(time, took);
            run.insert(size, bytes as f64 / 1e3);
        }
        let place = farm.place.path().to_owned();
        let old = farm.host;
        let stopped = old.stop().await?;
        farm.host = Host::start(program, &place).await?;
        run.insert("stop_s", stopped.as_secs_f64());
        run.insert("restart_s", farm.host.started_in.as_secs_f64());
        runs.push(run);
    }
    report.emit("history_2000", &runs, &[("builds_really_run", HISTORY.into())])?;
    farm.stop().await.map(drop)
}

/// The median time of an answer in milliseconds, and its bytes.
pub(crate) async fn asked(farm: &Farm, path: &str) -> anyhow::Result<(f64, usize)> {
    let mut took = Vec::new();
    let mut bytes = 0;
    for _ in 0..ASKED {
        let begun = Instant::now();
        bytes = farm.text(path).await?.len();
        took.push(ms(begun.elapsed()));
    }
    took.sort_by(f64::total_cmp);
    Ok((median(&took), bytes))
}

/// What a start costs that finds many builds: after an orderly end and after a kill, beside one that finds none.
pub(crate) async fn long_history(program: &Program, report: &mut Report) -> anyhow::Result<()> {
    let mut farm = Farm::start(program, 1, 8).await?;
    let mut events = farm.events().await?;
    for _ in 0..LONG_HISTORY / 500 {
        submit(&farm, "property", 500).await?;
        events.finished(500).await?;
    }
    let database = std::fs::metadata(farm.place.path().join("data/stampmill.redb"))?.len();
    let empty = Place::new(1, 8)?;
    Host::start(program, empty.path()).await?.stop().await?;
    let mut runs = Vec::new();
    for _ in 0..report.runs {
        report.quiet().await;
        let mut run = Run::from([("database_mb", database as f64 / 1e6)]);
        let place = farm.place.path();
        farm.host.stop().await?;
        farm.host = Host::start(program, place).await?;
        run.insert("restart_s", farm.host.started_in.as_secs_f64());
        let (took, _) = asked(&farm, "/api/v1/builds?limit=50").await?;
        run.insert("builds50_ms", took);
        // It has something to take over from the journal. The worker looks for the first host.
        submit(&farm, "property", 20).await?;
        farm.host.kill().await?;
        farm.host = Host::start(program, farm.place.path()).await?;
        run.insert("restart_killed_s", farm.host.started_in.as_secs_f64());
        let host = Host::start(program, empty.path()).await?;
        run.insert("empty_restart_s", host.started_in.as_secs_f64());
        host.stop().await?;
        runs.push(run);
    }
    report.emit("history_100000", &runs, &[("builds_really_run", LONG_HISTORY.into())])?;
    farm.stop().await.map(drop)
}

/// What the host needs for each of many workers that are connected.
pub(crate) async fn workers(program: &Program, report: &mut Report) -> anyhow::Result<()> {
    let settled = || tokio::time::sleep(Duration::from_secs(3));
    let mut runs = Vec::new();
    for _ in 0..report.runs {
        let mut farm = Farm::without_workers(program, WORKERS, 1).await?;
        // The first start compiles the plugins, and keeps some of the memory for that.
        farm.host.stop().await?;
        farm.host = Host::start(program, farm.place.path()).await?;
        settled().await;
        let before = pss_mb(farm.host.pid);
        let begun = Instant::now();
        farm.add_workers(program, 1).await?;
        let connected = begun.elapsed().as_secs_f64();
        settled().await;
        let after = pss_mb(farm.host.pid);
        runs.push(Run::from([
            ("connect_s", connected),
            ("idle_host_pss_mb", before),
            ("host_pss_mb", after),
            ("host_pss_per_worker_kib", (after - before) * 1024.0 / WORKERS as f64),
        ]));
        farm.stop().await?;
    }
    report.emit("workers_200", &runs, &[("workers", WORKERS.into())])
}

pub(crate) async fn fanout(program: &Program, report: &mut Report) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for _ in 0..report.runs {
        report.quiet().await;
        let begun = Instant::now();
        let farm = Farm::start(program, 20, 1).await?;
        let connected = begun.elapsed();
        let idle: f64 = farm.workers.iter().map(|worker| pss_mb(worker.pid)).sum::<f64>() / 20.0;
        let mut run = Run::from([
            ("connect_s", connected.as_secs_f64()),
            ("idle_master_rss_mb", rss_mb(farm.host.pid)),
            ("idle_worker_pss_mb", idle),
        ]);
        let mut events = farm.events().await?;
        let begun = Instant::now();
        submit(&farm, "sleep", 20).await?;
        let took = (events.finished(20).await? - begun).as_secs_f64();
        ensure!(took >= 8.0, "a build of 8 s took {took} s");
        run.insert("all_done_s", took);
        run.insert("overhead_s", took - 8.0);
        run.insert("worker_pss_mb", farm.workers.iter().map(|worker| pss_mb(worker.pid)).sum::<f64>() / 20.0);
        run.insert("master_rss_mb", rss_mb(farm.host.pid));
        runs.push(run);
        farm.stop().await?;
    }
    report.emit("fanout_20", &runs, &[])
}
