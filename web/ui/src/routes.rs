//! Every page and form, once: the router and the test of permissions are made from this table.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use stampmill_service::{Action, Permission};

use crate::pages::{
    about, build, builder, builders, buildset, change, changes, force, home, log, login, people, plugins, schedulers,
    workers,
};
use crate::{Ui, assets};

/// A page or form.
pub struct Route {
    /// Whether it is a form that changes something (POST); else a page (GET).
    pub is_form: bool,
    /// Its address; `{name}` stands for a part that varies.
    pub path: &'static str,
    /// What it asks of whoever calls it.
    pub permission: Permission,
    pub(crate) handler: MethodRouter<Ui>,
}

const READ: Permission = Permission::Needs(Action::Read);

fn page<H, T>(path: &'static str, permission: Permission, handler: H) -> Route
where
    H: Handler<T, Ui>,
    T: 'static,
{
    Route { is_form: false, path, permission, handler: on(MethodFilter::GET, handler) }
}

fn form<H, T>(path: &'static str, permission: Permission, handler: H) -> Route
where
    H: Handler<T, Ui>,
    T: 'static,
{
    Route { is_form: true, path, permission, handler: on(MethodFilter::POST, handler) }
}

/// Every page and form.
#[must_use]
pub fn routes() -> Vec<Route> {
    let needs = Permission::Needs;
    vec![
        page("/", READ, home::show),
        page("/builders", READ, builders::show),
        page("/builders/{name}", READ, builder::show),
        form("/builders/{name}/force", needs(Action::Force), force::force),
        page("/builds/{id}", READ, build::show),
        form("/builds/{id}/cancel", needs(Action::Cancel), build::cancel),
        form("/builds/{id}/rebuild", needs(Action::Rebuild), build::rebuild),
        page("/builds/{id}/steps/{step}/logs/{log}", READ, log::show),
        page("/buildsets/{id}", READ, buildset::show),
        form("/requests/{id}/cancel", needs(Action::Cancel), buildset::cancel_request),
        form("/requests/{id}/approve", needs(Action::Approve), buildset::approve),
        page("/changes", READ, changes::show),
        page("/changes/{id}", READ, change::show),
        form("/change-sources/{name}/poll", needs(Action::PollNow), changes::poll_now),
        page("/people", READ, people::show),
        page("/people/{id}", READ, people::person),
        page("/schedulers", READ, schedulers::show),
        form("/schedulers/{name}/disable", needs(Action::SwitchSchedulers), schedulers::disable),
        form("/schedulers/{name}/enable", needs(Action::SwitchSchedulers), schedulers::enable),
        page("/workers", READ, workers::show),
        form("/workers/{name}/pause", needs(Action::PauseWorkers), workers::pause),
        form("/workers/{name}/resume", needs(Action::PauseWorkers), workers::resume),
        page("/plugins", READ, plugins::show),
        page("/about", READ, about::show),
        page("/login", Permission::Open, login::show),
        form("/login", Permission::Open, login::log_in),
        form("/logout", Permission::Open, login::log_out),
        page("/static/{name}", Permission::Open, assets::serve),
    ]
}
