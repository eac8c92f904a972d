//! Plugins: what they are, what they ask for, and what was granted to each use.

use maud::{Markup, html};
use stampmill_model::Grant;
use stampmill_service::PluginView;

use super::Shown;
use crate::form::Visitor;
use crate::layout::Page;
use crate::words;

pub(crate) async fn show(visitor: Visitor) -> Shown {
    let catalogue = visitor.ui.service.catalogue();
    let body = html! {
        h1 { "Plugins" }
        p.quiet { "A plugin can do what its manifest asks for and the configuration grants, and nothing else. A grant names a plugin; the lock file pins the name to these bytes." }
        section #plugins data-live {
            @for plugin in &catalogue.plugins { (card(plugin)) }
        }
    };
    visitor.page(Page { title: "Plugins", active: "/plugins", events: Some("/api/v1/events".into()), body })
}

fn card(plugin: &PluginView) -> Markup {
    let digest = plugin.digest.0.as_ref();
    html! {
        article.card {
            div.row {
                h2 { (plugin.name) }
                span.chip { (plugin.kind) }
                span.quiet { (plugin.version) }
                span.grow {}
                code.quiet title={ "SHA-256 " (digest) } { (words::shortened(digest, 16)) }
            }
            p { (plugin.summary) }
            p {
                "Asks for "
                @if plugin.asks.is_empty() { span.quiet { "nothing" } }
                @for permission in &plugin.asks { span.chip { (permission) } " " }
            }
            @if plugin.uses.is_empty() {
                p.quiet { "Not used." }
            } @else {
                div.scroll { table {
                    thead { tr { th { "Used by" } th.wide { "Granted" } } }
                    tbody { @for usage in &plugin.uses { tr { td { (words::sentence(&usage.place)) } td.wide { (granted(&usage.grant)) } } } }
                } }
            }
            @if !plugin.imports.is_empty() {
                details {
                    summary { "Imports (" (plugin.imports.len()) ")" }
                    ul { @for import in &plugin.imports { li { code { (import) } } } }
                }
            }
        }
    }
}

fn granted(grant: &Grant) -> Markup {
    let rows = [
        ("command", &grant.command),
        ("net", &grant.net),
        ("read", &grant.read),
        ("write", &grant.write),
        ("http", &grant.http),
        ("secret", &grant.secret),
        ("trigger", &grant.trigger),
    ];
    html! {
        @if *grant == Grant::default() { span.quiet { "nothing" } }
        @for (name, items) in rows {
            @if !items.is_empty() {
                div { (name) ": " @for item in items { code { (item) } " " } }
            }
        }
        @for (name, origins) in &grant.credential {
            div { "credential: " code { (name) } " for " @for origin in origins { code { (origin) } " " } }
        }
    }
}
