//! How much memory a call holds.

/// Runs this, and panics when its thread held more than `most` bytes at once while it ran. What C code allocates is not counted.
pub fn at_most<T>(most: usize, what: &str, work: impl FnOnce() -> T) -> T {
    let mut answer = None;
    let held = allocation_counter::measure(|| answer = Some(work())).bytes_max;
    assert!(held <= most as u64, "{what} held {held} bytes at once, and {most} are the most");
    answer.expect("the work was done")
}
