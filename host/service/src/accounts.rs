//! Users and tokens. It asks nobody for permission: the service does before it calls these, and the command line is run by whoever owns the
//! data directory.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stampmill_model::{Wall, WorkerName};
use stampmill_store::{Store, StoreError, Token, TokenKind, User};
use tokio::sync::watch;

use crate::error::{ServiceError, unknown};
use crate::host::Unavailable;
use crate::limits::NAME_BYTES_MAX;
use crate::password::{self, Password};
use crate::permission::Role;
use crate::secret::{Secret, hash_of};

/// Users and tokens in the store. All of it blocks: a change is a durable transaction, a password takes 20 ms of a core. Clones are the same
/// accounts; a host has one, so that whoever is connected hears of every right that ends.
#[derive(Clone)]
pub struct Accounts {
    pub(crate) store: Store,
    ends: watch::Sender<u64>,
}

/// A user, without the password's hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserView {
    /// Name for the login.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Since when they are known.
    pub created_at: Wall,
}

/// A token, without its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenView {
    /// By which it is revoked.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it opens.
    pub holder: TokenHolder,
    /// When it was made.
    pub created_at: Wall,
    /// When it ends by itself.
    pub expires_at: Option<Wall>,
}

/// What a token opens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenHolder {
    /// The API, for a program or person.
    User {
        /// A user's name, or that of a program.
        name: String,
        /// What it may be used for; less where the user of that name may less.
        role: Role,
    },
    /// A worker's connection.
    Worker(WorkerName),
}

impl Accounts {
    /// The users and tokens of this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, ends: watch::Sender::new(0) }
    }

    /// Changes whenever a user, a session or a token may have lost a right. Whoever goes on for longer by such a right takes this first, looks
    /// at the right then, and looks again at each change; so no end is missed.
    #[must_use]
    pub fn ends(&self) -> watch::Receiver<u64> {
        self.ends.subscribe()
    }

    /// To be called after whatever may have ended a right, failed writes too: they may have been done by half.
    fn ended(&self) {
        self.ends.send_modify(|ends| *ends += 1);
    }

    /// All users by name.
    pub fn users(&self) -> Result<Vec<UserView>, ServiceError> {
        Ok(self.store.users()?.into_iter().map(user_view).collect())
    }

    /// Adds a user; refused when there is one of that name.
    pub fn add_user(&self, name: &str, password: &Password, role: Role) -> Result<UserView, ServiceError> {
        check_name("user", name)?;
        if self.store.user(name)?.is_some() {
            return Err(ServiceError::Conflict(format!(
                "there is a user `{name}` already; set another password or role, or take another name"
            )));
        }
        let user = User {
            name: name.to_owned(),
            password_hash: hash(password)?,
            role: role.as_str().to_owned(),
            created_at: wall_now(),
        };
        self.store.put_user(&user)?;
        Ok(user_view(user))
    }

    /// Sets a user's password and ends their sessions.
    pub fn set_password(&self, name: &str, password: &Password) -> Result<(), ServiceError> {
        let mut user = self.known_user(name)?;
        user.password_hash = hash(password)?;
        let end_sessions = || {
            self.store.put_user(&user)?;
            for session in self.store.sessions_of(name)? {
                self.store.delete_session(&session.id_sha256)?;
            }
            Ok(())
        };
        let done = end_sessions();
        self.ended();
        done
    }

    /// Sets a user's role; it holds from their next request on.
    pub fn set_role(&self, name: &str, role: Role) -> Result<(), ServiceError> {
        let mut user = self.known_user(name)?;
        user.role = role.as_str().to_owned();
        let done = self.store.put_user(&user);
        self.ended();
        Ok(done?)
    }

    /// Removes a user with their sessions and tokens.
    pub fn delete_user(&self, name: &str) -> Result<(), ServiceError> {
        if self.gone(self.store.delete_user(name))? { Ok(()) } else { Err(self.no_user(name)) }
    }

    /// Ends a session, if there is one of this hash.
    pub(crate) fn end_session(&self, id_sha256: &[u8; 32]) -> Result<(), ServiceError> {
        self.gone(self.store.delete_session(id_sha256)).map(drop)
    }

    /// Announces what was deleted; what was not there ends nothing.
    fn gone(&self, deleted: Result<bool, StoreError>) -> Result<bool, ServiceError> {
        if !matches!(deleted, Ok(false)) {
            self.ended();
        }
        Ok(deleted?)
    }

    /// All tokens, those of workers too.
    pub fn tokens(&self) -> Result<Vec<TokenView>, ServiceError> {
        Ok(self.store.tokens()?.into_iter().filter_map(token_view).collect())
    }

    /// Makes a token for the API. The secret is given out here and never again.
    pub fn add_token(
        &self,
        name: &str,
        holder: &str,
        role: Role,
        lifetime: Option<Duration>,
    ) -> Result<(TokenView, Secret), ServiceError> {
        check_name("token", name)?;
        check_name("user", holder)?;
        self.put_token(name, TokenHolder::User { name: holder.to_owned(), role }, lifetime)
    }

    /// Makes a token by which a worker connects; the worker's earlier tokens end.
    pub fn add_worker_token(&self, worker: &WorkerName) -> Result<(TokenView, Secret), ServiceError> {
        check_name("worker", worker.as_str())?;
        let earlier: Vec<Token> = self
            .store
            .tokens()?
            .into_iter()
            .filter(|token| token.kind == TokenKind::Worker && token.holder == worker.as_str())
            .collect();
        let made = self.add_another_worker_token(worker)?;
        for token in earlier {
            self.gone(self.store.delete_token(&token.id))?;
        }
        Ok(made)
    }

    /// As [`Self::add_worker_token`], but the worker's other tokens go on.
    pub fn add_another_worker_token(&self, worker: &WorkerName) -> Result<(TokenView, Secret), ServiceError> {
        check_name("worker", worker.as_str())?;
        self.put_token(&format!("worker {worker}"), TokenHolder::Worker(worker.clone()), None)
    }

    /// Ends a token.
    pub fn revoke_token(&self, id: &str) -> Result<(), ServiceError> {
        if self.gone(self.store.delete_token(id))? {
            return Ok(());
        }
        let tokens = self.store.tokens()?;
        Err(unknown("token", id, tokens.iter().map(|token| token.id.as_str())))
    }

    /// Which worker connects with this secret; `None` for one that is unknown, ended, or not a worker's.
    pub fn worker_of(&self, secret: &str) -> Result<Option<WorkerName>, ServiceError> {
        Ok(match self.live_token(secret, wall_now())?.and_then(token_view).map(|token| token.holder) {
            Some(TokenHolder::Worker(worker)) => Some(worker),
            Some(TokenHolder::User { .. }) | None => None,
        })
    }

    /// Name and role of the API token with this secret; `None` for one that is unknown, ended, or a worker's. A user's token gives no more than
    /// the user has now.
    pub(crate) fn user_of(&self, secret: &str, now: Wall) -> Result<Option<(String, Role)>, ServiceError> {
        let Some(view) = self.live_token(secret, now)?.and_then(token_view) else { return Ok(None) };
        let TokenHolder::User { name, role } = view.holder else { return Ok(None) };
        let role = match self.store.user(&name)? {
            Some(user) => role.min(role_of(&user)),
            None => role,
        };
        Ok(Some((if name == view.name { name } else { format!("{name}/{}", view.name) }, role)))
    }

    fn live_token(&self, secret: &str, now: Wall) -> Result<Option<Token>, ServiceError> {
        let token = self.store.token_by_secret(&hash_of(secret))?;
        Ok(token.filter(|token| token.expires_at.is_none_or(|end| now < end)))
    }

    fn put_token(
        &self,
        name: &str,
        holder: TokenHolder,
        lifetime: Option<Duration>,
    ) -> Result<(TokenView, Secret), ServiceError> {
        let secret = Secret::token().map_err(|error| ServiceError::Broken(error.to_string()))?;
        let id: String = secret.hash().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let now = wall_now();
        let expires_at = lifetime.map(|lifetime| later(now, lifetime));
        let (kind, held_by, role) = match &holder {
            TokenHolder::User { name, role } => (TokenKind::User, name.clone(), Some(role.as_str().to_owned())),
            TokenHolder::Worker(worker) => (TokenKind::Worker, worker.to_string(), None),
        };
        self.store.put_token(&Token {
            id: id.clone(),
            name: name.to_owned(),
            secret_sha256: secret.hash(),
            kind,
            holder: held_by,
            role,
            created_at: now,
            expires_at,
        })?;
        Ok((TokenView { id, name: name.to_owned(), holder, created_at: now, expires_at }, secret))
    }

    fn known_user(&self, name: &str) -> Result<User, ServiceError> {
        self.store.user(name)?.ok_or_else(|| self.no_user(name))
    }

    fn no_user(&self, name: &str) -> ServiceError {
        let users = self.store.users().unwrap_or_default();
        unknown("user", name, users.iter().map(|user| user.name.as_str()))
    }
}

/// The machine's clock.
#[must_use]
pub fn wall_now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A time after another.
pub(crate) fn later(time: Wall, by: Duration) -> Wall {
    Wall(time.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
}

/// What a user may do now. A word that this release does not know gives the least.
pub(crate) fn role_of(user: &User) -> Role {
    Role::parse(&user.role).unwrap_or(Role::Viewer)
}

fn user_view(user: User) -> UserView {
    let role = role_of(&user);
    UserView { name: user.name, role, created_at: user.created_at }
}

/// `None` for a token whose role this release does not know: it opens nothing.
fn token_view(token: Token) -> Option<TokenView> {
    let holder = match token.kind {
        TokenKind::User => TokenHolder::User { name: token.holder, role: Role::parse(token.role.as_deref()?)? },
        TokenKind::Worker => TokenHolder::Worker(token.holder.into()),
    };
    Some(TokenView {
        id: token.id,
        name: token.name,
        holder,
        created_at: token.created_at,
        expires_at: token.expires_at,
    })
}

fn hash(password: &Password) -> Result<String, ServiceError> {
    password::hash(password).map_err(|error| ServiceError::Broken(error.to_string()))
}

/// Names are shown in tables, blamelists and addresses.
fn check_name(what: &str, name: &str) -> Result<(), ServiceError> {
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.trim() == name;
    if fits && !name.chars().any(|letter| letter.is_control() || letter == '/') {
        return Ok(());
    }
    Err(ServiceError::Invalid(format!(
        "{what} name {name:?} does not fit; take 1 to {NAME_BYTES_MAX} bytes without slashes, control characters or spaces at the ends"
    )))
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error.disk_trouble() {
            Some(words) => unavailable(words, &error),
            None => Self::Broken(error.to_string()),
        }
    }
}

impl From<stampmill_store::LogError> for ServiceError {
    fn from(error: stampmill_store::LogError) -> Self {
        match error.disk_trouble() {
            Some(words) => unavailable(words, &error),
            None => Self::Broken(error.to_string()),
        }
    }
}

/// Whoever asked is told what is wrong, the operator where.
fn unavailable(words: &str, error: &dyn std::error::Error) -> ServiceError {
    tracing::error!("a request could not be answered: {error}");
    ServiceError::Unavailable(Unavailable(words.to_owned()))
}
