//! Server-sent events (HTML standard, 9.2), as far as the host writes them.

use reqwest::Response;

use super::failure::Failure;
use super::limits::{EVENT_BYTES_MAX, STREAM_SILENT};

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Event {
    /// Its name.
    pub(crate) name: String,
    /// What it carries.
    pub(crate) data: String,
}

/// A stream of events.
pub(crate) struct Events {
    response: Response,
    parser: Parser,
}

impl Events {
    /// The events of an answer.
    pub(crate) fn new(response: Response) -> Self {
        Self { response, parser: Parser::default() }
    }

    /// The next event; `None` when the stream has ended, for whatever reason: whoever follows opens another.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(event) = self.parser.next() {
                return Ok(Some(event));
            }
            match tokio::time::timeout(STREAM_SILENT, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.parser.push(&chunk)?,
                Ok(Ok(None) | Err(_)) | Err(_) => return Ok(None),
            }
        }
    }
}

#[derive(Default)]
struct Parser {
    waiting: Vec<u8>,
    event: Event,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if self.waiting.len() + self.event.data.len() + bytes.len() > EVENT_BYTES_MAX {
            return Err(Failure::Broken(format!("an event of the host has more than {EVENT_BYTES_MAX} bytes")).into());
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole event of what has come.
    fn next(&mut self) -> Option<Event> {
        let mut used = 0;
        let mut found = None;
        while let Some(end) = self.waiting[used..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.waiting[used..used + end]).into_owned();
            used += end + 1;
            if let Some(event) = self.line(line.trim_end_matches('\r')) {
                found = Some(event);
                break;
            }
        }
        self.waiting.drain(..used);
        found
    }

    /// An empty line ends an event; a line that begins with a colon is a sign of life.
    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (!event.name.is_empty() || !event.data.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&str]) -> Vec<Event> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece.as_bytes()).unwrap();
            events.extend(std::iter::from_fn(|| parser.next()));
        }
        events
    }

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_are_read_wherever_the_pieces_are_cut() {
        let whole = "event: hello\ndata: {}\n\n: alive\n\nevent:log\r\nid: 4\r\ndata: a\r\ndata: b\r\n\r\n";
        let expected = [event("hello", "{}"), event("log", "a\nb")];
        assert_eq!(events(&[whole]), expected);
        for cut in 1..whole.len() {
            assert_eq!(events(&[&whole[..cut], &whole[cut..]]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn an_event_that_is_not_over_is_not_handed_out() {
        assert_eq!(events(&["event: log\ndata: a\n"]), []);
    }
}
