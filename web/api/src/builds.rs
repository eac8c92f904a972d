//! Builders and builds.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use stampmill_model::{BuildId, BuilderName, Outcome};
use stampmill_service::{BuildFilter, BuildsIn, ServiceError};

use crate::Door;
use crate::body::{Asked, At, Sent, Who};
use crate::convert;
use crate::error::ApiError;
use crate::page::Paging;
use crate::wire;

type Answer<T> = Result<Json<T>, ApiError>;

/// Which builds.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuildsQuery {
    /// Only of this builder.
    builder: Option<String>,
    /// Only on this worker.
    worker: Option<String>,
    /// Only of this buildset.
    buildset: Option<u64>,
    /// Only of this request.
    request: Option<u64>,
    /// `open` or `finished`.
    state: Option<String>,
    /// Only those that ended so.
    result: Option<String>,
    /// `next` of the page before.
    cursor: Option<u64>,
    /// Entries of a page at most.
    limit: Option<usize>,
}

impl BuildsQuery {
    fn filter(&self) -> Result<BuildFilter, ApiError> {
        let state = match (self.state.as_deref(), self.result.as_deref()) {
            (None, None) => BuildsIn::Any,
            (Some("open"), None) => BuildsIn::Open,
            (Some("finished"), None) => BuildsIn::Finished,
            (None | Some("finished"), Some(word)) => BuildsIn::Ended(Outcome::parse(word).ok_or_else(|| {
                let words = Outcome::BY_SEVERITY.map(Outcome::as_str).join(", ");
                ApiError::bad_request("bad-query", format!("`result` is {word:?}; take one of {words}"))
            })?),
            (Some(_), _) => {
                return Err(ApiError::bad_request(
                    "bad-query",
                    "`state` is `open` or `finished`; `result` goes with `finished`",
                ));
            }
        };
        Ok(BuildFilter {
            builder: self.builder.as_deref().map(BuilderName::from),
            worker: self.worker.as_deref().map(Into::into),
            buildset: self.buildset.map(stampmill_model::BuildsetId),
            request: self.request.map(stampmill_model::RequestId),
            state,
        })
    }
}

pub(crate) async fn builders(State(door): State<Door>, Who(who): Who) -> Answer<wire::List<wire::Builder>> {
    let (states, catalogue) =
        door.service.read(&who, |reading| Ok((reading.builder_states()?, reading.catalogue().clone()))).await?;
    let builders = states.into_iter().map(|state| convert::builder(state, &catalogue.schedulers));
    Ok(Json(convert::whole(builders)))
}

pub(crate) async fn builder(State(door): State<Door>, Who(who): Who, At(name): At<String>) -> Answer<wire::Builder> {
    let builder = door
        .service
        .read(&who, move |reading| {
            let name = reading.builder(&name)?.name.clone();
            let state = reading.builder_state(&name)?;
            Ok(convert::builder(state, &reading.catalogue().schedulers))
        })
        .await?;
    Ok(Json(builder))
}

pub(crate) async fn builds_of(
    door: State<Door>,
    who: Who,
    At(name): At<String>,
    Asked(query): Asked<BuildsQuery>,
) -> Answer<wire::List<wire::Build>> {
    if query.builder.is_some() {
        return Err(ApiError::bad_request("bad-query", "the builder is in the address already"));
    }
    builds(door, who, Asked(BuildsQuery { builder: Some(name), ..query })).await
}

pub(crate) async fn build_of(
    State(door): State<Door>,
    Who(who): Who,
    At((name, number)): At<(String, u64)>,
) -> Answer<wire::Build> {
    let build = door.service.read(&who, move |reading| reading.build_by_number(&name, number)).await?;
    Ok(Json(convert::build(build, &door.service.catalogue())))
}

pub(crate) async fn builds(
    State(door): State<Door>,
    Who(who): Who,
    Asked(query): Asked<BuildsQuery>,
) -> Answer<wire::List<wire::Build>> {
    let filter = query.filter()?;
    let paging = Paging::new(query.cursor, query.limit)?;
    let page = door
        .service
        .read(&who, move |reading| reading.builds(&filter, paging.cursor.map(BuildId), paging.limit))
        .await?;
    let catalogue = door.service.catalogue();
    Ok(Json(convert::list(page, |build| convert::build(build, &catalogue))))
}

pub(crate) async fn build(State(door): State<Door>, Who(who): Who, At(id): At<u64>) -> Answer<wire::Build> {
    let build = door.service.read(&who, move |reading| reading.build(BuildId(id))).await?;
    Ok(Json(convert::build(build, &door.service.catalogue())))
}

pub(crate) async fn force(
    State(door): State<Door>,
    Who(who): Who,
    At(builder): At<String>,
    Sent(body): Sent<wire::ForceBody>,
) -> Result<(StatusCode, Json<wire::Made>), ApiError> {
    let made = door.service.force(&who, convert::force_ask(Some(builder), body)).await?;
    Ok((StatusCode::CREATED, Json(convert::made(made))))
}

pub(crate) async fn force_scheduler(
    State(door): State<Door>,
    Who(who): Who,
    At(scheduler): At<String>,
    Sent(body): Sent<wire::ForceBody>,
) -> Result<(StatusCode, Json<wire::Made>), ApiError> {
    let body = wire::ForceBody { scheduler: Some(scheduler), ..body };
    let made = door.service.force(&who, convert::force_ask(None, body)).await?;
    Ok((StatusCode::CREATED, Json(convert::made(made))))
}

pub(crate) async fn cancel(
    State(door): State<Door>,
    Who(who): Who,
    At(id): At<u64>,
    Sent(body): Sent<wire::ReasonBody>,
) -> Answer<wire::Done> {
    door.service.cancel_build(&who, BuildId(id), body.reason).await?;
    Ok(Json(wire::Done { done: true }))
}

pub(crate) async fn rebuild(
    State(door): State<Door>,
    Who(who): Who,
    At(id): At<u64>,
    Sent(wire::NothingBody {}): Sent<wire::NothingBody>,
) -> Result<(StatusCode, Json<wire::Made>), ApiError> {
    let made = door.service.rebuild(&who, BuildId(id)).await?;
    Ok((StatusCode::CREATED, Json(convert::made(made))))
}

pub(crate) async fn logs(State(door): State<Door>, Who(who): Who, At(id): At<u64>) -> Answer<wire::List<wire::Log>> {
    let logs = door
        .service
        .read(&who, move |reading| {
            let build = reading.build(BuildId(id))?;
            let mut logs = Vec::new();
            for step in &build.steps {
                for log in &step.logs {
                    logs.push(reading.log_info(build.id, step.number, log)?);
                }
            }
            Ok::<_, ServiceError>(logs)
        })
        .await?;
    Ok(Json(convert::whole(logs.into_iter().map(convert::log))))
}
