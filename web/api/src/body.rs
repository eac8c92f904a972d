//! What comes in: bodies with a limit of size and time, JSON, queries and paths, each with an error that says what to mend.

use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use stampmill_service::Identity;

use crate::error::ApiError;
use crate::limits::{BODY_TIMEOUT, JSON_BYTES_MAX};

/// Who asks; the guard of each route has put it there. A route without a guard answers 500.
pub(crate) struct Who(pub(crate) Identity);

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match parts.extensions.get::<Identity>() {
            Some(identity) => Ok(Self(identity.clone())),
            None => Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", "this route has no guard")),
        }
    }
}

/// The query, with an error in our words.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(ApiError::bad_request("bad-query", query_text(&rejection))),
        }
    }
}

fn query_text(rejection: &QueryRejection) -> String {
    // The rejection's own text ends in the cause, which names the field.
    let mut text = rejection.body_text();
    if let Some(rest) = text.strip_prefix("Failed to deserialize query string: ") {
        text = format!("the query can't be understood: {rest}");
    }
    text
}

/// Parts of the path, with an error in our words.
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(path)) => Ok(Self(path)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => Err(ApiError::new(
                StatusCode::NOT_FOUND,
                "unknown",
                format!("there is nothing at this address: {}", error.body_text()),
            )),
            Err(other) => Err(ApiError::bad_request("bad-path", other.body_text())),
        }
    }
}

/// A JSON body. An empty one is taken as `{}`, so that asks without arguments need none.
pub(crate) struct Sent<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Sent<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read_body(&parts.headers, body, JSON_BYTES_MAX).await?;
        if !bytes.is_empty() && !is_json(&parts.headers) {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-json",
                "the body must be JSON, with the header `content-type: application/json`",
            ));
        }
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        // serde would take the fields of a struct from an array too.
        if text.trim_ascii_start().first().is_some_and(|byte| *byte != b'{') {
            return Err(ApiError::bad_request("bad-json", "the body can't be understood: it must be a JSON object"));
        }
        serde_json::from_slice(text).map(Self).map_err(|error| {
            let place = if error.is_data() { "bad-json-value" } else { "bad-json" };
            ApiError::bad_request(place, format!("the body can't be understood: {error}"))
        })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Reads a body of at most this many bytes, within the time that a body may take.
pub(crate) async fn read_body(headers: &HeaderMap, body: Body, most: usize) -> Result<Vec<u8>, ApiError> {
    read_within(headers, body, most, BODY_TIMEOUT).await
}

async fn read_within(headers: &HeaderMap, body: Body, most: usize, patience: Duration) -> Result<Vec<u8>, ApiError> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|bytes| bytes > most as u64) {
        return Err(too_large(most));
    }
    let reading = async {
        let mut bytes = Vec::new();
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| ApiError::bad_request("bad-body", "the body broke off; send it again"))?;
            if bytes.len() + piece.len() > most {
                return Err(too_large(most));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    match tokio::time::timeout(patience, reading).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow-body",
            format!("the body was not here after {} seconds; send it quicker", patience.as_secs()),
        )),
    }
}

fn too_large(most: usize) -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", format!("the body is larger than {most} bytes"))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let never = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let error = read_within(&HeaderMap::new(), never, 10, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(error.into_response().status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_whether_or_not_it_says_how_long_it_is() {
        let pieces = || futures_util::stream::iter([Ok::<_, std::io::Error>(vec![b'x'; 6]), Ok(vec![b'x'; 6])]);
        let declared = [(header::CONTENT_LENGTH, "12".parse().unwrap())].into_iter().collect();
        for headers in [HeaderMap::new(), declared] {
            let error = read_body(&headers, Body::from_stream(pieces()), 11).await.unwrap_err();
            assert_eq!(error.into_response().status(), StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(read_body(&headers, Body::from_stream(pieces()), 12).await.unwrap().len(), 12);
        }
    }
}
