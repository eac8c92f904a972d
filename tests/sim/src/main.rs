//! Runs seeds of the simulation, on all processors, until all hold or one fails.

use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use stampmill_sim::{Failure, Work, run};

const EXAMPLES: &str = "\
Examples:
  stampmill-sim                          a thousand seeds from 0
  stampmill-sim --seeds 1000000          a night's worth
  stampmill-sim --start 4711 --seeds 1   one seed again: it gives the same history as before

A violation prints its seed, the invariant, what was broken and the inputs that led there, and ends with exit code 1.
Keep the seed in tests/sim/seeds.txt, where `cargo test -p stampmill-sim` plays it from then on.";

/// Runs the real engine in a simulated world that goes wrong: hosts and workers that die, commits that fail, messages that come late, twice or
/// never, clocks that jump, plugins that trap, people who change their minds. The seed decides everything.
#[derive(Parser)]
#[command(name = "stampmill-sim", version, after_help = EXAMPLES, max_term_width = 110)]
struct Arguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0, value_name = "S")]
    start: u64,
    /// How many to run at once [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    /// Go on after a violation, and list the seeds of all
    #[arg(long)]
    all: bool,
}

/// What the threads share.
struct Campaign {
    next: AtomicU64,
    end: u64,
    stop: Arc<AtomicBool>,
    goes_on: bool,
    done: Mutex<Done>,
    bar: ProgressBar,
}

#[derive(Default)]
struct Done {
    runs: u64,
    work: Work,
    failures: Vec<Failure>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("signals can't be heard")?;
    }
    // A panic of the engine is reported with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left")?;
    let campaign = Campaign {
        next: AtomicU64::new(arguments.start),
        end: arguments.start.saturating_add(arguments.seeds),
        stop: Arc::clone(&stop),
        goes_on: arguments.all,
        done: Mutex::default(),
        bar: ProgressBar::new(arguments.seeds).with_style(style),
    };
    let jobs = arguments.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let began = Instant::now();
    std::thread::scope(|threads| {
        for _ in 0..jobs {
            threads.spawn(|| campaign.work());
        }
    });
    campaign.bar.finish_and_clear();
    let done = campaign.done.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(report(done, &arguments, began, stop.load(Ordering::Relaxed)))
}

impl Campaign {
    fn work(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.end {
                return;
            }
            let ended = run(seed);
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            done.runs += 1;
            match ended {
                Ok(work) => done.work = done.work + work,
                Err(failure) => {
                    done.failures.push(*failure);
                    if !self.goes_on {
                        self.next.store(self.end, Ordering::Relaxed);
                    }
                }
            }
            self.bar.inc(1);
        }
    }
}

fn report(mut done: Done, arguments: &Arguments, began: Instant, is_stopped: bool) -> ExitCode {
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = done.runs as f64 / seconds.max(0.001);
    let Work { inputs, builds, again, starts } = done.work;
    println!(
        "{} of {} seeds from {} in {seconds:.1} s, {rate:.0} a second: {inputs} inputs, {builds} builds of which {again} repeated others, {starts} starts",
        done.runs, arguments.seeds, arguments.start
    );
    if is_stopped {
        println!("stopped; seeds up to {} have run, but for the last few", arguments.start + done.runs);
    }
    done.failures.sort_by_key(|failure| failure.seed);
    for Failure { seed, invariant, what, before } in done.failures.iter().take(3) {
        println!("\nseed {seed} breaks: {invariant}\n  {what}\n  before that:");
        before.iter().for_each(|event| println!("    {event}"));
        println!("  again: stampmill-sim --start {seed} --seeds 1");
    }
    if done.failures.len() > 1 {
        let seeds: Vec<_> =
            done.failures.iter().map(|failure| format!("{} ({})", failure.seed, failure.invariant)).collect();
        println!("\n{} seeds fail: {}", seeds.len(), seeds.join(", "));
    }
    match (done.failures.is_empty(), is_stopped) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::from(130),
        (true, false) => ExitCode::SUCCESS,
    }
}
