//! Where people and tokens are kept, reached either way; both answer in the shapes of the API.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use stampmill_model::{Wall, WorkerName};
use stampmill_service::password::Password;
use stampmill_service::{Accounts, Role, TokenHolder, TokenView, UserView};
use stampmill_store::Store;

use crate::cli::arguments::Target;
use crate::cli::connection::{Connection, configuration, data_directory};
use crate::cli::failure::Failure;
use crate::cli::wire::{NewToken, read};

/// A running host, or the store of one that does not run.
pub(super) enum Desk {
    Host(Connection),
    Store(Accounts),
}

impl Desk {
    /// The host, when one answers; else the store, which then nobody else has open.
    pub(super) async fn open(target: &Target) -> anyhow::Result<Self> {
        let connection = Connection::new(target)?;
        if connection.is_there().await {
            return Ok(Self::Host(connection));
        }
        let data = data_directory(target.data.as_deref());
        if target.data.is_none() && !data.exists() && !configuration().exists() {
            // A new store in whatever directory one happens to be in would be a surprise.
            return Err(Failure::refused(format!(
                "there is no host, no configuration {} and no data directory {} here; go to the host's directory, or use --data DIR or --host URL",
                configuration().display(),
                data.display()
            )));
        }
        let store = Store::open(&data)
            .with_context(|| format!("no host runs, and its data directory {} can't be opened", data.display()))?;
        Ok(Self::Store(Accounts::new(store)))
    }

    /// Whether no host runs.
    pub(super) fn is_store(&self) -> bool {
        matches!(self, Self::Store(_))
    }

    pub(super) async fn users(&self) -> anyhow::Result<Value> {
        match self {
            Self::Host(host) => host.get(&["users"], &[]).await,
            Self::Store(accounts) => Ok(list(accounts.users()?, user)),
        }
    }

    pub(super) async fn add_user(&self, name: &str, password: String, role: Role) -> anyhow::Result<()> {
        match self {
            Self::Host(host) => {
                let body = json!({ "name": name, "password": password, "role": role.as_str() });
                host.post(&["users"], &body).await.map(drop)
            }
            Self::Store(accounts) => Ok(accounts.add_user(name, &parsed(password)?, role).map(drop)?),
        }
    }

    pub(super) async fn set_password(&self, name: &str, password: String) -> anyhow::Result<()> {
        match self {
            Self::Host(host) => host.patch(&["users", name], &json!({ "password": password })).await.map(drop),
            Self::Store(accounts) => Ok(accounts.set_password(name, &parsed(password)?)?),
        }
    }

    pub(super) async fn set_role(&self, name: &str, role: Role) -> anyhow::Result<()> {
        match self {
            Self::Host(host) => host.patch(&["users", name], &json!({ "role": role.as_str() })).await.map(drop),
            Self::Store(accounts) => Ok(accounts.set_role(name, role)?),
        }
    }

    pub(super) async fn remove_user(&self, name: &str) -> anyhow::Result<()> {
        match self {
            Self::Host(host) => host.delete(&["users", name]).await.map(drop),
            Self::Store(accounts) => Ok(accounts.delete_user(name)?),
        }
    }

    pub(super) async fn tokens(&self) -> anyhow::Result<Value> {
        match self {
            Self::Host(host) => host.get(&["tokens"], &[]).await,
            Self::Store(accounts) => Ok(list(accounts.tokens()?, token)),
        }
    }

    pub(super) async fn add_token(
        &self,
        name: &str,
        user: Option<&str>,
        role: Role,
        days: Option<u32>,
    ) -> anyhow::Result<String> {
        match self {
            Self::Host(host) => {
                let mut body = Map::new();
                body.insert("name".to_owned(), name.into());
                body.insert("role".to_owned(), role.as_str().into());
                body.extend(user.map(|user| ("user".to_owned(), user.into())));
                body.extend(days.map(|days| ("days".to_owned(), days.into())));
                let made: NewToken = read(host.post(&["tokens"], &Value::Object(body)).await?)?;
                Ok(made.secret)
            }
            Self::Store(accounts) => {
                let lifetime = days.map(|days| Duration::from_secs(u64::from(days) * 24 * 3600));
                let (_, secret) = accounts.add_token(name, user.unwrap_or(name), role, lifetime)?;
                Ok(secret.reveal().to_owned())
            }
        }
    }

    pub(super) async fn revoke_token(&self, id: &str) -> anyhow::Result<()> {
        match self {
            Self::Host(host) => host.delete(&["tokens", id]).await.map(drop),
            Self::Store(accounts) => Ok(accounts.revoke_token(id)?),
        }
    }

    pub(super) async fn add_worker_token(&self, worker: &str) -> anyhow::Result<String> {
        match self {
            Self::Host(host) => {
                let made: NewToken = read(host.post(&["workers", worker, "token"], &json!({})).await?)?;
                Ok(made.secret)
            }
            Self::Store(accounts) => {
                let (_, secret) = accounts.add_worker_token(&WorkerName::from(worker))?;
                Ok(secret.reveal().to_owned())
            }
        }
    }
}

fn parsed(password: String) -> anyhow::Result<Password> {
    Password::parse(password).map_err(|error| Failure::refused(error.to_string()))
}

pub(super) fn list<T>(items: Vec<T>, shape: impl Fn(T) -> Value) -> Value {
    json!({ "items": items.into_iter().map(shape).collect::<Vec<_>>(), "next": null })
}

fn user(user: UserView) -> Value {
    json!({ "name": user.name, "role": user.role.as_str(), "created_at": time(user.created_at) })
}

fn token(token: TokenView) -> Value {
    let (kind, holder, role) = match token.holder {
        TokenHolder::User { name, role } => ("user", name, Some(role.as_str())),
        TokenHolder::Worker(worker) => ("worker", worker.to_string(), None),
    };
    json!({
        "id": token.id,
        "name": token.name,
        "kind": kind,
        "holder": holder,
        "role": role,
        "created_at": time(token.created_at),
        "expires_at": token.expires_at.map(time),
    })
}

/// As the API writes times; one that no calendar has is shown as the number that it is.
pub(super) fn time(wall: Wall) -> String {
    let milliseconds = i64::try_from(wall.0).ok();
    let stamp = milliseconds.and_then(|milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok());
    stamp.map_or_else(|| wall.0.to_string(), |stamp| format!("{stamp:.3}"))
}
