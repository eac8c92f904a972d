//! The time of builds and of their steps.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use crate::events::Events;
use crate::farm::{Farm, Program};
use crate::floor;
use crate::process::{cpu, cpu_with_children, rss_mb};
use crate::report::{Report, Run, median, ms};

/// Builds of one run of `throughput`.
const BUILDS: usize = 300;
/// Requests under way while builds are queued: enough that the queue is never empty.
const REQUESTS_AT_ONCE: usize = 16;
/// Steps of one build of `steps`.
const STEPS: f64 = 200.0;
/// Changes of one run of `latency`.
const CHANGES: usize = 20;

pub(crate) async fn latency(program: &Program, report: &mut Report) -> anyhow::Result<()> {
    let farm = Farm::start(program, 1, 1).await?;
    let mut events = farm.events().await?;
    let mut number = 0;
    for _ in 0..3 {
        number += 1;
        change(&farm, &mut events, number).await?;
    }
    let mut runs = Vec::new();
    for _ in 0..report.runs {
        report.quiet().await;
        for _ in 0..CHANGES {
            number += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
            runs.push(change(&farm, &mut events, number).await?);
        }
        let floor = runs.last_mut().context("a run")?;
        floor::beside(floor, farm.place.path())?;
    }
    let mut totals: Vec<f64> = runs.iter().map(|run| run["total_ms"]).collect();
    totals.sort_by(f64::total_cmp);
    let p95 = totals[totals.len() * 95 / 100];
    report.emit("latency", &runs, &[("p95_total_ms", p95.into()), ("samples", totals.len().into())])?;
    by_command(program, &farm, &mut events, report).await?;
    farm.stop().await.map(drop)
}

/// One change from its POST to the end of its build.
pub(crate) async fn change(farm: &Farm, events: &mut Events, number: usize) -> anyhow::Result<Run> {
    let body = json!({
        "author": "a", "branch": format!("b{number}"), "revision": format!("r{number}"), "comments": "c",
        "files": ["f"], "project": "p", "repository": "r",
    });
    let begun = Instant::now();
    let response = farm.client.post(format!("{}/hooks/hook", farm.host.url)).json(&body).send().await?;
    let replied = begun.elapsed();
    let status = response.status();
    ensure!(status.is_success(), "{status}: {}", response.text().await?);
    let seen = events.until(|event| event.kind == "change").await?.at - begun;
    let buildset = events.until(|event| event.kind == "buildset").await?.at - begun;
    let started = events.until(|event| event.kind == "build").await?.at - begun;
    let ended = events.until(|event| event.kind == "build" && event.data["finished"] == true).await?;
    let total = ended.at - begun;
    let build = farm.get(&format!("/api/v1/builds/{}", ended.data["id"])).await?;
    ensure!(build["result"] == "success", "{build}");
    Ok(Run::from([
        ("total_ms", ms(total)),
        ("http_reply_ms", ms(replied)),
        ("change_event_ms", ms(seen)),
        ("buildset_event_ms", ms(buildset)),
        ("change_to_build_start_ms", ms(started)),
        ("build_start_to_end_ms", ms(total - started)),
    ]))
}

/// The same with the command line as its sender.
async fn by_command(program: &Program, farm: &Farm, events: &mut Events, report: &mut Report) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for number in 0..report.runs {
        let branch = format!("cli{number}");
        let arguments = [
            "change",
            "--author",
            "a",
            "--repository",
            "r",
            "--branch",
            &branch,
            "--revision",
            "1",
            "--data",
            "data",
            "f",
        ];
        let begun = Instant::now();
        program.run(farm.place.path(), &arguments).await?;
        let sent = begun.elapsed();
        let ended = events.finished(1).await?;
        runs.push(Run::from([
            ("sendchange_cli_s", sent.as_secs_f64()),
            ("sendchange_to_build_end_s", (ended - begun).as_secs_f64()),
        ]));
    }
    report.emit("latency_cli_sendchange", &runs, &[])
}

pub(crate) async fn throughput(program: &Program, report: &mut Report) -> anyhow::Result<()> {
    for (builder, name) in [("true", "throughput_1x8"), ("property", "throughput_wasm_1x8")] {
        let mut runs = Vec::new();
        for _ in 0..report.runs {
            let farm = Farm::start(program, 1, 8).await?;
            let mut events = farm.events().await?;
            submit(&farm, builder, 10).await?;
            events.finished(10).await?;
            report.quiet().await;
            let (host, worker) = (farm.host.pid, farm.workers[0].pid);
            let (host_before, worker_before) = (cpu(host), cpu_with_children(worker));
            let begun = Instant::now();
            submit(&farm, builder, BUILDS).await?;
            let submitted = begun.elapsed();
            let total = events.finished(BUILDS).await? - begun;
            let builds = BUILDS as f64;
            let mut run = Run::from([
                ("submit_s", submitted.as_secs_f64()),
                ("total_s", total.as_secs_f64()),
                ("builds_per_s", builds / total.as_secs_f64()),
                ("master_cpu_s_per_build", (cpu(host) - host_before) / builds),
                ("worker_cpu_s_per_build", (cpu_with_children(worker) - worker_before) / builds),
                ("master_rss_mb", rss_mb(host)),
            ]);
            floor::beside(&mut run, farm.place.path())?;
            runs.push(run);
            farm.stop().await?;
        }
        report.emit(name, &runs, &[("builds", BUILDS.into())])?;
    }
    Ok(())
}

/// Forces many builds, so many requests at a time.
pub(crate) async fn submit(farm: &Farm, builder: &str, builds: usize) -> anyhow::Result<()> {
    let forced = futures_util::stream::iter(0..builds).map(|_| farm.force(builder));
    forced.buffer_unordered(REQUESTS_AT_ONCE).try_for_each(async |_| Ok(())).await
}

pub(crate) async fn steps(program: &Program, report: &mut Report) -> anyhow::Result<()> {
    let farm = Farm::start(program, 1, 1).await?;
    for builder in ["steps200", "props200"] {
        farm.build(builder).await?;
        let mut runs = Vec::new();
        for _ in 0..report.runs {
            report.quiet().await;
            let mut events = farm.events().await?;
            let (host, worker) = (farm.host.pid, farm.workers[0].pid);
            let (host_before, worker_before) = (cpu(host), cpu_with_children(worker));
            farm.force(builder).await?;
            let started = events.until(|event| event.kind == "build").await?.at;
            let ended = events.until(|event| event.kind == "build" && event.data["finished"] == true).await?;
            let build = farm.get(&format!("/api/v1/builds/{}", ended.data["id"])).await?;
            ensure!(build["result"] == "success", "{build}");
            let took = ended.at - started;
            let mut run = Run::from([
                ("ms_per_step", ms(took) / STEPS),
                ("build_s", took.as_secs_f64()),
                ("master_cpu_ms_per_step", (cpu(host) - host_before) * 1e3 / STEPS),
                ("worker_cpu_ms_per_step", (cpu_with_children(worker) - worker_before) * 1e3 / STEPS),
                ("median_step_ms", step_median(&build)?),
            ]);
            floor::beside(&mut run, farm.place.path())?;
            runs.push(run);
        }
        report.emit(builder, &runs, &[("steps", STEPS.into())])?;
    }
    farm.stop().await.map(drop)
}

/// The median time of a step by the worker's clock.
fn step_median(build: &Value) -> anyhow::Result<f64> {
    let steps = build["steps"].as_array().context("steps")?;
    let mut took: Vec<f64> = steps.iter().filter_map(|step| step["duration_ms"].as_f64()).collect();
    took.sort_by(f64::total_cmp);
    Ok(if took.is_empty() { 0.0 } else { median(&took) })
}
