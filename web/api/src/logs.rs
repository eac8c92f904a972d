//! Logs: by range of lines, by tail, whole, and as they grow. Lines are counted from 1, as on the pages.

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event as SseEvent, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stampmill_model::BuildId;
use stampmill_service::limits::LOG_LINES_MAX;
use stampmill_service::{Event, Identity, Lines, LogError, LogInfo, Peer, ServiceError, Watching};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::Door;
use crate::body::{Asked, At, Who};
use crate::error::ApiError;
use crate::events::{Permit, sse};
use crate::limits::{FOLLOW_LINES, FOLLOW_LOOK, LOG_LINES};

/// The coding that logs are stored in (RFC 8878).
const ZSTD: &str = "zstd";

/// Which lines.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogQuery {
    /// From this line on, counted from 1.
    first: Option<u64>,
    /// So many lines, 5,000 at most.
    count: Option<u64>,
    /// The last so many lines, 5,000 at most.
    tail: Option<u64>,
}

/// What `x-log-lost` says of a log that has no end although its step is over.
const END_IS_LOST: &str =
    "the end of this log is lost: with its worker, with a part of its file, or because the build's logs are full";

/// Where to begin.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowQuery {
    /// From this line on, counted from 1.
    from: Option<u64>,
}

/// Lines of a log in a stream.
#[derive(Serialize)]
struct Grown {
    first: u64,
    lines: Vec<String>,
}

/// A log in the address.
#[derive(Clone)]
struct LogAt {
    build: BuildId,
    step: u32,
    log: String,
}

pub(crate) async fn log(
    State(door): State<Door>,
    Who(who): Who,
    At((build, step, log)): At<(u64, u32, String)>,
    Asked(query): Asked<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let at = LogAt { build: BuildId(build), step, log };
    match query {
        LogQuery { first: None, count: None, tail: None } => whole(door, who, at, takes_zstd(&headers)).await,
        LogQuery { first: None, count: None, tail: Some(tail) } => {
            let tail = bounded("tail", tail)?;
            part(door, who, at, move |reading, at| reading.log_tail(at.build, at.step, &at.log, tail)).await
        }
        LogQuery { first, count, tail: None } => {
            let first = first.unwrap_or(1);
            if first == 0 {
                return Err(ApiError::bad_request("bad-query", "`first` is 0; lines are counted from 1"));
            }
            let count = bounded("count", count.unwrap_or(LOG_LINES))?;
            part(door, who, at, move |reading, at| reading.log_lines(at.build, at.step, &at.log, first - 1, count))
                .await
        }
        LogQuery { .. } => Err(ApiError::bad_request("bad-query", "`tail` does not go with `first` and `count`")),
    }
}

fn bounded(name: &str, count: u64) -> Result<u64, ApiError> {
    if count <= LOG_LINES_MAX {
        return Ok(count);
    }
    Err(ApiError::bad_request(
        "bad-query",
        format!("`{name}` is {count}; take {LOG_LINES_MAX} at most, or the whole log"),
    ))
}

async fn part<F>(door: Door, who: Identity, at: LogAt, ask: F) -> Result<Response, ApiError>
where
    F: FnOnce(&stampmill_service::Reading, &LogAt) -> Result<Lines, ServiceError> + Send + 'static,
{
    let (lines, info) = door
        .service
        .read(&who, move |reading| {
            // The lines are read after the figures, so that a growing log never shows fewer lines than its figures say.
            let info = reading.log_info(at.build, at.step, &at.log)?;
            Ok((ask(reading, &at)?, info))
        })
        .await?;
    let mut headers = log_headers(&info);
    headers.insert(HeaderName::from_static("x-log-first"), HeaderValue::from(lines.first_line + 1));
    headers.insert(HeaderName::from_static("x-log-count"), HeaderValue::from(lines.count));
    Ok((headers, lines.bytes).into_response())
}

/// The whole log; compressed as it is stored when the client can take it so.
async fn whole(door: Door, who: Identity, at: LogAt, zstd: bool) -> Result<Response, ApiError> {
    let permit = Permit::take(&door)?;
    let (raw, info) = door
        .service
        .read(&who, move |reading| {
            let info = reading.log_info(at.build, at.step, &at.log)?;
            Ok((reading.log_raw(at.build, at.step, &at.log, 0)?, info))
        })
        .await?;
    let mut headers = log_headers(&info);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let Some(raw) = raw else { return Ok((headers, Body::empty()).into_response()) };
    if !zstd {
        return Ok((headers, Body::from_stream(pieces(raw, permit))).into_response());
    }
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(ZSTD));
    // It begins with its first frame.
    let body = raw.compressed().map_or_else(Body::empty, |stored| Body::from_stream(pieces(stored, permit)));
    Ok((headers, body).into_response())
}

/// Whether a client takes zstd (RFC 9110 §12.5.3): it must name it, and not with the weight 0.
fn takes_zstd(headers: &HeaderMap) -> bool {
    let named = |part: &str| {
        let (coding, parameters) = part.split_once(';').unwrap_or((part, ""));
        let weight = match parameters.trim().split_once('=') {
            None => parameters.trim().is_empty().then_some(1.0),
            Some((name, weight)) if name.eq_ignore_ascii_case("q") => weight.parse::<f32>().ok(),
            Some(_) => None,
        };
        coding.trim().eq_ignore_ascii_case(ZSTD) && weight.is_some_and(|weight| weight > 0.0)
    };
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(named)
}

/// The pieces of a log, each read only when the one before has gone out.
fn pieces<L>(raw: L, permit: Permit) -> impl Stream<Item = Result<Bytes, std::io::Error>>
where
    L: Iterator<Item = Result<Vec<u8>, LogError>> + Send + 'static,
{
    futures_util::stream::unfold(Some((raw, permit)), |state| async {
        let (mut raw, permit) = state?;
        let read = tokio::task::spawn_blocking(move || (raw.next(), raw)).await;
        match read {
            Ok((None, _)) => None,
            Ok((Some(Ok(piece)), raw)) => Some((Ok(Bytes::from(piece)), Some((raw, permit)))),
            Ok((Some(Err(error)), _)) => {
                tracing::error!(%error, "a log can't be read");
                Some((Err(std::io::Error::other("the log can't be read")), None))
            }
            Err(error) => Some((Err(std::io::Error::other(error)), None)),
        }
    })
}

fn log_headers(info: &LogInfo) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(HeaderName::from_static("x-log-lines"), HeaderValue::from(info.lines));
    headers.insert(HeaderName::from_static("x-log-bytes"), HeaderValue::from(info.bytes));
    let complete = if info.ended { "true" } else { "false" };
    headers.insert(HeaderName::from_static("x-log-complete"), HeaderValue::from_static(complete));
    if info.lost {
        headers.insert(HeaderName::from_static("x-log-lost"), HeaderValue::from_static(END_IS_LOST));
    }
    headers
}

pub(crate) async fn follow(
    State(door): State<Door>,
    Who(who): Who,
    Extension(peer): Extension<Peer>,
    At((build, step, log)): At<(u64, u32, String)>,
    Asked(query): Asked<FollowQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, axum::Error>>>, ApiError> {
    let permit = Permit::take(&door)?;
    // A browser that lost the stream says where it was; the id of each event is the line to go on with.
    let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let first = resumed.or(query.from).unwrap_or(1);
    if first == 0 {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "bad-query", "`from` is 0; lines are counted from 1"));
    }
    let at = LogAt { build: BuildId(build), step, log };
    let Watching { events, over } = door.service.watch(&who, peer, headers)?;
    let follower = Follower { door, who, at, next: first - 1, events, ended: false };
    follower.look().await?;
    Ok(sse(futures_util::stream::unfold(follower, Follower::step), over, permit))
}

/// Somebody who follows a log.
struct Follower {
    door: Door,
    who: Identity,
    at: LogAt,
    /// The next line, counted from 0.
    next: u64,
    events: broadcast::Receiver<std::sync::Arc<Event>>,
    ended: bool,
}

impl Follower {
    /// The next event of the stream and the follower after it.
    async fn step(mut self) -> Option<(Result<SseEvent, axum::Error>, Self)> {
        while !self.ended {
            let (lines, complete, lost) = match self.look().await {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(?error, "a followed log can't be read");
                    return None;
                }
            };
            if !lines.is_empty() {
                let grown = Grown { first: self.next + 1, lines };
                self.next += grown.lines.len() as u64;
                let event = SseEvent::default().event("lines").id((self.next + 1).to_string()).json_data(grown);
                return Some((event, self));
            }
            if complete {
                self.ended = true;
                return Some((
                    Ok(SseEvent::default().event("end").data(if lost { "{\"lost\":true}" } else { "{}" })),
                    self,
                ));
            }
            self.wait().await?;
        }
        None
    }

    /// Lines that are there from the next one on, whether no more will come after them, and whether that is because the rest is lost.
    async fn look(&self) -> Result<(Vec<String>, bool, bool), ApiError> {
        let (at, next) = (self.at.clone(), self.next);
        let (lines, complete, lost) = self
            .door
            .service
            .read(&self.who, move |reading| {
                // Whether it is complete is asked first: what is read after that is all there is.
                let info = reading.log_info(at.build, at.step, &at.log)?;
                let lines = reading.log_lines(at.build, at.step, &at.log, next, FOLLOW_LINES)?;
                Ok((lines, info.ended || info.lost, info.lost))
            })
            .await?;
        // A line that is too long for a page is told as far as it fits.
        Ok((whole_lines(&lines.bytes, complete || lines.cut), complete, lost))
    }

    /// Waits until the log may have grown; `None` when there is nobody left who could say so.
    async fn wait(&mut self) -> Option<()> {
        let wake = async {
            loop {
                match self.events.recv().await {
                    Ok(event) if concerns(&event, &self.at) => return Some(()),
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return Some(()),
                    Err(RecvError::Closed) => return None,
                }
            }
        };
        tokio::time::timeout(FOLLOW_LOOK, wake).await.unwrap_or(Some(()))
    }
}

fn concerns(event: &Event, at: &LogAt) -> bool {
    match event {
        Event::LogGrew { build, step, log, .. } => *build == at.build && *step == at.step && *log == at.log,
        Event::BuildChanged { id, .. } => *id == at.build,
        Event::ChangeChanged { .. }
        | Event::BuildsetChanged { .. }
        | Event::RequestChanged { .. }
        | Event::WorkerChanged { .. }
        | Event::ChangeSourceChanged { .. }
        | Event::SchedulerChanged { .. }
        | Event::ConfigReloaded => false,
    }
}

/// Lines without their ends; one that has no end yet is left for later unless the log is complete.
fn whole_lines(bytes: &[u8], complete: bool) -> Vec<String> {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let rest = lines.pop().unwrap_or_default();
    if complete && !rest.is_empty() {
        lines.push(rest);
    }
    lines.into_iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_end_waits_until_the_log_is_complete() {
        assert_eq!(whole_lines(b"one\ntwo", false), ["one"]);
        assert_eq!(whole_lines(b"one\ntwo", true), ["one", "two"]);
        assert_eq!(whole_lines(b"one\n\ntwo\n", true), ["one", "", "two"]);
        assert_eq!(whole_lines(b"", true), Vec::<String>::new());
        assert_eq!(whole_lines(b"a\xffb\n", false), ["a\u{fffd}b"]);
    }
}
