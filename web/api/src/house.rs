//! The house itself: workers, change sources, schedulers, plugins, undelivered notices, users and tokens.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use stampmill_model::NoticeId;
use stampmill_service::password::Password;
use stampmill_service::{Action, ServiceError};

use crate::Door;
use crate::body::{Asked, At, Sent, Who};
use crate::convert;
use crate::error::ApiError;
use crate::page::Paging;
use crate::wire;

type Answer<T> = Result<Json<T>, ApiError>;

/// Where a list goes on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// `next` of the page before.
    pub(crate) cursor: Option<u64>,
    /// Entries of a page at most.
    pub(crate) limit: Option<usize>,
}

pub(crate) async fn workers(State(door): State<Door>, Who(who): Who) -> Answer<wire::List<wire::Worker>> {
    let workers = door.service.workers(&who).await?;
    Ok(Json(convert::whole(workers.into_iter().map(convert::worker))))
}

pub(crate) async fn pause_worker(
    State(door): State<Door>,
    Who(who): Who,
    At(name): At<String>,
    Sent(body): Sent<wire::ReasonBody>,
) -> Answer<wire::Done> {
    door.service.pause_worker(&who, &name, body.reason).await?;
    Ok(Json(wire::Done { done: true }))
}

pub(crate) async fn resume_worker(
    State(door): State<Door>,
    Who(who): Who,
    At(name): At<String>,
    Sent(wire::NothingBody {}): Sent<wire::NothingBody>,
) -> Answer<wire::Done> {
    door.service.resume_worker(&who, &name).await?;
    Ok(Json(wire::Done { done: true }))
}

pub(crate) async fn change_sources(State(door): State<Door>, Who(who): Who) -> Answer<wire::List<wire::ChangeSource>> {
    let sources = door.service.change_sources(&who).await?;
    Ok(Json(convert::whole(sources.into_iter().map(convert::change_source))))
}

pub(crate) async fn poll_now(
    State(door): State<Door>,
    Who(who): Who,
    At(name): At<String>,
    Sent(wire::NothingBody {}): Sent<wire::NothingBody>,
) -> Answer<wire::Done> {
    door.service.poll_now(&who, &name).await?;
    Ok(Json(wire::Done { done: true }))
}

pub(crate) async fn schedulers(State(door): State<Door>, Who(who): Who) -> Answer<wire::List<wire::Scheduler>> {
    let schedulers = door.service.schedulers(&who).await?;
    Ok(Json(convert::whole(schedulers.into_iter().map(convert::scheduler))))
}

pub(crate) async fn disable_scheduler(
    State(door): State<Door>,
    Who(who): Who,
    At(name): At<String>,
    Sent(body): Sent<wire::ReasonBody>,
) -> Answer<wire::Done> {
    door.service.disable_scheduler(&who, &name, body.reason).await?;
    Ok(Json(wire::Done { done: true }))
}

pub(crate) async fn enable_scheduler(
    State(door): State<Door>,
    Who(who): Who,
    At(name): At<String>,
    Sent(wire::NothingBody {}): Sent<wire::NothingBody>,
) -> Answer<wire::Done> {
    door.service.enable_scheduler(&who, &name).await?;
    Ok(Json(wire::Done { done: true }))
}

pub(crate) async fn plugins(State(door): State<Door>) -> Answer<wire::List<wire::Plugin>> {
    Ok(Json(convert::whole(door.service.catalogue().plugins.iter().map(convert::plugin))))
}

pub(crate) async fn notices(
    State(door): State<Door>,
    Who(who): Who,
    Asked(query): Asked<PageQuery>,
) -> Answer<wire::List<wire::Notice>> {
    let paging = Paging::new(query.cursor, query.limit)?;
    let page =
        door.service.read(&who, move |reading| reading.dead_notices(paging.cursor.map(NoticeId), paging.limit)).await?;
    Ok(Json(convert::list(page, convert::notice)))
}

pub(crate) async fn reload(
    State(door): State<Door>,
    Who(who): Who,
    Sent(wire::NothingBody {}): Sent<wire::NothingBody>,
) -> Answer<wire::Done> {
    door.service.reload(&who).await?;
    Ok(Json(wire::Done { done: true }))
}

pub(crate) async fn whoami(State(door): State<Door>, Who(who): Who) -> Json<wire::Whoami> {
    let catalogue = door.service.catalogue();
    Json(wire::Whoami {
        name: who.name().to_owned(),
        role: who.role().map(|role| role.to_string()),
        title: catalogue.title.clone(),
        version: catalogue.version.clone(),
    })
}

pub(crate) async fn users(State(door): State<Door>, Who(who): Who) -> Answer<wire::List<wire::User>> {
    let users = door.service.accounts(&who, Action::ManageUsers, |accounts| accounts.users()).await?;
    Ok(Json(convert::whole(users.into_iter().map(convert::user))))
}

pub(crate) async fn add_user(
    State(door): State<Door>,
    Who(who): Who,
    Sent(body): Sent<wire::UserBody>,
) -> Result<(StatusCode, Json<wire::User>), ApiError> {
    let role = convert::role(&body.role)?;
    let password = new_password(body.password)?;
    let user = door
        .service
        .accounts(&who, Action::ManageUsers, move |accounts| accounts.add_user(&body.name, &password, role))
        .await?;
    Ok((StatusCode::CREATED, Json(convert::user(user))))
}

pub(crate) async fn change_user(
    State(door): State<Door>,
    Who(who): Who,
    At(name): At<String>,
    Sent(body): Sent<wire::UserPatch>,
) -> Answer<wire::Done> {
    let role = body.role.as_deref().map(convert::role).transpose()?;
    let password = body.password.map(new_password).transpose()?;
    if role.is_none() && password.is_none() {
        return Err(ApiError::bad_request(
            "bad-json-value",
            "neither `role` nor `password` is there; send one of them",
        ));
    }
    door.service
        .accounts(&who, Action::ManageUsers, move |accounts| {
            if let Some(role) = role {
                accounts.set_role(&name, role)?;
            }
            if let Some(password) = &password {
                accounts.set_password(&name, password)?;
            }
            Ok(())
        })
        .await?;
    Ok(Json(wire::Done { done: true }))
}

pub(crate) async fn delete_user(State(door): State<Door>, Who(who): Who, At(name): At<String>) -> Answer<wire::Done> {
    door.service.accounts(&who, Action::ManageUsers, move |accounts| accounts.delete_user(&name)).await?;
    Ok(Json(wire::Done { done: true }))
}

pub(crate) async fn tokens(State(door): State<Door>, Who(who): Who) -> Answer<wire::List<wire::Token>> {
    let tokens = door.service.accounts(&who, Action::ManageTokens, |accounts| accounts.tokens()).await?;
    Ok(Json(convert::whole(tokens.into_iter().map(convert::token))))
}

pub(crate) async fn add_token(
    State(door): State<Door>,
    Who(who): Who,
    Sent(body): Sent<wire::TokenBody>,
) -> Result<(StatusCode, Json<wire::NewToken>), ApiError> {
    let role = convert::role(&body.role)?;
    let lifetime = body.days.map(|days| Duration::from_secs(u64::from(days) * 24 * 3600));
    let (token, secret) = door
        .service
        .accounts(&who, Action::ManageTokens, move |accounts| {
            accounts.add_token(&body.name, body.user.as_deref().unwrap_or(&body.name), role, lifetime)
        })
        .await?;
    let answer = wire::NewToken { secret: secret.reveal().to_owned(), token: convert::token(token) };
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(crate) async fn add_worker_token(
    State(door): State<Door>,
    Who(who): Who,
    At(name): At<String>,
    Sent(wire::NothingBody {}): Sent<wire::NothingBody>,
) -> Result<(StatusCode, Json<wire::NewToken>), ApiError> {
    let (token, secret) = door.service.add_worker_token(&who, &name).await?;
    let answer = wire::NewToken { secret: secret.reveal().to_owned(), token: convert::token(token) };
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(crate) async fn revoke_token(State(door): State<Door>, Who(who): Who, At(id): At<String>) -> Answer<wire::Done> {
    door.service.accounts(&who, Action::ManageTokens, move |accounts| accounts.revoke_token(&id)).await?;
    Ok(Json(wire::Done { done: true }))
}

fn new_password(text: String) -> Result<Password, ApiError> {
    Password::parse(text).map_err(|error| ServiceError::Invalid(error.to_string()).into())
}
