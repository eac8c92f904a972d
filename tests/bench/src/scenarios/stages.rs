//! Where the time of one build goes: what the spans of host and worker say.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::builds::change;
use crate::farm::{Farm, Program, STAGES};
use crate::report::{Report, Run};

/// Changes of one run.
const CHANGES: usize = 20;

/// Each stage, the figure that it is, in the order in which a build meets them.
const FIGURES: [(&str, &str); 11] = [
    ("batch", "host_engine_and_commit_ms"),
    ("commit", "host_commit_ms"),
    ("dispatch", "host_dispatch_ms"),
    ("messages", "host_messages_of_worker_ms"),
    ("logs", "host_logs_ms"),
    ("build", "worker_build_ms"),
    ("step", "worker_step_ms"),
    ("plugin", "worker_plugin_ms"),
    ("guest", "worker_guest_ms"),
    ("spawn", "worker_spawn_ms"),
    ("program", "worker_program_ms"),
];

/// The sums of each stage over one change, its build and its end. Stages lie within each other.
pub(crate) async fn stages(program: &Program, report: &mut Report) -> anyhow::Result<()> {
    let farm = Farm::start(&program.telling_stages(), 1, 1).await?;
    let mut events = farm.events().await?;
    let told = farm.place.path().join(STAGES);
    let mut runs = Vec::new();
    for round in 0..report.runs {
        report.quiet().await;
        for number in 0..CHANGES {
            // What follows the end of the last one is over.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let before = std::fs::read(&told)?.len();
            let mut run = change(&farm, &mut events, round * CHANGES + number).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            add_stages(&told, before, &mut run)?;
            runs.push(run);
        }
    }
    // The first one fetches its plugin.
    runs.remove(0);
    report.emit("stages", &runs, &[("samples", runs.len().into())])?;
    farm.stop().await.map(drop)
}

fn add_stages(told: &Path, from: usize, run: &mut Run) -> anyhow::Result<()> {
    let text = std::fs::read(told)?;
    let text = std::str::from_utf8(&text[from..])?;
    run.extend(FIGURES.map(|(_, figure)| (figure, 0.0)));
    for line in text.lines().filter(|line| line.contains("stampmill::stage: close")) {
        let spans = line.split(": stampmill::stage: close").next().unwrap_or_default();
        let stage = spans.rsplit([':', ' ']).next().unwrap_or_default();
        let (_, figure) =
            FIGURES.iter().find(|(name, _)| *name == stage).with_context(|| format!("a stage: {line}"))?;
        let time = |name: &str| line.split(name).nth(1).and_then(|rest| milliseconds(rest.split(' ').next()?));
        let took = time("time.busy=").zip(time("time.idle=")).with_context(|| format!("times: {line}"))?;
        *run.entry(figure).or_default() += took.0 + took.1;
    }
    ensure!(run["worker_step_ms"] > 0.0, "no stage was told");
    Ok(())
}

fn milliseconds(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_alphabetic());
    let number: f64 = digits.parse().ok()?;
    Some(match &text[digits.len()..] {
        "ns" => number / 1e6,
        "µs" => number / 1e3,
        "ms" => number,
        "s" => number * 1e3,
        _ => return None,
    })
}
