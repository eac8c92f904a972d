//! The engine alone: what an input costs, and how that grows with what is open.
//!
//! Inputs a second are those of one core: by the processor time of this thread, of which the world around the engine takes a part.

use std::time::Duration;

use crate::mill::{Kind, Mill, judged_by_many};
use crate::process::thread_cpu;
use crate::report::{Report, Run};

/// Inputs of one run.
const INPUTS: usize = 200_000;
/// The longest that a run may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn engine(report: &mut Report) -> anyhow::Result<()> {
    for (name, kind) in [
        ("engine", Kind::default()),
        ("engine_locks", Kind { locks: true, ..Kind::default() }),
        ("engine_merging", Kind { merging: true, ..Kind::default() }),
    ] {
        for open in [1_000, 10_000, 100_000] {
            let runs: Vec<_> = (0..report.runs).map(|_| run(kind, open)).collect();
            report.emit(&format!("{name}_{open}"), &runs, &[("open_requests", open.into())])?;
        }
    }
    let judged = (0..report.runs).map(|_| {
        let begun = thread_cpu();
        let inputs = judged_by_many();
        Run::from([("judged_ms", (thread_cpu() - begun) * 1e3), ("inputs", inputs as f64)])
    });
    let judged: Vec<_> = judged.collect();
    report.emit("engine_judging_1000", &judged, &[])
}

fn run(kind: Kind, open: usize) -> Run {
    let mut mill = Mill::new(kind, open);
    let (begun, before) = (thread_cpu(), mill.handled);
    mill.run(open, INPUTS, PATIENCE);
    let inputs = (mill.handled - before) as f64;
    let mut run = Run::from([("inputs_per_s", inputs / (thread_cpu() - begun)), ("inputs", inputs)]);
    let figures = [
        ("told", "told_us"),
        ("finished", "finished_us"),
        ("forced", "forced_us"),
        ("change", "change_us"),
        ("reported", "reported_us"),
        ("left", "left_us"),
        ("connected", "connected_us"),
    ];
    run.extend(figures.into_iter().filter_map(|(what, figure)| Some((figure, mill.spent.get_mut(what)?.median_us()))));
    run
}
