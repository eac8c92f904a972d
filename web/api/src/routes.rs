//! Every route, once: the router, `openapi.json` and the test of permissions are made from this table.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use stampmill_service::{Action, Permission};

use crate::{Door, builds, events, house, logs, machines, openapi, people, wire, work};

/// How a route is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Reads.
    Get,
    /// Asks for something to be done.
    Post,
    /// Changes a part.
    Patch,
    /// Removes.
    Delete,
}

impl Verb {
    /// As in a request.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// Makes the schema of a type.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a route answers with when all is well.
#[derive(Clone, Copy)]
pub(crate) enum Answers {
    Json(u16, SchemaOf),
    Text,
    Events,
    /// Whatever the plugin says.
    Plugin,
}

/// One route.
pub struct Route {
    /// How it is called.
    pub verb: Verb,
    /// Its address; `{name}` stands for a part that varies.
    pub path: &'static str,
    /// What it asks of whoever calls it.
    pub permission: Permission,
    /// One line for people.
    pub summary: &'static str,
    pub(crate) query: Option<SchemaOf>,
    pub(crate) body: Option<SchemaOf>,
    pub(crate) answers: Answers,
    pub(crate) handler: MethodRouter<Door>,
}

impl Route {
    fn new<H, T>(verb: Verb, path: &'static str, permission: Permission, summary: &'static str, handler: H) -> Self
    where
        H: Handler<T, Door>,
        T: 'static,
    {
        let handler = on(verb.filter(), handler);
        Self { verb, path, permission, summary, query: None, body: None, answers: Answers::Text, handler }
    }

    fn asked<T: JsonSchema>(self) -> Self {
        Self { query: Some(schema_of::<T>), ..self }
    }

    fn sent<T: JsonSchema>(self) -> Self {
        Self { body: Some(schema_of::<T>), ..self }
    }

    fn json<T: JsonSchema>(self) -> Self {
        Self { answers: Answers::Json(200, schema_of::<T>), ..self }
    }

    fn created<T: JsonSchema>(self) -> Self {
        Self { answers: Answers::Json(201, schema_of::<T>), ..self }
    }

    fn answers(self, answers: Answers) -> Self {
        Self { answers, ..self }
    }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn needs(action: Action) -> Permission {
    Permission::Needs(action)
}

const READ: Permission = needs(Action::Read);

/// Every route of the API and of the addresses that machines call.
#[must_use]
pub fn routes() -> Vec<Route> {
    let mut routes = building();
    routes.extend(leading());
    routes.extend(housekeeping());
    routes.extend(accounts());
    routes.extend(known());
    routes.extend(calling());
    routes
}

fn building() -> Vec<Route> {
    use Verb::{Get, Post};
    use builds::BuildsQuery;
    use wire::{Build, Builder, Done, ForceBody, List, Log, Made, NothingBody, ReasonBody};
    vec![
        Route::new(Get, "/api/v1/builders", READ, "Builders in the order of the configuration", builds::builders)
            .json::<List<Builder>>(),
        Route::new(Get, "/api/v1/builders/{name}", READ, "A builder", builds::builder).json::<Builder>(),
        Route::new(Get, "/api/v1/builders/{name}/builds", READ, "Builds of a builder, newest first", builds::builds_of)
            .asked::<BuildsQuery>()
            .json::<List<Build>>(),
        Route::new(
            Get,
            "/api/v1/builders/{name}/builds/{number}",
            READ,
            "A build by its builder's count",
            builds::build_of,
        )
        .json::<Build>(),
        Route::new(Post, "/api/v1/builders/{name}/force", needs(Action::Force), "Force a build", builds::force)
            .sent::<ForceBody>()
            .created::<Made>(),
        Route::new(Get, "/api/v1/builds", READ, "Builds, newest first", builds::builds)
            .asked::<BuildsQuery>()
            .json::<List<Build>>(),
        Route::new(Get, "/api/v1/builds/{id}", READ, "A build", builds::build).json::<Build>(),
        Route::new(Post, "/api/v1/builds/{id}/cancel", needs(Action::Cancel), "End a build", builds::cancel)
            .sent::<ReasonBody>()
            .json::<Done>(),
        Route::new(
            Post,
            "/api/v1/builds/{id}/rebuild",
            needs(Action::Rebuild),
            "Build again, with the same sources and properties",
            builds::rebuild,
        )
        .sent::<NothingBody>()
        .created::<Made>(),
        Route::new(Get, "/api/v1/builds/{id}/logs", READ, "Logs of a build and how long they are", builds::logs)
            .json::<List<Log>>(),
        Route::new(
            Get,
            "/api/v1/builds/{id}/steps/{step}/logs/{log}",
            READ,
            "Text of a log: lines by range or tail, or all of it",
            logs::log,
        )
        .asked::<logs::LogQuery>(),
        Route::new(
            Get,
            "/api/v1/builds/{id}/steps/{step}/logs/{log}/follow",
            READ,
            "Lines of a log as they come",
            logs::follow,
        )
        .asked::<logs::FollowQuery>()
        .answers(Answers::Events),
    ]
}

fn leading() -> Vec<Route> {
    use Verb::{Get, Post};
    use wire::{
        ApproveBody, Buildset, Change, ChangeBody, ChangeWait, ChangesTaken, Done, Explanation, List, Made, ReasonBody,
        Request, SubmitBody, TryBody,
    };
    vec![
        Route::new(Get, "/api/v1/changes", READ, "Changes, newest first", work::changes)
            .asked::<work::ChangesQuery>()
            .json::<List<Change>>(),
        Route::new(Post, "/api/v1/changes", needs(Action::SendChange), "Send a change", work::send_change)
            .sent::<ChangeBody>()
            .created::<ChangesTaken>(),
        Route::new(Get, "/api/v1/changes/{id}", READ, "A change", work::change).json::<Change>(),
        Route::new(Get, "/api/v1/changes/{id}/explain", READ, "What a change waits for", work::explain_change)
            .json::<List<ChangeWait>>(),
        Route::new(Get, "/api/v1/buildsets", READ, "Buildsets, newest first", work::buildsets)
            .asked::<work::BuildsetsQuery>()
            .json::<List<Buildset>>(),
        Route::new(Post, "/api/v1/buildsets", needs(Action::Submit), "Build source stamps", work::submit)
            .sent::<SubmitBody>()
            .created::<Made>(),
        Route::new(Post, "/api/v1/try", needs(Action::Try), "Build a patch", work::try_patch)
            .sent::<TryBody>()
            .created::<Made>(),
        Route::new(Get, "/api/v1/buildsets/{id}", READ, "A buildset", work::buildset).json::<Buildset>(),
        Route::new(Get, "/api/v1/requests", READ, "Build requests, newest first", work::requests)
            .asked::<work::RequestsQuery>()
            .json::<List<Request>>(),
        Route::new(Get, "/api/v1/requests/{id}", READ, "A build request", work::request).json::<Request>(),
        Route::new(Get, "/api/v1/requests/{id}/explain", READ, "Why a request waits", work::explain)
            .json::<Explanation>(),
        Route::new(
            Post,
            "/api/v1/requests/{id}/cancel",
            needs(Action::Cancel),
            "End a request and its build",
            work::cancel_request,
        )
        .sent::<ReasonBody>()
        .json::<Done>(),
        Route::new(
            Post,
            "/api/v1/requests/{id}/approve",
            needs(Action::Approve),
            "Approve or refuse a request that awaits it",
            work::approve,
        )
        .sent::<ApproveBody>()
        .json::<Done>(),
    ]
}

fn housekeeping() -> Vec<Route> {
    use Verb::{Get, Post};
    use wire::{ChangeSource, Done, ForceBody, List, Made, NothingBody, Notice, Plugin, ReasonBody, Scheduler, Worker};
    vec![
        Route::new(Get, "/api/v1/workers", READ, "Workers", house::workers).json::<List<Worker>>(),
        Route::new(
            Post,
            "/api/v1/workers/{name}/pause",
            needs(Action::PauseWorkers),
            "Let a worker finish what it has and get no more builds until it is resumed",
            house::pause_worker,
        )
        .sent::<ReasonBody>()
        .json::<Done>(),
        Route::new(
            Post,
            "/api/v1/workers/{name}/resume",
            needs(Action::PauseWorkers),
            "Let a worker have builds again",
            house::resume_worker,
        )
        .sent::<NothingBody>()
        .json::<Done>(),
        Route::new(Get, "/api/v1/change-sources", READ, "Change sources", house::change_sources)
            .json::<List<ChangeSource>>(),
        Route::new(Post, "/api/v1/change-sources/{name}/poll", needs(Action::PollNow), "Poll now", house::poll_now)
            .sent::<NothingBody>()
            .json::<Done>(),
        Route::new(Get, "/api/v1/schedulers", READ, "Schedulers", house::schedulers).json::<List<Scheduler>>(),
        Route::new(
            Post,
            "/api/v1/schedulers/{name}/force",
            needs(Action::Force),
            "Force all builders of a force scheduler",
            builds::force_scheduler,
        )
        .sent::<ForceBody>()
        .created::<Made>(),
        Route::new(
            Post,
            "/api/v1/schedulers/{name}/disable",
            needs(Action::SwitchSchedulers),
            "Let a scheduler start nothing until it is enabled",
            house::disable_scheduler,
        )
        .sent::<ReasonBody>()
        .json::<Done>(),
        Route::new(
            Post,
            "/api/v1/schedulers/{name}/enable",
            needs(Action::SwitchSchedulers),
            "Enable a scheduler again",
            house::enable_scheduler,
        )
        .sent::<NothingBody>()
        .json::<Done>(),
        Route::new(Get, "/api/v1/plugins", READ, "Plugins: what they ask for and what is granted", house::plugins)
            .json::<List<Plugin>>(),
        Route::new(
            Get,
            "/api/v1/notices",
            needs(Action::ReadNotices),
            "Notices that were given up, newest first",
            house::notices,
        )
        .asked::<house::PageQuery>()
        .json::<List<Notice>>(),
        Route::new(Post, "/api/v1/reload", needs(Action::Reload), "Read the configuration again", house::reload)
            .sent::<NothingBody>()
            .json::<Done>(),
    ]
}

fn accounts() -> Vec<Route> {
    use Verb::{Delete, Get, Patch, Post};
    use wire::{Done, List, NewToken, NothingBody, Token, TokenBody, User, UserBody, UserPatch, Whoami};
    let (users, tokens) = (needs(Action::ManageUsers), needs(Action::ManageTokens));
    vec![
        Route::new(Get, "/api/v1/whoami", READ, "Who asks", house::whoami).json::<Whoami>(),
        Route::new(Get, "/api/v1/users", users, "Users", house::users).json::<List<User>>(),
        Route::new(Post, "/api/v1/users", users, "Add a user", house::add_user).sent::<UserBody>().created::<User>(),
        Route::new(Patch, "/api/v1/users/{name}", users, "Set a user's role or password", house::change_user)
            .sent::<UserPatch>()
            .json::<Done>(),
        Route::new(
            Delete,
            "/api/v1/users/{name}",
            users,
            "Remove a user with their sessions and tokens",
            house::delete_user,
        )
        .json::<Done>(),
        Route::new(Get, "/api/v1/tokens", tokens, "Tokens, without their secrets", house::tokens).json::<List<Token>>(),
        Route::new(Post, "/api/v1/tokens", tokens, "Make a token; its secret is shown once", house::add_token)
            .sent::<TokenBody>()
            .created::<NewToken>(),
        Route::new(
            Post,
            "/api/v1/workers/{name}/token",
            tokens,
            "Make the token by which a worker connects; its earlier ones end",
            house::add_worker_token,
        )
        .sent::<NothingBody>()
        .created::<NewToken>(),
        Route::new(Delete, "/api/v1/tokens/{id}", tokens, "Revoke a token", house::revoke_token).json::<Done>(),
    ]
}

fn known() -> Vec<Route> {
    use Verb::{Delete, Get, Patch, Post};
    use wire::{Done, List, MergeBody, Person, PersonBody, PersonPatch};
    let change = needs(Action::ManageUsers);
    vec![
        Route::new(Get, "/api/v1/people", READ, "Who makes changes, and whom builds concern", people::people)
            .asked::<house::PageQuery>()
            .json::<List<Person>>(),
        Route::new(Post, "/api/v1/people", change, "Add a person", people::add)
            .sent::<PersonBody>()
            .created::<Person>(),
        Route::new(Get, "/api/v1/people/{who}", READ, "A person, by id or by any attribute", people::person)
            .json::<Person>(),
        Route::new(Patch, "/api/v1/people/{who}", change, "Change what is known of a person", people::update)
            .sent::<PersonPatch>()
            .json::<Person>(),
        Route::new(
            Post,
            "/api/v1/people/{who}/merge",
            change,
            "Give a person all that another is known by, who turned out to be the same and is removed",
            people::merge,
        )
        .sent::<MergeBody>()
        .json::<Person>(),
        Route::new(Delete, "/api/v1/people/{who}", change, "Forget a person", people::remove).json::<Done>(),
    ]
}

fn calling() -> Vec<Route> {
    use Verb::{Get, Post};
    vec![
        Route::new(Get, "/api/v1/events", READ, "What changes, as it changes", events::events)
            .asked::<events::EventsQuery>()
            .answers(Answers::Events),
        Route::new(Get, "/api/v1/openapi.json", Permission::Open, "This description", openapi::serve)
            .json::<serde_json::Map<String, serde_json::Value>>(),
        Route::new(
            Post,
            "/hooks/{source}",
            Permission::CheckedByPlugin,
            "A forge calls; the plugin of the hook checks its signature",
            machines::hook,
        )
        .answers(Answers::Plugin),
        Route::new(Get, "/metrics", READ, "Figures for Prometheus", machines::metrics),
        Route::new(Get, "/healthz", Permission::Open, "Whether the host answers", machines::health),
    ]
}
