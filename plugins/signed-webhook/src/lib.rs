//! The reporter `signed-webhook`: posts each event as JSON with an HMAC-SHA256 over the body.
//!
//! It is `webhook` with the header `X-Stampmill-Signature: sha256=<hex>`, and a plugin of its own because signing needs the secret itself:
//! who sends without a signature need not grant that. Needs `grant = { http = ["https://deploy.example"], secret = ["deploy-hook"] }`.

mod config;

use config::Config;
use stampmill_sdk::http::Request;
use stampmill_sdk::signature::Key;
use stampmill_sdk::{Fault, Occasion, Plugin, Reporter, event, register, secret};

/// The reporter.
#[derive(Debug)]
pub struct SignedWebhook(Config);

impl Plugin for SignedWebhook {
    type Config = Config;

    fn new(config: Config) -> Result<SignedWebhook, Fault> {
        Ok(SignedWebhook(config))
    }
}

impl Reporter for SignedWebhook {
    fn report(&self, id: &str, attempt: u32, occasion: &Occasion) -> Result<(), Fault> {
        // Asked for each time: a changed secret holds from the next event on.
        let key = Key::new(&self.0.secret, &secret::reveal(&self.0.secret)?)?;
        let body = event::to_json(id, attempt, occasion).to_string();
        let mut request = Request::new("POST", &self.0.url)
            .header("content-type", "application/json")
            .header("x-stampmill-delivery", id)
            .header("x-stampmill-attempt", &attempt.to_string())
            .header("x-stampmill-event", event::name(occasion))
            .header(&self.0.signature_header, &key.sign(body.as_bytes()))
            .limit(self.0.timeout.get());
        for (name, value) in &self.0.headers {
            request = request.header(name, value);
        }
        request.body(body.as_bytes()).send()?.delivered().map_err(|fault| fault.while_doing(&self.0.url))
    }
}

register!(reporter: SignedWebhook);
