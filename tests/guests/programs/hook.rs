//! A hook that answers what its script says, or what it was sent.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;

use stampmill_guest_programs::{Script, misbehave};

wit_bindgen::generate!({
    path: "../../../wit",
    world: "stampmill:plugin/change-hook",
    generate_all,
});

use exports::stampmill::change_source::hook::{self, Reply, Request};
use exports::stampmill::plugin::configurable;
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

impl hook::Guest for Guest {
    fn receive(request: Request) -> Result<Reply, Fault> {
        let delivery = request.headers.iter().find(|(name, _)| name == "x-delivery").map(|(_, value)| value.clone());
        let body =
            format!("{} {}?{} {}", request.method, request.path, request.query, String::from_utf8_lossy(&request.body));
        let mut reply = Reply { status: 202, body, delivery, changes: Vec::new() };
        SCRIPT.with_borrow(|script| match script.words("receive").as_slice() {
            ["status", status] => reply.status = status.parse().unwrap_or(0),
            ["body", bytes] => reply.body = "b".repeat(bytes.parse().unwrap_or(0)),
            words => drop(misbehave(words)),
        });
        Ok(reply)
    }
}

export!(Guest);
