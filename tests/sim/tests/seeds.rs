//! Seeds in each run of the tests. How many are enough to show that the simulation works; `.ci/run` runs ten thousand in a released build.

use stampmill_sim::{Failure, Work, history, run};

/// A seed takes some 160 ms of a debug build, in which the engine looks at all of its state after each input.
const SEEDS: u64 = 32;

fn told(failure: &Failure) -> String {
    let Failure { seed, invariant, what, before } = failure;
    format!("seed {seed} breaks: {invariant}\n{what}\nbefore that:\n{}", before.join("\n"))
}

#[test]
fn seeds_that_failed_once_hold() {
    let seeds = include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#'));
    let seeds = seeds.filter_map(|line| line.split_whitespace().next());
    for seed in seeds {
        let seed = seed.parse().unwrap_or_else(|_| panic!("`{seed}` in seeds.txt is no number"));
        run(seed).unwrap_or_else(|failure| panic!("{}", told(&failure)));
    }
}

#[test]
fn whatever_happens_all_work_finishes_when_the_faults_stop() {
    let mut sum = Work::default();
    for seed in 0..SEEDS {
        sum = sum + run(seed).unwrap_or_else(|failure| panic!("{}", told(&failure)));
    }
    let Work { inputs, builds, again, starts } = sum;
    let is_lively = inputs > 200 * SEEDS && builds > 10 * SEEDS && again > SEEDS / 2 && starts > SEEDS;
    assert!(is_lively, "the histories are too dull to show anything: {sum:?}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let first = history(7);
    assert!(first.len() > 100, "only {} lines", first.len());
    assert_eq!(first, history(7));
    assert_ne!(first, history(8));
}
