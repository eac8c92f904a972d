//! A poller that finds as many changes as its script says, in the shape that it says.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;

use stampmill_guest_programs::{Script, misbehave};

wit_bindgen::generate!({
    path: "../../../wit",
    world: "stampmill:plugin/change-poller",
    generate_all,
});

use exports::stampmill::change_source::poller::{self, Polled};
use exports::stampmill::plugin::configurable;
use stampmill::host::log::{Level, log};
use stampmill::types::types::{Fault, SeenChange, Setting, Unavailable};

thread_local! {
    static SCRIPT: RefCell<Script> = RefCell::new(Script::new(""));
}

struct Guest;

impl configurable::Guest for Guest {
    fn configure(config: String) -> Result<(), Fault> {
        log(Level::Debug, "configured");
        SCRIPT.set(Script::new(&config));
        Ok(())
    }
}

impl poller::Guest for Guest {
    fn poll(cursor: Option<String>) -> Result<Polled, Fault> {
        SCRIPT.with_borrow(|script| poll(&script.words("poll"), cursor))
    }
}

fn poll(words: &[&str], cursor: Option<String>) -> Result<Polled, Fault> {
    let mut polled = Polled { changes: Vec::new(), cursor: cursor.unwrap_or_default() + "+", more: false };
    match words {
        ["changes", count] => polled.changes = (0..count.parse().unwrap_or(0)).map(change).collect(),
        ["fat", megabytes] => {
            let mut fat = change(0);
            fat.comments = "x".repeat(megabytes.parse::<usize>().unwrap_or(0) << 20);
            polled.changes.push(fat);
        }
        ["property", value] => {
            let mut odd = change(0);
            odd.properties.push(Setting { name: "odd".to_owned(), value: (*value).to_owned() });
            polled.changes.push(odd);
        }
        ["cursor", bytes] => polled.cursor = "c".repeat(bytes.parse().unwrap_or(0)),
        ["later"] => {
            let reason = "the repository is asleep".to_owned();
            return Err(Fault::Unavailable(Unavailable { reason, retry_after: Some(1_500) }));
        }
        ["long-fault"] => return Err(Fault::Broken("é".repeat(1 << 20))),
        words if misbehave(words) => {}
        other => return Err(Fault::Broken(format!("unknown words {other:?}"))),
    }
    Ok(polled)
}

fn change(index: u32) -> SeenChange {
    SeenChange {
        author: "A <a@example>".to_owned(),
        committer: None,
        comments: format!("change {index}"),
        files: vec!["src/main.c".to_owned()],
        repository: "https://git.example/app.git".to_owned(),
        project: String::new(),
        revision: Some(format!("{index:040}")),
        branch: Some("main".to_owned()),
        category: None,
        link: None,
        committed_at: Some(1_000),
        properties: vec![Setting { name: "n".to_owned(), value: index.to_string() }],
        extra: Vec::new(),
    }
}

export!(Guest);
