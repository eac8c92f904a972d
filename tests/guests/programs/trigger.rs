//! A step that triggers what its script says.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;

use stampmill_guest_programs::Script;

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:guest;
        world probe {
            include stampmill:plugin/step@0.1.0;
            import stampmill:host/trigger@0.1.0;
        }
    ",
    world: "test:guest/probe",
    generate_all,
});

use exports::stampmill::plugin::configurable;
use exports::stampmill::step::step;
use stampmill::host::log::{Level, log};
use stampmill::host::trigger::Request;
use stampmill::types::types::{Fault, Outcome};

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

impl step::Guest for Guest {
    fn run() -> Result<Outcome, Fault> {
        SCRIPT.with_borrow(|script| act(&script.words("run")))?;
        Ok(Outcome::Success)
    }
}

fn act(words: &[&str]) -> Result<(), Fault> {
    match words {
        ["trigger", scheduler, name, value] => {
            let request = Request::new(scheduler);
            request.version("core", Some("next"), None);
            request.property(name, value);
            request.detach();
            let triggered = request.start()?;
            log(Level::Info, &format!("{} {:?}", triggered.buildset(), triggered.wait()?));
        }
        ["trigger-much", scheduler, count] => {
            let request = Request::new(scheduler);
            let count: u32 = count.parse().expect("a number");
            (0..count).for_each(|number| request.property(&number.to_string(), "1"));
            request.start()?;
        }
        other => return Err(Fault::Broken(format!("unknown words {other:?}"))),
    }
    Ok(())
}

export!(Guest);
