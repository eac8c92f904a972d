//! The service: finds out who asks, and lets them ask and see what they may.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Method, header};
use stampmill_model::Wall;
use stampmill_store::Session;
use stampmill_store::Store;
use tokio::sync::Semaphore;

use crate::access::{Access, CrossSite, Peer, check_origin, is_safe};
use crate::accounts::{Accounts, later, role_of, wall_now};
use crate::error::ServiceError;
use crate::host::{Figures, Host};
use crate::identity::Identity;
use crate::limits::{NAME_BYTES_MAX, PASSWORD_HASHES_AT_ONCE, SESSION_LIFETIME};
use crate::password;
use crate::permission::Action;
use crate::queries::Reading;
use crate::secret::{Secret, hash_of, same};
use crate::throttle::Throttle;
use crate::view::Catalogue;

/// The cookie of a login.
pub const SESSION_COOKIE: &str = "stampmill_session";

/// The one door for people and programs.
pub struct Service {
    pub(crate) store: Store,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) accounts: Accounts,
    access: Access,
    throttle: Throttle,
    hashing: Semaphore,
}

impl Service {
    /// The door to a running host and the store in which these accounts are.
    #[must_use]
    pub fn new(accounts: Accounts, host: Arc<dyn Host>, access: Access) -> Self {
        Self {
            store: accounts.store.clone(),
            accounts,
            host,
            access,
            throttle: Throttle::default(),
            hashing: Semaphore::new(PASSWORD_HASHES_AT_ONCE),
        }
    }

    /// What the configuration in force defines. It is no secret to whoever may read; routes check that.
    #[must_use]
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.host.catalogue()
    }

    /// Finds out who asks. A token that is wrong is an error, a cookie that is stale is not: its owner must be able to log in again.
    pub fn identify(&self, peer: Peer, headers: &HeaderMap) -> Result<Identity, ServiceError> {
        if peer == Peer::AdminSocket {
            return Ok(Identity::AdminSocket);
        }
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let secret = value.to_str().ok().and_then(bearer).ok_or(ServiceError::BadToken)?;
            let (name, role) = self.accounts.user_of(secret, wall_now())?.ok_or(ServiceError::BadToken)?;
            return Ok(Identity::Token { name: name.into(), role });
        }
        if let Some(secret) = session_cookie(headers)
            && let Some(identity) = self.identity_of_session(secret, wall_now())?
        {
            return Ok(identity);
        }
        Ok(Identity::Anonymous { may_read: self.access.may_read_without_login(headers) })
    }

    fn identity_of_session(&self, secret: &str, now: Wall) -> Result<Option<Identity>, ServiceError> {
        let Some(session) = self.store.session(&hash_of(secret))? else { return Ok(None) };
        if now >= session.expires_at {
            return Ok(None);
        }
        let Some(user) = self.store.user(&session.user)? else { return Ok(None) };
        Ok(Some(Identity::Session { role: role_of(&user), user: user.name.into(), csrf: session.csrf_token.into() }))
    }

    /// Refuses a request that changes something when a browser may have been led to send it: its origin must be this host. The form's token is
    /// checked by [`Self::check_csrf`], once the form was read.
    pub fn check_origin(&self, who: &Identity, method: &Method, headers: &HeaderMap) -> Result<(), ServiceError> {
        if is_safe(method) || !who.may_be_led() {
            return Ok(());
        }
        Ok(check_origin(headers, self.access.https)?)
    }

    /// Refuses a form, or a request of a script, that does not carry the session's token.
    pub fn check_csrf(&self, who: &Identity, token: &str) -> Result<(), ServiceError> {
        match who {
            Identity::Session { csrf, .. } if same(csrf, token) => Ok(()),
            Identity::Session { .. } => Err(CrossSite::BadToken.into()),
            Identity::Anonymous { .. } | Identity::AdminSocket | Identity::Token { .. } => Ok(()),
        }
    }

    /// Logs a person in. Gives the `Set-Cookie` header. Takes some 20 ms; refused after too many failures.
    pub async fn log_in(&self, name: &str, password: String, peer: Peer) -> Result<String, ServiceError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(ServiceError::WrongPassword);
        }
        if !self.throttle.admit(name, peer.address(), Instant::now()) {
            return Err(ServiceError::TooManyLogins);
        }
        let _permit = self.hashing.acquire().await.map_err(|error| ServiceError::Broken(error.to_string()))?;
        let (store, user) = (self.store.clone(), name.to_owned());
        let cookie_secret = blocking(move || {
            let known = store.user(&user)?;
            if !password::verify(&password, known.as_ref().map(|user| user.password_hash.as_str())) {
                return Err(ServiceError::WrongPassword);
            }
            start_session(&store, user)
        })
        .await?;
        self.throttle.succeeded(name, peer.address());
        Ok(self.cookie(cookie_secret.reveal(), SESSION_LIFETIME.as_secs()))
    }

    /// Ends the session of these headers, if there is one. Gives the `Set-Cookie` header that makes the browser forget it.
    pub async fn log_out(&self, headers: &HeaderMap) -> Result<String, ServiceError> {
        if let Some(secret) = session_cookie(headers) {
            let (accounts, id) = (self.accounts.clone(), hash_of(secret));
            blocking(move || accounts.end_session(&id)).await?;
        }
        Ok(self.cookie("", 0))
    }

    fn cookie(&self, value: &str, max_age_seconds: u64) -> String {
        let secure = if self.access.https { "; Secure" } else { "" };
        format!("{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age_seconds}{secure}")
    }

    /// Asks the store and the logs for whoever may read. Runs where waiting for the disk holds nobody up.
    pub async fn read<T, F>(&self, who: &Identity, ask: F) -> Result<T, ServiceError>
    where
        T: Send + 'static,
        F: FnOnce(&Reading) -> Result<T, ServiceError> + Send + 'static,
    {
        who.require(Action::Read)?;
        let (store, catalogue) = (self.store.clone(), self.host.catalogue());
        blocking(move || ask(&Reading::new(&store, catalogue)?)).await
    }

    /// Lists or changes users or tokens for whoever may. What was begun is done and felt by open connections even if nobody waits for the answer.
    pub async fn accounts<T, F>(&self, who: &Identity, action: Action, ask: F) -> Result<T, ServiceError>
    where
        T: Send + 'static,
        F: FnOnce(&Accounts) -> Result<T, ServiceError> + Send + 'static,
    {
        who.require(action)?;
        let _permit = self.hashing.acquire().await.map_err(|error| ServiceError::Broken(error.to_string()))?;
        let accounts = self.accounts.clone();
        blocking(move || ask(&accounts)).await
    }

    /// What the host counted since it started. It is no secret to whoever may read; routes check that.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.host.figures()
    }
}

/// Runs what waits for the disk or burns a core where it holds nobody up.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, ServiceError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, ServiceError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ServiceError::Broken(error.to_string())),
    }
}

fn start_session(store: &Store, user: String) -> Result<Secret, ServiceError> {
    let broken = |error: crate::secret::NoRandomness| ServiceError::Broken(error.to_string());
    let (secret, csrf) = (Secret::session().map_err(broken)?, Secret::session().map_err(broken)?);
    let now = wall_now();
    store.put_session(&Session {
        id_sha256: secret.hash(),
        user,
        csrf_token: csrf.reveal().to_owned(),
        created_at: now,
        expires_at: later(now, SESSION_LIFETIME),
    })?;
    Ok(secret)
}

/// The secret of `Bearer SECRET` (RFC 6750).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, secret)| *name == SESSION_COOKIE && !secret.is_empty())
        .map(|(_, secret)| secret)
}
