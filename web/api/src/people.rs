//! People: who makes changes, and whom builds concern. `{who}` is an id, `KIND:VALUE`, or the value of any attribute.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use stampmill_model::{Attribute, PersonId};
use stampmill_service::{Action, PersonPatch, PersonView, ServiceError};

use crate::Door;
use crate::body::{Asked, At, Sent, Who};
use crate::convert;
use crate::error::ApiError;
use crate::house::PageQuery;
use crate::page::Paging;
use crate::wire;

type Answer<T> = Result<Json<T>, ApiError>;

pub(crate) async fn people(
    State(door): State<Door>,
    Who(who): Who,
    Asked(query): Asked<PageQuery>,
) -> Answer<wire::List<wire::Person>> {
    let paging = Paging::new(query.cursor, query.limit)?;
    let page =
        door.service.read(&who, move |reading| reading.people(paging.cursor.map(PersonId), paging.limit)).await?;
    Ok(Json(convert::list(page, shown)))
}

pub(crate) async fn person(State(door): State<Door>, Who(who): Who, At(meant): At<String>) -> Answer<wire::Person> {
    Ok(Json(shown(door.service.read(&who, move |reading| reading.person(&meant)).await?)))
}

pub(crate) async fn add(
    State(door): State<Door>,
    Who(who): Who,
    Sent(body): Sent<wire::PersonBody>,
) -> Result<(StatusCode, Json<wire::Person>), ApiError> {
    let attributes = attributes(&body.attributes)?;
    let person = door
        .service
        .accounts(&who, Action::ManageUsers, move |accounts| accounts.add_person(&body.name, &attributes))
        .await?;
    Ok((StatusCode::CREATED, Json(shown(person))))
}

pub(crate) async fn update(
    State(door): State<Door>,
    Who(who): Who,
    At(meant): At<String>,
    Sent(body): Sent<wire::PersonPatch>,
) -> Answer<wire::Person> {
    let patch = PersonPatch { name: body.name, add: attributes(&body.add)?, remove: attributes(&body.remove)? };
    if patch == PersonPatch::default() {
        let message = "none of `name`, `add` and `remove` is there; send one of them";
        return Err(ApiError::bad_request("bad-json-value", message));
    }
    let ask = move |accounts: &stampmill_service::Accounts| accounts.update_person(&meant, &patch);
    Ok(Json(shown(door.service.accounts(&who, Action::ManageUsers, ask).await?)))
}

pub(crate) async fn merge(
    State(door): State<Door>,
    Who(who): Who,
    At(into): At<String>,
    Sent(body): Sent<wire::MergeBody>,
) -> Answer<wire::Person> {
    let ask = move |accounts: &stampmill_service::Accounts| accounts.merge_people(&body.from, &into);
    Ok(Json(shown(door.service.accounts(&who, Action::ManageUsers, ask).await?)))
}

pub(crate) async fn remove(State(door): State<Door>, Who(who): Who, At(meant): At<String>) -> Answer<wire::Done> {
    door.service.accounts(&who, Action::ManageUsers, move |accounts| accounts.remove_person(&meant)).await?;
    Ok(Json(wire::Done { done: true }))
}

fn attributes(sent: &[wire::Attribute]) -> Result<Vec<Attribute>, ServiceError> {
    sent.iter().map(|sent| Ok(Attribute::new(&sent.kind, &sent.value)?)).collect()
}

fn shown(view: PersonView) -> wire::Person {
    let PersonView { person, last_change } = view;
    let attribute = |held: &Attribute| wire::Attribute { kind: held.kind().to_owned(), value: held.value().to_owned() };
    wire::Person {
        id: person.id.0,
        name: person.name,
        attributes: person.attributes.iter().map(attribute).collect(),
        since: convert::time(person.since),
        last_change: last_change
            .map(|change| wire::LastChange { id: change.id.0, arrived_at: convert::time(change.arrived_at) }),
    }
}
