//! What is measured; the names are those of the other system's harness where it measures the same.

mod builds;
mod engine;
mod log;
mod scale;
mod stages;
mod start;

use std::pin::Pin;

use crate::farm::Program;
use crate::report::Report;

type Running<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// One scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: Measure,
}

/// How a scenario is measured.
pub(crate) enum Measure {
    /// In this process, with the engine alone.
    Engine(fn(&mut Report) -> anyhow::Result<()>),
    /// With the program as host and workers.
    Program(for<'a> fn(&'a Program, &'a mut Report) -> Running<'a>),
}

/// All scenarios, in the order in which they run.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "engine",
        about: "the engine alone: inputs a second, and what each kind costs with 1,000, 10,000 and 100,000 requests open",
        run: Measure::Engine(engine::engine),
    },
    Scenario {
        name: "cold_start",
        about: "from nothing to the first answer, and again with compiled plugins",
        run: Measure::Program(|program, report| Box::pin(start::cold_start(program, report))),
    },
    Scenario {
        name: "latency",
        about: "a change posted by HTTP until its one-command build has finished, idle system",
        run: Measure::Program(|program, report| Box::pin(builds::latency(program, report))),
    },
    Scenario {
        name: "stages",
        about: "where the time of one build goes, by the spans of host and worker",
        run: Measure::Program(|program, report| Box::pin(stages::stages(program, report))),
    },
    Scenario {
        name: "throughput",
        about: "300 one-command builds at once, one worker with 8 slots; the same of pure wasm",
        run: Measure::Program(|program, report| Box::pin(builds::throughput(program, report))),
    },
    Scenario {
        name: "steps",
        about: "a build of 200 commands, and one of 200 properties",
        run: Measure::Program(|program, report| Box::pin(builds::steps(program, report))),
    },
    Scenario {
        name: "live_log",
        about: "a line printed until it is on a watcher's stream",
        run: Measure::Program(|program, report| Box::pin(log::live(program, report))),
    },
    Scenario {
        name: "log",
        about: "a step that prints 1,000,000 lines, and its log read back",
        run: Measure::Program(|program, report| Box::pin(log::large(program, report))),
    },
    Scenario {
        name: "history",
        about: "pages and restart after 2,000 builds",
        run: Measure::Program(|program, report| Box::pin(start::history(program, report))),
    },
    Scenario {
        name: "long_history",
        about: "restart after 100,000 builds, which takes minutes to fill",
        run: Measure::Program(|program, report| Box::pin(start::long_history(program, report))),
    },
    Scenario {
        name: "pending",
        about: "restart with 5,000 requests pending, until the first of them is given to a worker",
        run: Measure::Program(|program, report| Box::pin(scale::pending(program, report))),
    },
    Scenario {
        name: "projects",
        about: "500 projects with 4 builders each: loading the configuration, and the page of builders",
        run: Measure::Program(|program, report| Box::pin(scale::projects(program, report))),
    },
    Scenario {
        name: "workers",
        about: "what the host needs for each of 200 workers",
        run: Measure::Program(|program, report| Box::pin(start::workers(program, report))),
    },
    Scenario {
        name: "fanout",
        about: "20 workers with a build of 8 s each at once",
        run: Measure::Program(|program, report| Box::pin(start::fanout(program, report))),
    },
];
