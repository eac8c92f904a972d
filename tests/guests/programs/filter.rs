//! A filter: C files are important. It carries its manifest as the SDK's plugins do, inside the core module, and counts its calls.
#![cfg(target_arch = "wasm32")]

use std::cell::{Cell, RefCell};

use stampmill_guest_programs::{Script, misbehave};

wit_bindgen::generate!({
    path: "../../../wit",
    world: "stampmill:plugin/scheduler-filter",
    generate_all,
});

use exports::stampmill::filter::filter::{self, Judgement, Verdict};
use exports::stampmill::plugin::configurable;
use stampmill::host::log::{Level, log};
use stampmill::types::types::{Change, Fault};

const TEXT: &[u8] = br#"{"manifest":1,"id":"c-files","version":"0.1.0","kind":"scheduler-filter","summary":"C files matter","config-schema":{"type":"string","maxLength":40}}"#;

#[used]
#[unsafe(link_section = "stampmill:manifest")]
static MANIFEST: [u8; TEXT.len()] = *TEXT.first_chunk().unwrap();

thread_local! {
    static SCRIPT: RefCell<Script> = RefCell::new(Script::new(""));
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

struct Guest;

impl configurable::Guest for Guest {
    fn configure(config: String) -> Result<(), Fault> {
        std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
        let script = Script::new(&config);
        misbehave(&script.words("configure"));
        SCRIPT.set(script);
        Ok(())
    }
}

impl filter::Guest for Guest {
    fn judge(changes: Vec<Change>) -> Result<Vec<Judgement>, Fault> {
        CALLS.set(CALLS.get() + 1);
        let mut judgements: Vec<Judgement> = changes.iter().map(judge).collect();
        SCRIPT.with_borrow(|script| match script.words("judge").as_slice() {
            ["short"] => drop(judgements.pop()),
            ["panic-second"] if CALLS.get() == 2 => drop(misbehave(&["panic"])),
            words => drop(misbehave(words)),
        });
        Ok(judgements)
    }
}

fn judge(change: &Change) -> Judgement {
    let verdict = match &change.seen.files {
        files if files.iter().any(|file| file.ends_with(".c")) => Verdict::Important,
        files if files.is_empty() => Verdict::Ignore,
        _ => Verdict::Unimportant,
    };
    Judgement { verdict, reason: format!("call {}", CALLS.get()) }
}

export!(Guest);
