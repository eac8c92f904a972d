//! Login and logout.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use stampmill_service::{Identity, ServiceError};

use super::{Asked, Shown};
use crate::form::{Form, Visitor};
use crate::guard::status_of;
use crate::layout::Page;

/// Where to go after the login.
#[derive(Deserialize)]
pub(crate) struct Next {
    next: Option<String>,
}

pub(crate) async fn show(visitor: Visitor, Asked(query): Asked<Next>) -> Shown {
    if matches!(visitor.who, Identity::Session { .. }) {
        return Ok(Redirect::to(local(query.next.as_deref())).into_response());
    }
    visitor.page(page(local(query.next.as_deref()), "", None))
}

fn page<'a>(next: &str, name: &str, error: Option<&ServiceError>) -> Page<'a> {
    Page { title: "Log in", active: "", events: None, body: body(next, name, error) }
}

fn body(next: &str, name: &str, error: Option<&ServiceError>) -> Markup {
    html! {
        div.narrow {
            h1 { "Log in" }
            @if let Some(error) = error { p.error role="alert" { (error.to_string()) } }
            form.fields method="post" action="/login" {
                input type="hidden" name="next" value=(next);
                label { "Name" input name="name" value=(name) autocomplete="username" required autofocus[name.is_empty()]; }
                label { "Password" input name="password" type="password" autocomplete="current-password" required autofocus[!name.is_empty()]; }
                button.main type="submit" { "Log in" }
            }
            p.quiet { "The administrator of this host makes users with " code { "stampmill user add NAME" } "." }
        }
    }
}

pub(crate) async fn log_in(visitor: Visitor, form: Form) -> Shown {
    let next = local(Some(form.text("next")));
    match visitor.ui.service.log_in(form.text("name"), form.verbatim("password"), visitor.peer).await {
        Ok(cookie) => with_cookie(&visitor, Redirect::to(next).into_response(), &cookie),
        Err(error @ (ServiceError::WrongPassword | ServiceError::TooManyLogins)) => {
            let page = page(next, form.text("name"), Some(&error)).draw(&visitor.ui, &visitor.who);
            Ok((status_of(error.kind()), Html(page.into_string())).into_response())
        }
        Err(error) => Err(visitor.error(error)),
    }
}

pub(crate) async fn log_out(visitor: Visitor, headers: HeaderMap, _: Form) -> Shown {
    let cookie = visitor.or_page(visitor.ui.service.log_out(&headers).await)?;
    with_cookie(&visitor, Redirect::to("/").into_response(), &cookie)
}

fn with_cookie(visitor: &Visitor, mut response: Response, cookie: &str) -> Shown {
    let value =
        HeaderValue::from_str(cookie).map_err(|error| visitor.error(ServiceError::Broken(error.to_string())))?;
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

/// A place of this host, never of another: `//evil.example` and `/\evil.example` are other hosts to a browser.
fn local(next: Option<&str>) -> &str {
    match next {
        Some(path) if path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n', '\t']) => {
            path
        }
        _ => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_a_place_of_this_host_only() {
        assert_eq!(local(Some("/builds/7?x=1")), "/builds/7?x=1");
        for bad in ["//evil.example", "https://evil.example", "/\\evil.example", "", "/\t/evil.example", "javascript:x"]
        {
            assert_eq!(local(Some(bad)), "/", "{bad}");
        }
        assert_eq!(local(None), "/");
    }
}
