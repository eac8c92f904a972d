//! Asks for the way to a target, goes it, and tells what came of it.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use stampmill_runtime::egress::{Attempt, BadTarget, NetworkRecord, NoWay, Protocol, Target, way};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::Shared;
use crate::command::OutputLog;
use crate::limits::{PROXY_LINES_TOLD, PROXY_TIMEOUT};

/// Why there is no connection to a target.
pub(super) enum Unreached {
    /// It is not allowed, or is no target at all.
    Refused(String),
    /// Nobody knows its name.
    Unknown(String),
    /// It did not take the connection.
    Unreachable(io::ErrorKind, String),
    /// It did not answer in time.
    Late(String),
}

impl Unreached {
    /// A sentence for the program.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Refused(why) | Self::Unknown(why) | Self::Unreachable(_, why) | Self::Late(why) => why,
        }
    }
}

impl Shared {
    /// A connection to a target, at an address that was judged.
    pub(super) async fn reach(
        &self,
        protocol: Protocol,
        target: Result<Target, BadTarget>,
    ) -> Result<TcpStream, Unreached> {
        let target = match target {
            Ok(target) => target,
            Err(bad) => return Err(self.refuse(protocol, bad.text.clone(), bad.to_string()).await),
        };
        let mut trial = Trial { teller: &self.teller, protocol, target: &target, at: None, told: false };
        let gone = tokio::time::timeout(PROXY_TIMEOUT, self.go(&mut trial)).await;
        let unreached =
            match gone.unwrap_or_else(|_| Err(Gone::Nowhere(Unreached::Late(format!("`{target}` does not answer"))))) {
                Ok((stream, address)) => {
                    trial.tell(Attempt::connected(protocol, &target, address));
                    return Ok(stream);
                }
                Err(Gone::NoWay(no)) => {
                    trial.tell(Attempt::no_way(protocol, &target, &no));
                    let why = no.to_string();
                    if no.is_refusal() { Unreached::Refused(why) } else { Unreached::Unknown(why) }
                }
                Err(Gone::Nowhere(unreached)) => {
                    let why = unreached.why().to_owned();
                    trial.tell(Attempt::failed(protocol, &target, trial.at, why));
                    unreached
                }
            };
        self.teller.tell(&said(&unreached)).await;
        Err(unreached)
    }

    /// Refuses something that does not even name a target that could be asked for.
    pub(super) async fn refuse(&self, protocol: Protocol, target: String, why: String) -> Unreached {
        self.teller.record(Attempt::refused(protocol, target, why.clone()));
        let unreached = Unreached::Refused(why);
        self.teller.tell(&said(&unreached)).await;
        unreached
    }

    /// Tries the addresses in turn.
    async fn go(&self, trial: &mut Trial<'_>) -> Result<(TcpStream, IpAddr), Gone> {
        let target = trial.target;
        let mut unreached = Unreached::Unknown(format!("`{target}` has no address"));
        for address in way(&self.granted, target).await.map_err(Gone::NoWay)? {
            trial.at = Some(address.ip());
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok((stream, address.ip())),
                Err(error) => {
                    let why = format!("`{target}` cannot be reached: {error}");
                    unreached = Unreached::Unreachable(error.kind(), why);
                }
            }
        }
        Err(Gone::Nowhere(unreached))
    }
}

/// How far somebody got who did not arrive.
enum Gone {
    NoWay(NoWay),
    Nowhere(Unreached),
}

/// An attempt under way. One that is cut off, because its program has ended, is told too.
struct Trial<'a> {
    teller: &'a Teller,
    protocol: Protocol,
    target: &'a Target,
    /// The address that was tried last.
    at: Option<IpAddr>,
    told: bool,
}

impl Trial<'_> {
    fn tell(&mut self, attempt: Attempt) {
        self.told = true;
        self.teller.record(attempt);
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if !self.told {
            let why = "the program ended before there was an answer".to_owned();
            self.tell(Attempt::failed(self.protocol, self.target, self.at, why));
        }
    }
}

fn said(unreached: &Unreached) -> String {
    match unreached {
        Unreached::Refused(why) => format!("refused: {why}"),
        Unreached::Unknown(why) | Unreached::Unreachable(_, why) | Unreached::Late(why) => why.clone(),
    }
}

/// Tells of attempts: each to the record, each sentence once in the program's log.
pub(super) struct Teller {
    log: Mutex<Told>,
    record: Option<Arc<dyn NetworkRecord>>,
}

struct Told {
    log: Box<dyn OutputLog>,
    lines: BTreeSet<String>,
}

impl Teller {
    pub(super) fn new(log: Box<dyn OutputLog>, record: Option<Arc<dyn NetworkRecord>>) -> Self {
        Self { log: Mutex::new(Told { log, lines: BTreeSet::new() }), record }
    }

    fn record(&self, attempt: Attempt) {
        if let Some(record) = &self.record {
            record.tried(attempt);
        }
    }

    async fn tell(&self, text: &str) {
        let mut told = self.log.lock().await;
        if told.lines.len() > PROXY_LINES_TOLD || told.lines.contains(text) {
            return;
        }
        let line = if told.lines.len() == PROXY_LINES_TOLD {
            "[stampmill network: what else is refused is not told here]\n".to_owned()
        } else {
            format!("[stampmill network: {text}]\n")
        };
        told.lines.insert(text.to_owned());
        // A log that takes no more has said so to whoever writes the program's output.
        let _ = told.log.write(line.as_bytes()).await;
    }
}
