//! Forms: read within limits, and refused without the session's token.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use stampmill_service::{Identity, Peer, ServiceError};

use crate::Ui;
use crate::error::{PageError, Refused};
use crate::limits::{FORM_BYTES_MAX, FORM_TIMEOUT};

/// Who asks, with what an answer needs. The guard of each page has put the identity there; a page without a guard shows nothing.
pub(crate) struct Visitor {
    pub(crate) ui: Ui,
    pub(crate) who: Identity,
    pub(crate) peer: Peer,
}

impl Visitor {
    /// An error as a page for this visitor.
    pub(crate) fn error(&self, error: ServiceError) -> Refused {
        PageError { ui: self.ui.clone(), who: self.who.clone(), error }.into()
    }
}

impl FromRequestParts<Ui> for Visitor {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, ui: &Ui) -> Result<Self, Refused> {
        let who = parts.extensions.get::<Identity>().cloned();
        let peer = parts.extensions.get::<Peer>().copied();
        match (who, peer) {
            (Some(who), Some(peer)) => Ok(Self { ui: ui.clone(), who, peer }),
            _ => Err(PageError {
                ui: ui.clone(),
                who: Identity::Anonymous { may_read: false },
                error: ServiceError::Broken("this page has no guard".into()),
            }
            .into()),
        }
    }
}

/// A form that was sent by a page of ours.
pub(crate) struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    /// A field's text without spaces at its ends; empty when it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.trim())
    }

    /// A field's text, unless it is empty.
    pub(crate) fn optional(&self, name: &str) -> Option<String> {
        let text = self.text(name);
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A field as it was typed, spaces too.
    pub(crate) fn verbatim(&self, name: &str) -> String {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// All fields of one name, as they were typed.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Fields whose name begins so, without that beginning.
    pub(crate) fn starting_with<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.fields.iter().filter_map(move |(name, value)| Some((name.strip_prefix(start)?, value.trim())))
    }
}

impl FromRequest<Ui> for Form {
    type Rejection = Refused;

    async fn from_request(request: Request, ui: &Ui) -> Result<Self, Refused> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, ui).await?;
        let bytes = read(body).await.map_err(|error| visitor.error(error))?;
        let form = Self { fields: decoded(&bytes) };
        ui.service.check_csrf(&visitor.who, form.text("csrf")).map_err(|error| visitor.error(error))?;
        Ok(form)
    }
}

async fn read(body: Body) -> Result<Vec<u8>, ServiceError> {
    match tokio::time::timeout(FORM_TIMEOUT, axum::body::to_bytes(body, FORM_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(_)) => {
            Err(ServiceError::Invalid(format!("the form broke off, or is larger than {FORM_BYTES_MAX} bytes")))
        }
        Err(_) => Err(ServiceError::Invalid("the form did not arrive in time; send it again".into())),
    }
}

/// Fields of `application/x-www-form-urlencoded` (WHATWG URL §5.1).
pub(crate) fn decoded(bytes: &[u8]) -> Vec<(String, String)> {
    let text = |part: &[u8]| {
        let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        percent_encoding::percent_decode(&spaced).decode_utf8_lossy().into_owned()
    };
    bytes
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (text(&pair[..at]), text(&pair[at + 1..])),
            None => (text(pair), String::new()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded_as_browsers_encode_them() {
        let fields = decoded(b"a=1&b=x+y%26z&c&=d&e=%C3%A4%FF&&");
        let pairs: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x y&z"), ("c", ""), ("", "d"), ("e", "ä\u{fffd}")]);
    }
}
