//! Passwords: argon2id (RFC 9106) in PHC string format.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};

use crate::limits::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};

/// A password that is long enough and not too long. It is never shown: not even by `Debug`.
pub struct Password(String);

impl Password {
    /// Takes a new password, if it is fit for one.
    pub fn parse(text: String) -> Result<Self, PasswordError> {
        if text.chars().count() < PASSWORD_CHARS_MIN {
            return Err(PasswordError::TooShort);
        }
        if text.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        Ok(Self(text))
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a password can't be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordError {
    /// Guessable.
    #[error("the password is shorter than {PASSWORD_CHARS_MIN} characters; take a longer one")]
    TooShort,
    /// A burden.
    #[error("the password is longer than {PASSWORD_BYTES_MAX} bytes; take a shorter one")]
    TooLong,
    /// The kernel gave no random numbers, or the hasher failed.
    #[error("the password can't be hashed")]
    Broken,
}

/// The text to store for a password: salted and hashed. Takes some 20 ms of a core and 19 MiB.
pub fn hash(password: &Password) -> Result<String, PasswordError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|_| PasswordError::Broken)?;
    let salt = SaltString::encode_b64(&bytes).map_err(|_| PasswordError::Broken)?;
    let hash = Argon2::default().hash_password(password.0.as_bytes(), &salt).map_err(|_| PasswordError::Broken)?;
    Ok(hash.to_string())
}

/// Whether a password is the one that was hashed. Without a hash (no such user) it takes as long and says no, so that the time does not tell
/// which users there are.
#[must_use]
pub fn verify(password: &str, hash: Option<&str>) -> bool {
    if password.len() > PASSWORD_BYTES_MAX {
        return false;
    }
    let known = hash.is_some();
    let Ok(parsed) = PasswordHash::new(hash.unwrap_or(NOBODY)) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok() && known
}

/// A hash with the default parameters that belongs to nobody.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c3RhbXBtaWxsLW5vYm9keQ$y0Yhh5IfLkVVdkFmKzp3wX4BQ1J1c1Y2ZbKvRWXvW0s";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_verifies_against_its_own_hash_only() {
        let password = Password::parse("correct horse".into()).unwrap();
        let stored = hash(&password).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify("correct horse", Some(&stored)));
        assert!(!verify("correct horsf", Some(&stored)));
        assert!(!verify("", Some(&stored)));
        assert!(!verify("correct horse", Some("not a hash")));
    }

    #[test]
    fn one_password_hashes_differently_each_time() {
        let password = Password::parse("correct horse".into()).unwrap();
        assert_ne!(hash(&password).unwrap(), hash(&password).unwrap());
    }

    #[test]
    fn nobody_has_no_password_and_the_hash_of_nobody_is_well_formed() {
        assert!(PasswordHash::new(NOBODY).is_ok());
        assert!(!verify("stampmill-nobody", None));
    }

    #[test]
    fn short_and_huge_passwords_are_refused() {
        assert_eq!(Password::parse("seven77".into()).unwrap_err(), PasswordError::TooShort);
        assert_eq!(Password::parse("x".repeat(1025)).unwrap_err(), PasswordError::TooLong);
        assert!(!format!("{:?}", Password::parse("correct horse".into())).contains("horse"));
    }
}
