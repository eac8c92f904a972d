//! The reporter `webhook`: posts each event as JSON.
//!
//! The body is what `stampmill_sdk::event` describes: `{"id", "attempt", "event", "build" or "buildset"}`. The same event has the same id
//! however often it is delivered, also in the header `X-Stampmill-Delivery`; a receiver that keeps ids sees each once. It signs nothing:
//! `signed-webhook` does, and needs a secret for it. Needs `grant = { http = ["https://chat.example"] }`, and
//! `credential = { chat-token = ["https://chat.example"] }` in it for a bearer token.
//!
//! A status of 2xx is a delivery. 408, 425, 429 and 5xx are tried again, after `Retry-After` if the answer has it; others are not.

mod config;

use config::Config;
use stampmill_sdk::http::Request;
use stampmill_sdk::{Fault, Occasion, Plugin, Reporter, event, register};

/// The reporter.
#[derive(Debug)]
pub struct Webhook(Config);

impl Plugin for Webhook {
    type Config = Config;

    fn new(config: Config) -> Result<Webhook, Fault> {
        Ok(Webhook(config))
    }
}

impl Reporter for Webhook {
    fn report(&self, id: &str, attempt: u32, occasion: &Occasion) -> Result<(), Fault> {
        let body = event::to_json(id, attempt, occasion).to_string();
        let mut request = Request::new("POST", &self.0.url)
            .header("content-type", "application/json")
            .header("x-stampmill-delivery", id)
            .header("x-stampmill-attempt", &attempt.to_string())
            .header("x-stampmill-event", event::name(occasion))
            .limit(self.0.timeout.get());
        for (name, value) in &self.0.headers {
            request = request.header(name, value);
        }
        if let Some(credential) = &self.0.credential {
            request = request.credential(credential);
        }
        request.body(body.as_bytes()).send()?.delivered().map_err(|fault| fault.while_doing(&self.0.url))
    }
}

register!(reporter: Webhook);
