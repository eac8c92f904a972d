//! Server-sent events (WHATWG HTML §9.2): what changed, so that a page or program reads it anew.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use futures_util::{Stream, StreamExt as _};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use stampmill_service::{Event, Peer, Watching};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use crate::Door;
use crate::body::{Asked, Who};
use crate::error::ApiError;
use crate::limits::{KEEP_ALIVE, STREAM_LIFETIME};

/// Which events. Without any of these, all but the growth of logs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// Only of this build, the growth of its logs too.
    build: Option<u64>,
    /// Only of this builder's builds and requests.
    builder: Option<String>,
}

pub(crate) async fn events(
    State(door): State<Door>,
    Who(who): Who,
    Extension(peer): Extension<Peer>,
    Asked(query): Asked<EventsQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, axum::Error>>>, ApiError> {
    let permit = Permit::take(&door)?;
    let Watching { events, over } = door.service.watch(&who, peer, headers)?;
    Ok(sse(futures_util::stream::unfold((events, query), next_event), over, permit))
}

type Listening = (broadcast::Receiver<Arc<Event>>, EventsQuery);

async fn next_event((mut receiver, query): Listening) -> Option<(Result<SseEvent, axum::Error>, Listening)> {
    loop {
        let (name, data) = match receiver.recv().await {
            Ok(event) if query.wants(&event) => told(&event),
            Ok(_) => continue,
            Err(RecvError::Lagged(missed)) => ("lagged", json!({ "missed": missed })),
            Err(RecvError::Closed) => return None,
        };
        return Some((SseEvent::default().event(name).json_data(data), (receiver, query)));
    }
}

impl EventsQuery {
    fn wants(&self, event: &Event) -> bool {
        if self.build.is_none() && self.builder.is_none() {
            return !matches!(event, Event::LogGrew { .. });
        }
        let of_build = |id: u64| self.build == Some(id);
        let of_builder = |name: &str| self.builder.as_deref() == Some(name);
        match event {
            Event::BuildChanged { id, builder, .. } => of_build(id.0) || of_builder(builder.as_str()),
            Event::RequestChanged { builder, .. } => of_builder(builder.as_str()),
            Event::LogGrew { build, .. } => of_build(build.0),
            Event::ConfigReloaded => true,
            Event::ChangeChanged { .. }
            | Event::BuildsetChanged { .. }
            | Event::WorkerChanged { .. }
            | Event::SchedulerChanged { .. }
            | Event::ChangeSourceChanged { .. } => false,
        }
    }
}

fn told(event: &Event) -> (&'static str, Value) {
    match event {
        Event::ChangeChanged { id } => ("change", json!({ "id": id })),
        Event::BuildsetChanged { id } => ("buildset", json!({ "id": id })),
        Event::RequestChanged { id, builder } => ("request", json!({ "id": id, "builder": builder })),
        Event::BuildChanged { id, builder, project, finished } => {
            ("build", json!({ "id": id, "builder": builder, "project": project, "finished": finished }))
        }
        Event::LogGrew { build, step, log, lines } => {
            ("log", json!({ "build": build, "step": step, "log": log, "lines": lines }))
        }
        Event::WorkerChanged { worker } => ("worker", json!({ "name": worker })),
        Event::ChangeSourceChanged { name } => ("change-source", json!({ "name": name })),
        Event::SchedulerChanged { scheduler } => ("scheduler", json!({ "name": scheduler })),
        Event::ConfigReloaded => ("config", json!({})),
    }
}

/// The right to hold one stream open.
pub(crate) struct Permit {
    _held: OwnedSemaphorePermit,
}

impl Permit {
    pub(crate) fn take(door: &Door) -> Result<Self, ApiError> {
        match Arc::clone(&door.streams).try_acquire_owned() {
            Ok(held) => Ok(Self { _held: held }),
            Err(_) => Err(ApiError::new(
                axum::http::StatusCode::SERVICE_UNAVAILABLE,
                "too-many-streams",
                "too many streams are open; try again in a moment",
            )),
        }
    }
}

/// A stream that says it is alive, ends when it is over or after its lifetime, however much there is left to tell, and holds its permit until
/// then.
pub(crate) fn sse<S, O>(stream: S, over: O, permit: Permit) -> Sse<impl Stream<Item = Result<SseEvent, axum::Error>>>
where
    S: Stream<Item = Result<SseEvent, axum::Error>> + Send + 'static,
    O: Future<Output = ()> + Send + 'static,
{
    let lifetime = Box::pin(tokio::time::timeout(STREAM_LIFETIME, over));
    let hello = futures_util::stream::once(async { Ok(SseEvent::default().event("hello").data("{}")) });
    let held = hello.chain(stream).take_until(lifetime).map(move |event| {
        let _until_the_end = &permit;
        event
    });
    Sse::new(held).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
