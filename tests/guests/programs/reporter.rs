//! A reporter that tells its log what it was told, and keeps what its script says.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;

use stampmill_guest_programs::{Script, misbehave};

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:guest;
        world probe {
            include stampmill:plugin/reporter@0.1.0;
            import stampmill:host/state@0.1.0;
        }
    ",
    world: "test:guest/probe",
    generate_all,
});

use exports::stampmill::plugin::configurable;
use exports::stampmill::reporter::reporter::{self, Occasion};
use stampmill::host::facts::{Build, Buildset};
use stampmill::host::log::{Level, log};
use stampmill::host::state;
use stampmill::types::types::Fault;

thread_local! {
    static SCRIPT: RefCell<Script> = RefCell::new(Script::new(""));
}

struct Guest;

impl configurable::Guest for Guest {
    fn configure(config: String) -> Result<(), Fault> {
        SCRIPT.set(Script::new(&config));
        Ok(())
    }
}

impl reporter::Guest for Guest {
    fn report(id: String, attempt: u32, occasion: Occasion) -> Result<(), Fault> {
        let text = match occasion {
            Occasion::BuildStarted(build) => format!("started {}", describe(&build)),
            Occasion::BuildFinished(build) => format!("finished {}", describe(&build)),
            Occasion::FirstFailure(set) => format!("failing {}", describe_set(&set)),
            Occasion::BuildsetFinished(set) => format!("done {}", describe_set(&set)),
            Occasion::Other(json) => format!("other {json}"),
        };
        log(Level::Info, &format!("{id}#{attempt} {text}"));
        SCRIPT.with_borrow(|script| keep(&script.words("report")))
    }
}

fn keep(words: &[&str]) -> Result<(), Fault> {
    match words {
        ["set", key, value] => state::set(key, value.as_bytes()),
        ["set-large", bytes] => state::set("large", &vec![0; bytes.parse().unwrap_or(0)]),
        ["fill", entries, bytes] => {
            let value = vec![0; bytes.parse().unwrap_or(0)];
            (0..entries.parse::<u32>().unwrap_or(0)).try_for_each(|index| state::set(&format!("key{index}"), &value))
        }
        ["get", key] => {
            let value = state::get(key)?;
            log(Level::Info, &value.map_or("absent".to_owned(), |value| String::from_utf8_lossy(&value).into_owned()));
            Ok(())
        }
        ["delete", key] => state::delete(key),
        words if misbehave(words) => Ok(()),
        other => Err(Fault::Broken(format!("unknown words {other:?}"))),
    }
}

fn describe(build: &Build) -> String {
    format!("{} {:?} at {}", build.builder(), build.outcome(), build.url())
}

fn describe_set(set: &Buildset) -> String {
    let builds: Vec<String> = set.builds().iter().map(describe).collect();
    format!("{} {:?} [{}]", set.id(), set.outcome(), builds.join(", "))
}

export!(Guest);
