//! Coverage-guided runs of one target, which `STAMPMILL_FUZZ_TARGET` names; the arguments are libFuzzer's. The script `guided` starts it.
#![no_main]

use std::sync::LazyLock;

use stampmill_fuzz::{TARGETS, Target, target};

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("STAMPMILL_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        panic!("STAMPMILL_FUZZ_TARGET is {name:?}, and must be one of {}", names.join(", "))
    })
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (CHOSEN.run)(bytes));
