//! The pages, in the order of the menu.

pub(crate) mod about;
pub(crate) mod build;
pub(crate) mod builder;
pub(crate) mod builders;
pub(crate) mod buildset;
pub(crate) mod change;
pub(crate) mod changes;
pub(crate) mod force;
mod halts;
pub(crate) mod home;
pub(crate) mod log;
pub(crate) mod login;
pub(crate) mod people;
pub(crate) mod plugins;
pub(crate) mod schedulers;
mod tables;
pub(crate) mod workers;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use serde::de::DeserializeOwned;
use stampmill_service::ServiceError;

use crate::Ui;
use crate::error::Refused;
use crate::form::Visitor;
use crate::layout::Page;

/// A page, or an error as a page.
pub(crate) type Shown = Result<Response, Refused>;

impl Visitor {
    /// A page for this visitor.
    pub(crate) fn page(&self, page: Page<'_>) -> Shown {
        Ok(Html(page.draw(&self.ui, &self.who).into_string()).into_response())
    }

    /// A result, its error as a page for this visitor.
    pub(crate) fn or_page<T>(&self, result: Result<T, ServiceError>) -> Result<T, Refused> {
        result.map_err(|error| self.error(error))
    }
}

/// After a form: to the page that shows what came of it.
pub(crate) fn go(address: &str) -> Shown {
    Ok(Redirect::to(address).into_response())
}

/// Parts of the address; one that does not fit is an address where nothing is.
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Ui> for At<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, ui: &Ui) -> Result<Self, Refused> {
        let visitor = Visitor::from_request_parts(parts, ui).await?;
        match Path::<T>::from_request_parts(parts, ui).await {
            Ok(Path(path)) => Ok(Self(path)),
            Err(_) => Err(visitor.error(ServiceError::Unknown("there is nothing at this address".into()))),
        }
    }
}

/// The query; one that does not fit says so.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Ui> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, ui: &Ui) -> Result<Self, Refused> {
        let visitor = Visitor::from_request_parts(parts, ui).await?;
        match Query::<T>::from_request_parts(parts, ui).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(_) => {
                Err(visitor
                    .error(ServiceError::Invalid("the part of the address after `?` can't be understood".into())))
            }
        }
    }
}

/// Where a list goes on.
#[derive(serde::Deserialize)]
pub(crate) struct Before {
    pub(crate) before: Option<u64>,
}
