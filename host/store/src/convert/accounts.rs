//! Users, tokens and sessions.

use stampmill_model::Wall;

use crate::accounts::{Session, Token, TokenKind, User};
use crate::rows::{SessionRow, TokenKindRow, TokenRow, UserRow};

pub(crate) fn user_to_row(user: &User) -> UserRow {
    UserRow {
        name: user.name.clone(),
        password_hash: user.password_hash.clone(),
        role: user.role.clone(),
        created_at: user.created_at.0,
    }
}

pub(crate) fn user_from_row(row: UserRow) -> User {
    User { name: row.name, password_hash: row.password_hash, role: row.role, created_at: Wall(row.created_at) }
}

pub(crate) fn token_to_row(token: &Token) -> TokenRow {
    TokenRow {
        id: token.id.clone(),
        name: token.name.clone(),
        secret_sha256: token.secret_sha256,
        kind: match token.kind {
            TokenKind::User => TokenKindRow::User,
            TokenKind::Worker => TokenKindRow::Worker,
        },
        holder: token.holder.clone(),
        role: token.role.clone(),
        created_at: token.created_at.0,
        expires_at: token.expires_at.map(|at| at.0),
    }
}

pub(crate) fn token_from_row(row: TokenRow) -> Token {
    Token {
        id: row.id,
        name: row.name,
        secret_sha256: row.secret_sha256,
        kind: match row.kind {
            TokenKindRow::User => TokenKind::User,
            TokenKindRow::Worker => TokenKind::Worker,
        },
        holder: row.holder,
        role: row.role,
        created_at: Wall(row.created_at),
        expires_at: row.expires_at.map(Wall),
    }
}

pub(crate) fn session_to_row(session: &Session) -> SessionRow {
    SessionRow {
        user: session.user.clone(),
        csrf_token: session.csrf_token.clone(),
        created_at: session.created_at.0,
        expires_at: session.expires_at.0,
    }
}

pub(crate) fn session_from_row(id_sha256: [u8; 32], row: SessionRow) -> Session {
    Session {
        id_sha256,
        user: row.user,
        csrf_token: row.csrf_token,
        created_at: Wall(row.created_at),
        expires_at: Wall(row.expires_at),
    }
}
