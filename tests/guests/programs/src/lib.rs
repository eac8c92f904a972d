//! What the guests share: their script, and bad behaviour that needs nothing of the contract. The programs themselves are this package's examples.
//!
//! A guest's configuration is a JSON string without escapes, `call:verb|argument|argument`: in that call it does that, in every other nothing.

/// What to do in which call.
pub struct Script(String);

impl Script {
    /// Takes the configuration as it is.
    pub fn new(config: &str) -> Script {
        Script(config.trim_matches('"').to_owned())
    }

    /// The words for this call: the verb, then its arguments.
    pub fn words(&self, call: &str) -> Vec<&str> {
        match self.0.split_once(':') {
            Some((name, rest)) if name == call => rest.split('|').collect(),
            _ => vec!["nothing"],
        }
    }
}

/// Does what a guest can do by itself; says whether it knew the verb.
pub fn misbehave(words: &[&str]) -> bool {
    match words {
        ["nothing"] => {}
        ["loop"] => spin(),
        ["recurse"] => drop(std::hint::black_box(recurse(1))),
        ["panic"] => panic!("the guest's own words"),
        ["allocate"] => allocate(),
        ["eat"] => eat(),
        _ => return false,
    }
    true
}

fn spin() {
    let mut count: u64 = 0;
    loop {
        count = std::hint::black_box(count.wrapping_add(1));
    }
}

/// Not a tail call, for the result is used after it comes back; and with hardly anything in linear memory, so that the call stack is what ends.
fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX {
        return 0;
    }
    let again = std::hint::black_box(recurse as fn(u64) -> u64);
    again(depth + 1) ^ depth
}

/// Almost 4 GiB at once; all of it would be more than a memory can have, which WebAssembly itself refuses.
fn allocate() {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::memory_grow(0, 65_000);
}

/// A megabyte at a time, for ever.
fn eat() {
    let mut eaten = Vec::new();
    loop {
        eaten.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}
