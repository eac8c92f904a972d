//! Measures the main job: a change posted, a build finished, its log read, with the physical floor of the machine measured in the same run.
//!
//! One JSON object a scenario on standard output, in the form and with the names of figures that `tests/bench/buildbot` prints, so that a ratio
//! can be taken between two lines of one name. Everything is real: the released program as host and as workers of its own processes, on
//! loopback, in a directory that goes away.
//!
//! In reading order: [`report`] is what is printed, [`process`] what the kernel says of a process, [`floor`] the machine without us, [`farm`] a
//! host with its workers, [`events`] how their news are heard, [`mill`] an engine without all that, [`scenarios`] what is measured.

mod events;
mod farm;
mod floor;
mod mill;
mod process;
mod report;
mod scenarios;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::farm::Program;
use crate::report::Report;
use crate::scenarios::{Measure, SCENARIOS};

/// Measures Stampmill; one JSON object a scenario on standard output.
#[derive(Parser)]
#[command(name = "stampmill-bench", max_term_width = 110)]
struct Arguments {
    /// Only these scenarios, with commas between [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// Runs of each scenario
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Write the lines to this file too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The program to measure [default: built by cargo as a release]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// How long to wait before each run for the load to fall below 1, in seconds
    #[arg(long, default_value_t = 180)]
    max_wait_load: u64,
    /// List the scenarios and end
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    // The floor's sandboxes are this program again.
    stampmill_sandbox::enter_if_asked();
    let arguments = Arguments::parse();
    if arguments.list {
        for scenario in SCENARIOS {
            println!("{:<12}{}", scenario.name, scenario.about);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = arguments.only.iter().find(|name| SCENARIOS.iter().all(|known| known.name != **name)) {
        eprintln!("there is no scenario `{unknown}`; --list names them all");
        return ExitCode::from(2);
    }
    let done =
        tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|io| io.block_on(measure(arguments)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: Arguments) -> anyhow::Result<()> {
    // Nothing else in this program could have chosen one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let is_wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|wanted| wanted == name);
    let wanted: Vec<_> = SCENARIOS.iter().filter(|scenario| is_wanted(scenario.name)).collect();
    let needs_program = wanted.iter().any(|scenario| matches!(scenario.run, Measure::Program(_)));
    let program = match &arguments.program {
        Some(path) => Some(Program::at(path)?),
        None if needs_program => Some(Program::build()?),
        None => None,
    };
    let mut report = Report::new(arguments.out.as_deref(), arguments.runs, arguments.max_wait_load)?;
    for scenario in wanted {
        eprintln!("{}: {}", scenario.name, scenario.about);
        match (&scenario.run, &program) {
            (Measure::Engine(run), _) => run(&mut report)?,
            (Measure::Program(run), Some(program)) => run(program, &mut report).await?,
            (Measure::Program(_), None) => {}
        }
    }
    Ok(())
}
