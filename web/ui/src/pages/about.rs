//! What this host is.

use maud::html;

use super::Shown;
use crate::form::Visitor;
use crate::layout::Page;
use crate::words;

pub(crate) async fn show(visitor: Visitor) -> Shown {
    let catalogue = visitor.ui.service.catalogue();
    let body = html! {
        h1 { "About" }
        p { "Stampmill " (catalogue.version) ": continuous integration where every extension is a WebAssembly component and every step runs in a sandbox." }
        p {
            "This host has " (catalogue.builders.len()) " builders, " (catalogue.schedulers.len()) " schedulers, "
            (catalogue.change_sources.len()) " change sources and " (catalogue.plugins.len()) " plugins."
        }
        section {
            h2 { "Schedulers" }
            @for scheduler in &catalogue.schedulers {
                article.card {
                    div.row {
                        strong { (scheduler.name) }
                        span.chip { (scheduler.kind) }
                        span.quiet { (words::sentence(&scheduler.when)) }
                    }
                    p {
                        "Builds "
                        @for (position, builder) in scheduler.builders.iter().enumerate() {
                            @if position > 0 { ", " } a href=(words::builder_address(builder.as_str())) { (builder) }
                        }
                        @if !scheduler.filters.is_empty() { ", filtered by" }
                        @for filter in &scheduler.filters { " " span.chip { (filter) } }
                    }
                }
            }
        }
        h2 { "For programs" }
        ul {
            li { a href="/api/v1/openapi.json" { "The API" } " in OpenAPI 3.1" }
            li { a href="/metrics" { "Figures" } " for Prometheus" }
            li { a href="/healthz" { "Health" } }
        }
    };
    visitor.page(Page { title: "About", active: "", events: None, body })
}
