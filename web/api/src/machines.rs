//! Addresses that machines call: hooks of forges, metrics, health.

use std::fmt::Write as _;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use stampmill_model::Outcome;
use stampmill_service::limits::RETRY_AFTER_SECONDS;
use stampmill_service::{HookCall, WorkerState};

use crate::Door;
use crate::body::{At, Who, read_body};
use crate::error::ApiError;
use crate::limits::HOOK_BYTES_MAX;

pub(crate) async fn hook(
    State(door): State<Door>,
    At(source): At<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let most = match door.service.catalogue().body_bytes_max {
        0 => HOOK_BYTES_MAX,
        bytes => bytes,
    };
    let body = read_body(&parts.headers, body, most).await?;
    let call = HookCall {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: texts(&parts.headers),
        body,
    };
    let answer = door.service.hook(&source, call).await?;
    let status = StatusCode::from_u16(answer.status).ok().filter(|status| status.as_u16() >= 200);
    let kind =
        if answer.body.trim_start().starts_with(['{', '[']) { "application/json" } else { "text/plain; charset=utf-8" };
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
    let mut response = (status.unwrap_or(StatusCode::BAD_GATEWAY), headers, answer.body).into_response();
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    Ok(response)
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}

/// Whether the host does its work: one that can't store anything only shows what there is.
pub(crate) async fn health(State(door): State<Door>) -> Response {
    match door.service.figures().trouble {
        None => "ok\n".into_response(),
        Some(words) => {
            let headers = [(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS))];
            let text = format!("the host can't store anything, because {words}\n");
            (StatusCode::SERVICE_UNAVAILABLE, headers, text).into_response()
        }
    }
}

/// Text format of Prometheus, version 0.0.4.
pub(crate) async fn metrics(State(door): State<Door>, Who(who): Who) -> Result<Response, ApiError> {
    let (pending, open) = door.service.read(&who, |reading| Ok((reading.pending()?, reading.open_builds()?))).await?;
    let workers = door.service.workers(&who).await?;
    let figures = door.service.figures();
    let mut page = Page::default();

    page.head("stampmill_info", "gauge", "The version of the host.");
    page.row("stampmill_info", &[("version", &door.service.catalogue().version)], 1);
    page.head("stampmill_start_time_seconds", "gauge", "When the host started, in seconds since 1970.");
    page.row("stampmill_start_time_seconds", &[], figures.started_at.0 / 1000);
    page.head("stampmill_store_fails", "gauge", "1 while nothing can be stored, as on a full disk.");
    page.row("stampmill_store_fails", &[], u64::from(figures.trouble.is_some()));
    page.head("stampmill_builds_finished_total", "counter", "Builds that ended since the host started, by outcome.");
    for outcome in Outcome::BY_SEVERITY {
        let count =
            figures.builds_finished.iter().filter(|(counted, _)| *counted == outcome).map(|(_, count)| count).sum();
        page.row("stampmill_builds_finished_total", &[("outcome", outcome.as_str())], count);
    }
    page.head("stampmill_builds_open", "gauge", "Builds that have not ended.");
    page.row("stampmill_builds_open", &[], open.len() as u64);
    page.head("stampmill_requests_pending", "gauge", "Requests that wait for a worker, by builder.");
    for builder in &door.service.catalogue().builders {
        let count = pending.get(&builder.name).copied().unwrap_or(0);
        page.row("stampmill_requests_pending", &[("builder", builder.name.as_str())], count);
    }
    page.head("stampmill_worker_connected", "gauge", "Whether a worker is connected.");
    for worker in &workers {
        let connected = u64::from(matches!(worker.state, WorkerState::Connected { .. }));
        page.row("stampmill_worker_connected", &[("worker", worker.name.as_str())], connected);
    }
    page.head("stampmill_worker_builds", "gauge", "Builds that a worker has.");
    for worker in &workers {
        page.row("stampmill_worker_builds", &[("worker", worker.name.as_str())], worker.running.len() as u64);
    }
    for (name, help, value) in [
        ("stampmill_changes_total", "Changes taken in since the host started.", figures.changes_taken),
        ("stampmill_commits_total", "Transactions of the store since the host started.", figures.commits),
        ("stampmill_inputs_total", "Inputs of the engine since the host started.", figures.inputs),
    ] {
        page.head(name, "counter", help);
        page.row(name, &[], value);
    }
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"))];
    Ok((headers, page.text).into_response())
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String can't fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn row(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.text.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let open = if position == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{open}{label}=\"{text}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut page = Page::default();
        page.row("m", &[("a", "x\"y\\z\n"), ("b", "c")], 7);
        page.row("n", &[], 1);
        assert_eq!(page.text, "m{a=\"x\\\"y\\\\z\\n\",b=\"c\"} 7\nn 1\n");
    }
}
