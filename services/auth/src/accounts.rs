//! Accounts: who there is, by a name that only this service knows and an opaque id that everyone may.

use chassis::{Database, Traced};

use crate::AuthError;

/// An account as it is looked up for a sign-in.
pub(crate) struct Account {
    pub(crate) user_id: String,
    pub(crate) password_hash: String,
}

/// The accounts in the database.
pub(crate) struct Accounts {
    database: Database,
}

// === impl Accounts ===

impl Accounts {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The account of a folded name.
    pub(crate) async fn find(&self, name_key: &str) -> Result<Option<Account>, AuthError> {
        let row: Option<(String, String)> =
            sqlx::query_as("SELECT user_id, password_hash FROM accounts WHERE name_key = $1")
                .bind(name_key)
                .fetch_optional(self.database.read())
                .traced("SELECT accounts")
                .await?;
        Ok(row.map(|(user_id, password_hash)| Account { user_id, password_hash }))
    }

    /// Creates an account and returns its opaque id.
    pub(crate) async fn create(&self, name: &str, password_hash: &str) -> Result<String, AuthError> {
        let user_id = format!("u-{}", uuid::Uuid::new_v4().simple());
        let now = time::OffsetDateTime::now_utc().unix_timestamp() * 1000;
        let mut tx = self.database.begin().await?;
        let made = sqlx::query(
            "INSERT INTO accounts (user_id, name, name_key, password_hash, created_ms) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (name_key) DO NOTHING",
        )
        .bind(&user_id)
        .bind(name.trim())
        .bind(key_of(name))
        .bind(password_hash)
        .bind(now)
        .execute(&mut *tx)
        .traced("INSERT accounts")
        .await?;
        if made.rows_affected() == 0 {
            return Err(AuthError::NameTaken);
        }
        tx.commit().await?;
        Ok(user_id)
    }
}

/// What makes two names the same.
pub(crate) fn key_of(name: &str) -> String {
    name.trim().chars().take(64).flat_map(char::to_lowercase).collect()
}

/// The rules for a new account.
pub(crate) fn check(name: &str, password: &str) -> Result<(), AuthError> {
    let name = name.trim();
    let allowed = |c: char| c.is_alphanumeric() || "._-@+ ".contains(c);
    if !(3..=64).contains(&name.chars().count()) || !name.chars().all(allowed) {
        return Err(AuthError::Invalid("name: 3 to 64 letters, digits, blanks or ._-@+"));
    }
    // Long enough to resist guessing, short enough that hashing it is no attack (NIST SP 800-63B, 5.1.1.2).
    if !(8..=128).contains(&password.chars().count()) {
        return Err(AuthError::Invalid("password: 8 to 128 characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_have_bounds() {
        assert!(check("Ada Lovelace", "correct horse").is_ok());
        for (name, password) in [("ab", "12345678"), ("a\nbc", "12345678"), ("ada", "1234567"), ("", "")] {
            assert!(check(name, password).is_err(), "{name:?}");
        }
        assert!(check("ada", &"x".repeat(129)).is_err());
    }

    #[test]
    fn case_and_surrounding_blanks_do_not_make_another_name() {
        assert_eq!(key_of(" Ada "), key_of("aDA"));
    }
}
