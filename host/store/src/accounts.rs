//! Users, tokens and sessions: rows that the service owns. Only hashes of what is secret are here.

use redb::{ReadableTable as _, WriteTransaction};
use stampmill_model::Wall;

use crate::convert::{session_from_row, session_to_row, token_from_row, token_to_row, user_from_row, user_to_row};
use crate::reader::View;
use crate::rows::{Row as _, SessionRow, TokenRow, UserRow};
use crate::tables::{SESSIONS, TOKENS, TOKENS_BY_SECRET, USERS};
use crate::{Store, StoreError};

/// A person who may log in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The login name; the key.
    pub name: String,
    /// In the PHC string format (argon2id); the store never sees a password.
    pub password_hash: String,
    /// The service's word for what the user may do.
    pub role: String,
    /// When.
    pub created_at: Wall,
}

/// A token of a program or a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// Not secret; the key.
    pub id: String,
    /// What it is for, in words for people.
    pub name: String,
    /// SHA-256 of the secret, which is random enough to need no slow hash.
    pub secret_sha256: [u8; 32],
    /// For what.
    pub kind: TokenKind,
    /// Name of the user or worker that it stands for.
    pub holder: String,
    /// The service's word for what it may do; `None` is what the holder may.
    pub role: Option<String>,
    /// When.
    pub created_at: Wall,
    /// From when on it is refused; `None` is never.
    pub expires_at: Option<Wall>,
}

/// For what a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenKind {
    /// It stands for a user.
    User,
    /// A worker connects with it.
    Worker,
}

/// A login in a browser.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// SHA-256 of what the cookie holds; the key.
    pub id_sha256: [u8; 32],
    /// Name of the user.
    pub user: String,
    /// What a form must send back.
    pub csrf_token: String,
    /// When.
    pub created_at: Wall,
    /// From when on it is refused.
    pub expires_at: Wall,
}

/// Each call is one transaction, durable on return. Expiry is for the caller to compare.
impl Store {
    /// Adds a user or replaces the one of this name.
    pub fn put_user(&self, user: &User) -> Result<(), StoreError> {
        let row = user_to_row(user).encode()?;
        self.write(|transaction| {
            transaction.open_table(USERS)?.insert(user.name.as_str(), row.as_slice())?;
            Ok(())
        })
    }

    /// The user of this name.
    pub fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        self.view(|view| {
            let row = view.transaction.open_table(USERS)?.get(name)?;
            row.map(|row| Ok(user_from_row(UserRow::decode(row.value())?))).transpose()
        })
    }

    /// All users by name.
    pub fn users(&self) -> Result<Vec<User>, StoreError> {
        self.view(|view| {
            let mut users = Vec::new();
            for entry in view.transaction.open_table(USERS)?.iter()? {
                users.push(user_from_row(UserRow::decode(entry?.1.value())?));
            }
            Ok(users)
        })
    }

    /// Takes a user away, with all sessions and tokens that stand for that user; no person has that login any more. Says whether there was one.
    pub fn delete_user(&self, name: &str) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let found = transaction.open_table(USERS)?.remove(name)?.is_some();
            crate::people::part_from_login(transaction, name)?;
            for token in tokens_of(transaction, name)? {
                remove_token(transaction, &token)?;
            }
            let mut sessions = transaction.open_table(SESSIONS)?;
            let mut ended = Vec::new();
            for entry in sessions.iter()? {
                let (id, row) = entry?;
                if SessionRow::decode(row.value())?.user == name {
                    ended.push(*id.value());
                }
            }
            for id in ended {
                sessions.remove(&id)?;
            }
            Ok(found)
        })
    }

    /// Adds a token or replaces the one of this id.
    pub fn put_token(&self, token: &Token) -> Result<(), StoreError> {
        let row = token_to_row(token).encode()?;
        self.write(|transaction| {
            remove_token(transaction, &token.id)?;
            transaction.open_table(TOKENS)?.insert(token.id.as_str(), row.as_slice())?;
            transaction.open_table(TOKENS_BY_SECRET)?.insert(&token.secret_sha256, token.id.as_str())?;
            Ok(())
        })
    }

    /// The token of this id.
    pub fn token(&self, id: &str) -> Result<Option<Token>, StoreError> {
        self.view(|view| token(view, id))
    }

    /// The token with this hash of its secret.
    pub fn token_by_secret(&self, secret_sha256: &[u8; 32]) -> Result<Option<Token>, StoreError> {
        self.view(|view| match view.transaction.open_table(TOKENS_BY_SECRET)?.get(secret_sha256)? {
            Some(id) => token(view, id.value()),
            None => Ok(None),
        })
    }

    /// All tokens by id.
    pub fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.view(|view| {
            let mut tokens = Vec::new();
            for entry in view.transaction.open_table(TOKENS)?.iter()? {
                tokens.push(token_from_row(TokenRow::decode(entry?.1.value())?));
            }
            Ok(tokens)
        })
    }

    /// Takes a token away. Says whether there was one.
    pub fn delete_token(&self, id: &str) -> Result<bool, StoreError> {
        self.write(|transaction| remove_token(transaction, id))
    }

    /// Adds a session or replaces the one of this id.
    pub fn put_session(&self, session: &Session) -> Result<(), StoreError> {
        let row = session_to_row(session).encode()?;
        self.write(|transaction| {
            transaction.open_table(SESSIONS)?.insert(&session.id_sha256, row.as_slice())?;
            Ok(())
        })
    }

    /// The session with this hash of its id.
    pub fn session(&self, id_sha256: &[u8; 32]) -> Result<Option<Session>, StoreError> {
        self.view(|view| {
            let row = view.transaction.open_table(SESSIONS)?.get(id_sha256)?;
            row.map(|row| Ok(session_from_row(*id_sha256, SessionRow::decode(row.value())?))).transpose()
        })
    }

    /// The sessions of a user.
    pub fn sessions_of(&self, user: &str) -> Result<Vec<Session>, StoreError> {
        self.view(|view| {
            let mut sessions = Vec::new();
            for entry in view.transaction.open_table(SESSIONS)?.iter()? {
                let (id, row) = entry?;
                let row = SessionRow::decode(row.value())?;
                if row.user == user {
                    sessions.push(session_from_row(*id.value(), row));
                }
            }
            Ok(sessions)
        })
    }

    /// Takes a session away. Says whether there was one.
    pub fn delete_session(&self, id_sha256: &[u8; 32]) -> Result<bool, StoreError> {
        self.write(|transaction| Ok(transaction.open_table(SESSIONS)?.remove(id_sha256)?.is_some()))
    }
}

/// Takes away the sessions that have expired. Says how many.
pub(crate) fn trim_sessions(transaction: &WriteTransaction, now: Wall) -> Result<usize, StoreError> {
    let mut sessions = transaction.open_table(SESSIONS)?;
    let mut expired = Vec::new();
    for entry in sessions.iter()? {
        let (id, row) = entry?;
        if SessionRow::decode(row.value())?.expires_at <= now.0 {
            expired.push(*id.value());
        }
    }
    for id in &expired {
        sessions.remove(id)?;
    }
    Ok(expired.len())
}

fn token(view: &View, id: &str) -> Result<Option<Token>, StoreError> {
    let row = view.transaction.open_table(TOKENS)?.get(id)?;
    row.map(|row| Ok(token_from_row(TokenRow::decode(row.value())?))).transpose()
}

fn tokens_of(transaction: &WriteTransaction, user: &str) -> Result<Vec<String>, StoreError> {
    let mut ids = Vec::new();
    for entry in transaction.open_table(TOKENS)?.iter()? {
        let token = token_from_row(TokenRow::decode(entry?.1.value())?);
        if token.kind == TokenKind::User && token.holder == user {
            ids.push(token.id);
        }
    }
    Ok(ids)
}

fn remove_token(transaction: &WriteTransaction, id: &str) -> Result<bool, StoreError> {
    let mut tokens = transaction.open_table(TOKENS)?;
    let Some(old) = tokens.remove(id)? else { return Ok(false) };
    let secret = TokenRow::decode(old.value())?.secret_sha256;
    transaction.open_table(TOKENS_BY_SECRET)?.remove(&secret)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
