//! What is printed: per scenario the least, the median and the most of each figure.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::process::load;

/// The figures of one run, by name.
pub(crate) type Run = BTreeMap<&'static str, f64>;

/// Where results go.
pub(crate) struct Report {
    out: Option<File>,
    /// How often each scenario is run.
    pub(crate) runs: usize,
    max_wait: Duration,
    loads: Vec<f64>,
}

impl Report {
    pub(crate) fn new(out: Option<&Path>, runs: usize, max_wait_load: u64) -> anyhow::Result<Self> {
        let out = out.map(|path| File::options().create(true).append(true).open(path)).transpose()?;
        Ok(Self { out, runs: runs.max(1), max_wait: Duration::from_secs(max_wait_load), loads: Vec::new() })
    }

    /// Waits until the machine is quiet, or for as long as was allowed.
    pub(crate) async fn quiet(&mut self) {
        let begun = Instant::now();
        while load() >= 1.0 && begun.elapsed() < self.max_wait {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        self.loads.push(load());
    }

    /// Prints a scenario.
    pub(crate) fn emit(&mut self, name: &str, runs: &[Run], more: &[(&str, Value)]) -> anyhow::Result<()> {
        let mut units = Map::new();
        let mut figures = Map::new();
        for figure in runs.iter().flat_map(BTreeMap::keys) {
            if !units.contains_key(*figure) {
                units.insert((*figure).to_owned(), unit(figure).into());
                figures.insert((*figure).to_owned(), spread(runs.iter().filter_map(|run| run.get(figure)).copied()));
            }
        }
        let mut line = json!({
            "system": format!("stampmill {}", env!("CARGO_PKG_VERSION")),
            "name": name,
            "units": units,
            "figures": figures,
            "runs": runs.len(),
            "load_before": std::mem::take(&mut self.loads),
            "load_after": load(),
        });
        for (key, value) in more {
            line[*key] = value.clone();
        }
        println!("{line}");
        if let Some(out) = &mut self.out {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

/// The end of a figure's name says its unit.
fn unit(figure: &str) -> &'static str {
    let units = [
        ("_mb_per_s", "MB/s"),
        ("_per_s", "1/s"),
        ("_ms_per_step", "ms"),
        ("ms_per_step", "ms"),
        ("_s_per_build", "s"),
        ("_us", "us"),
        ("_ms", "ms"),
        ("_s", "s"),
        ("rss_mb", "MiB"),
        ("pss_mb", "MiB"),
        ("_mb", "MB"),
        ("_kb", "kB"),
        ("_kib", "KiB"),
    ];
    units.into_iter().find(|(end, _)| figure.ends_with(end)).map_or("1", |(_, unit)| unit)
}

fn spread(values: impl Iterator<Item = f64>) -> Value {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let round = |value: f64| (value * 1e6).round() / 1e6;
    json!({ "min": round(sorted[0]), "median": round(median(&sorted)), "max": round(sorted[sorted.len() - 1]) })
}

/// The middle of sorted values.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// Milliseconds of a duration.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
