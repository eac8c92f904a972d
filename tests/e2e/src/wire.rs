//! Requests written by hand, for what no well-behaved client sends.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// How long an answer may take; the host's own patience with a body is half a minute.
const PATIENCE: Duration = Duration::from_secs(180);

/// Pause between two drops of a body that trickles: often enough that the connection is never silent for long.
const DRIP: Duration = Duration::from_millis(200);

/// What comes after the head of a request.
pub enum Body {
    /// These bytes, as quickly as they are taken.
    Bytes(Vec<u8>),
    /// These few bytes now and then, without end.
    Trickle(&'static [u8]),
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head and body.
    pub text: String,
}

/// Sends a head, which is given without its last empty line, and a body; the answer may come before the body has been sent.
///
/// # Errors
/// When there is no answer.
pub async fn exchange(url: &str, head: &str, body: Body) -> anyhow::Result<Answer> {
    let address = url.strip_prefix("http://").context("a plain address is expected")?;
    let mut stream = TcpStream::connect(address).await?;
    let head = head.trim_end().replace('\n', "\r\n");
    stream.write_all(format!("{head}\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
    let (reading, writing) = stream.into_split();
    let sending = tokio::spawn(send(writing, body));
    let answer = tokio::time::timeout(PATIENCE, read(reading)).await.context("no answer came")?;
    sending.abort();
    answer
}

async fn send(mut writing: OwnedWriteHalf, body: Body) -> OwnedWriteHalf {
    match body {
        // The host may have closed the connection: then there is an answer to read.
        Body::Bytes(bytes) => {
            let _ = writing.write_all(&bytes).await;
        }
        Body::Trickle(drop) => {
            while writing.write_all(drop).await.is_ok() {
                tokio::time::sleep(DRIP).await;
            }
        }
    }
    writing
}

async fn read(mut reading: OwnedReadHalf) -> anyhow::Result<Answer> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        // A connection that is reset after the answer has given it all the same.
        let count = reading.read(&mut piece).await.unwrap_or(0);
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if count == 0 || is_whole(&text) {
            let Some(status) = text.split(' ').nth(1).and_then(|status| status.parse().ok()) else {
                bail!("the connection ended without an answer: {text}");
            };
            return Ok(Answer { status, text: text.into_owned() });
        }
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| body.len() >= length)
}
