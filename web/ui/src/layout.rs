//! The frame of every page.

use maud::{DOCTYPE, Markup, html};
use stampmill_service::accounts::wall_now;
use stampmill_service::{Action, Identity};

use crate::assets;
use crate::limits::TITLE_CHARS;
use crate::{Ui, words};

/// A page.
pub(crate) struct Page<'a> {
    /// In the browser's tab.
    pub(crate) title: &'a str,
    /// Address of the entry of the menu that it belongs to.
    pub(crate) active: &'a str,
    /// Where its events come from; parts marked `data-live` are read anew at each.
    pub(crate) events: Option<String>,
    /// What it shows.
    pub(crate) body: Markup,
}

const MENU: [(&str, &str); 7] = [
    ("/", "Home"),
    ("/builders", "Builders"),
    ("/changes", "Changes"),
    ("/people", "People"),
    ("/schedulers", "Schedulers"),
    ("/workers", "Workers"),
    ("/plugins", "Plugins"),
];

impl Page<'_> {
    /// The page for this visitor.
    pub(crate) fn draw(self, ui: &Ui, who: &Identity) -> Markup {
        let catalogue = ui.service.catalogue();
        let title = words::shortened(&catalogue.title, TITLE_CHARS);
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · " (title) }
                    link rel="icon" href=(assets::icon()) type="image/svg+xml";
                    link rel="stylesheet" href=(assets::style());
                    script defer src=(assets::script()) {}
                }
                body {
                    a.skip href="#main" { "Skip to content" }
                    header.bar {
                        a.brand href="/" { img src=(assets::icon()) alt="" width="22" height="22"; span { (title) } }
                        nav aria-label="Main" {
                            @for (address, name) in MENU {
                                a href=(address) aria-current=[(address == self.active).then_some("page")] { (name) }
                            }
                        }
                        span.grow {}
                        span #live-state.lamp role="status" hidden {}
                        (visitor(who))
                    }
                    @if let Some(trouble) = ui.service.figures().trouble {
                        p.error role="alert" { "The host can't store anything, because " (trouble) ". It goes on by itself when that is mended." }
                    }
                    main #main data-events=[self.events] data-now=(wall_now().0) { (self.body) }
                    footer {
                        @if who.may(Action::Read) { a href="/about" { "Stampmill " (catalogue.version) } } @else { "Stampmill" }
                        " · " a href="/api/v1/openapi.json" { "API" }
                    }
                }
            }
        }
    }
}

fn visitor(who: &Identity) -> Markup {
    html! {
        @match who {
            Identity::Anonymous { .. } => a href="/login" { "Log in" },
            Identity::AdminSocket | Identity::Token { .. } => span { (who.name()) },
            Identity::Session { user, role, .. } => form.inline method="post" action="/logout" {
                (words::csrf(who))
                span.who title={ "You are a " (role) } { (user) }
                button.link type="submit" { "Log out" }
            }
        }
    }
}
