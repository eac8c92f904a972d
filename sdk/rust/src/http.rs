//! One brokered HTTP exchange. Permission: `http`; which origins, is the operator's grant.

use crate::Fault;
use crate::bindings::capabilities::stampmill::host::http as wit;
use crate::fault::milliseconds;
use std::time::Duration;

/// A request to be sent.
#[derive(Debug)]
pub struct Request(wit::Request);

/// What came back.
#[derive(Debug)]
pub struct Response(wit::Response);

impl Request {
    /// A request of this method, such as `POST`, to this URL.
    pub fn new(method: &str, url: &str) -> Request {
        Request(wit::Request::new(method, url))
    }

    /// One header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Request {
        self.0.header(name, value);
        self
    }

    /// The body.
    #[must_use]
    pub fn body(self, bytes: &[u8]) -> Request {
        self.0.body(bytes);
        self
    }

    /// A credential by name: the host attaches it, for its bound origin only; the plugin never sees it.
    #[must_use]
    pub fn credential(self, name: &str) -> Request {
        self.0.credential(name);
        self
    }

    /// At most so long for the whole exchange.
    #[must_use]
    pub fn limit(self, limit: Duration) -> Request {
        self.0.limit(milliseconds(limit));
        self
    }

    /// Sends it. Any status is an answer; a fault says that there was none.
    pub fn send(self) -> Result<Response, Fault> {
        Ok(Response(self.0.send()?))
    }
}

/// Longest wait that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a status means for a delivery: done, to be tried again, or refused for good.
///
/// A `Retry-After` in seconds is honoured up to a day; one with a date is not, for a plugin has no clock.
pub fn delivered(status: u16, retry_after: Option<&str>) -> Result<(), Fault> {
    let wait = retry_after
        .and_then(|text| text.trim().parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    match status {
        200..=299 => Ok(()),
        300..=399 => Err(Fault::refused(format!(
            "answered with status {status}, a redirect, which is not followed: give the final URL"
        ))),
        408 | 425 | 429 | 500..=599 => Err(Fault::unavailable_for(format!("answered with status {status}"), wait)),
        _ => Err(Fault::refused(format!("answered with status {status}"))),
    }
}

impl Response {
    /// What the answer means for a delivery, see [`delivered`].
    pub fn delivered(&self) -> Result<(), Fault> {
        delivered(self.status(), self.header("retry-after").as_deref())
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.0.status()
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }

    /// The body, which must have at most so many bytes.
    pub fn body(&self, most: u64) -> Result<Vec<u8>, Fault> {
        Ok(self.0.body(most)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_to_try_again() {
        for status in [200, 201, 202, 204] {
            assert_eq!(delivered(status, None), Ok(()), "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(matches!(delivered(status, None), Err(Fault::Unavailable { retry_after: None, .. })), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 410, 422] {
            assert!(matches!(delivered(status, Some("5")), Err(Fault::Refused(_))), "{status}");
        }
    }

    #[test]
    fn a_wait_is_honoured_up_to_a_day() {
        let wait = |text: &str| match delivered(503, Some(text)) {
            Err(Fault::Unavailable { retry_after, .. }) => retry_after,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(wait("99999999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(wait("Fri, 31 Dec 2027 23:59:59 GMT"), None);
        assert_eq!(wait("-1"), None);
    }
}
