//! What leads to builds: changes, buildsets and requests.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use stampmill_model::{BuildsetId, ChangeId, RequestId};
use stampmill_service::queries::Reading;
use stampmill_service::{BuildsetFilter, ChangeFilter, RequestFilter};

use crate::Door;
use crate::body::{Asked, At, Sent, Who};
use crate::convert;
use crate::error::ApiError;
use crate::page::Paging;
use crate::wire;

type Answer<T> = Result<Json<T>, ApiError>;

/// Which changes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangesQuery {
    /// Only of this change source.
    source: Option<String>,
    /// Only of this branch.
    branch: Option<String>,
    /// Only of this codebase.
    codebase: Option<String>,
    /// Only of this person: an id, `KIND:VALUE`, or the value of any attribute. Goes with none of the others.
    person: Option<String>,
    /// `next` of the page before.
    cursor: Option<u64>,
    /// Entries of a page at most.
    limit: Option<usize>,
}

/// Which buildsets.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuildsetsQuery {
    /// Only those that have not ended.
    #[serde(default)]
    open: bool,
    /// `next` of the page before.
    cursor: Option<u64>,
    /// Entries of a page at most.
    limit: Option<usize>,
}

/// Which requests.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestsQuery {
    /// Only for this builder.
    builder: Option<String>,
    /// Only those that have not ended.
    #[serde(default)]
    open: bool,
    /// `next` of the page before.
    cursor: Option<u64>,
    /// Entries of a page at most.
    limit: Option<usize>,
}

pub(crate) async fn changes(
    State(door): State<Door>,
    Who(who): Who,
    Asked(query): Asked<ChangesQuery>,
) -> Answer<wire::List<wire::Change>> {
    let paging = Paging::new(query.cursor, query.limit)?;
    if let Some(person) = query.person {
        if query.source.is_some() || query.branch.is_some() || query.codebase.is_some() {
            return Err(ApiError::bad_request("bad-query", "`person` goes with no other filter; leave those out"));
        }
        let ask = move |reading: &Reading| reading.changes_of(&person, paging.cursor.map(ChangeId), paging.limit);
        return Ok(Json(convert::list(door.service.read(&who, ask).await?, convert::change)));
    }
    let filter = ChangeFilter { source: query.source.map(Into::into), branch: query.branch, codebase: query.codebase };
    let page = door
        .service
        .read(&who, move |reading| reading.changes(&filter, paging.cursor.map(ChangeId), paging.limit))
        .await?;
    Ok(Json(convert::list(page, convert::change)))
}

pub(crate) async fn change(State(door): State<Door>, Who(who): Who, At(id): At<u64>) -> Answer<wire::Change> {
    Ok(Json(convert::change(door.service.read(&who, move |reading| reading.change(ChangeId(id))).await?)))
}

pub(crate) async fn send_change(
    State(door): State<Door>,
    Who(who): Who,
    Sent(mut body): Sent<wire::ChangeBody>,
) -> Result<(StatusCode, Json<wire::ChangesTaken>), ApiError> {
    let (codebase, trusted) = (body.codebase.take(), body.trusted);
    let ids = door.service.send_change(&who, convert::seen_change(body)?, codebase, trusted).await?;
    Ok((StatusCode::CREATED, Json(wire::ChangesTaken { changes: ids.iter().map(|id| id.0).collect() })))
}

pub(crate) async fn buildsets(
    State(door): State<Door>,
    Who(who): Who,
    Asked(query): Asked<BuildsetsQuery>,
) -> Answer<wire::List<wire::Buildset>> {
    let paging = Paging::new(query.cursor, query.limit)?;
    let filter = BuildsetFilter { open_only: query.open };
    let page = door
        .service
        .read(&who, move |reading| reading.buildsets(&filter, paging.cursor.map(BuildsetId), paging.limit))
        .await?;
    Ok(Json(convert::list(page, convert::buildset)))
}

pub(crate) async fn buildset(State(door): State<Door>, Who(who): Who, At(id): At<u64>) -> Answer<wire::Buildset> {
    Ok(Json(convert::buildset(door.service.read(&who, move |reading| reading.buildset(BuildsetId(id))).await?)))
}

pub(crate) async fn submit(
    State(door): State<Door>,
    Who(who): Who,
    Sent(body): Sent<wire::SubmitBody>,
) -> Result<(StatusCode, Json<wire::Made>), ApiError> {
    let made = door.service.submit(&who, convert::submit_ask(body)).await?;
    Ok((StatusCode::CREATED, Json(convert::made(made))))
}

pub(crate) async fn try_patch(
    State(door): State<Door>,
    Who(who): Who,
    Sent(body): Sent<wire::TryBody>,
) -> Result<(StatusCode, Json<wire::Made>), ApiError> {
    let made = door.service.try_patch(&who, convert::try_ask(body)?).await?;
    Ok((StatusCode::CREATED, Json(convert::made(made))))
}

pub(crate) async fn requests(
    State(door): State<Door>,
    Who(who): Who,
    Asked(query): Asked<RequestsQuery>,
) -> Answer<wire::List<wire::Request>> {
    let paging = Paging::new(query.cursor, query.limit)?;
    let filter = RequestFilter { builder: query.builder.map(Into::into), open_only: query.open };
    let page = door
        .service
        .read(&who, move |reading| reading.requests(&filter, paging.cursor.map(RequestId), paging.limit))
        .await?;
    Ok(Json(convert::list(page, convert::request)))
}

pub(crate) async fn request(State(door): State<Door>, Who(who): Who, At(id): At<u64>) -> Answer<wire::Request> {
    Ok(Json(convert::request(door.service.read(&who, move |reading| reading.request(RequestId(id))).await?)))
}

pub(crate) async fn explain(State(door): State<Door>, Who(who): Who, At(id): At<u64>) -> Answer<wire::Explanation> {
    Ok(Json(convert::explanation(door.service.explain_request(&who, RequestId(id)).await?)))
}

pub(crate) async fn explain_change(
    State(door): State<Door>,
    Who(who): Who,
    At(id): At<u64>,
) -> Answer<wire::List<wire::ChangeWait>> {
    let waits = door.service.explain_change(&who, ChangeId(id)).await?;
    Ok(Json(convert::whole(waits.into_iter().map(convert::change_wait))))
}

pub(crate) async fn cancel_request(
    State(door): State<Door>,
    Who(who): Who,
    At(id): At<u64>,
    Sent(body): Sent<wire::ReasonBody>,
) -> Answer<wire::Done> {
    door.service.cancel_request(&who, RequestId(id), body.reason).await?;
    Ok(Json(wire::Done { done: true }))
}

pub(crate) async fn approve(
    State(door): State<Door>,
    Who(who): Who,
    At(id): At<u64>,
    Sent(body): Sent<wire::ApproveBody>,
) -> Answer<wire::Done> {
    door.service.approve(&who, RequestId(id), body.approved).await?;
    Ok(Json(wire::Done { done: true }))
}
