//! Password hashes: Argon2id with OWASP's minimum (19 MiB, 2 passes, 1 lane; Password Storage Cheat Sheet).
//!
//! A hash takes 19 MiB and a core for its time, so only a few run at once, off the async threads.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version,
    password_hash::{SaltString, rand_core::OsRng},
};
use tokio::sync::{OnceCell, Semaphore};

use crate::AuthError;

/// Sign-ins that wait for their turn at most; more are told to come back.
const QUEUE: usize = 256;

/// Hashes and checks passwords.
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// Checked when there is no account, so that a wrong name takes as long as a wrong password.
    nobody: OnceCell<String>,
}

// === impl Passwords ===

impl Passwords {
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(at_once)),
            queue: Arc::new(Semaphore::new(at_once + QUEUE)),
            nobody: OnceCell::new(),
        }
    }

    /// A PHC string with a fresh salt.
    pub(crate) async fn hash(&self, password: String) -> Result<String, AuthError> {
        self.work(move || {
            let salt = SaltString::generate(&mut OsRng);
            let hash = argon2()?.hash_password(password.as_bytes(), &salt);
            hash.map(|h| h.to_string()).map_err(|e| AuthError::Hash(e.to_string()))
        })
        .await
    }

    /// Whether the password belongs to the hash; never when there is none.
    pub(crate) async fn matches(&self, password: String, hash: Option<String>) -> Result<bool, AuthError> {
        let exists = hash.is_some();
        let hash = match hash {
            Some(hash) => hash,
            None => self.nobody.get_or_try_init(|| self.hash("nobody's password".to_owned())).await?.clone(),
        };
        let matches = self
            .work(move || {
                let hash = PasswordHash::new(&hash).map_err(|e| AuthError::Hash(e.to_string()))?;
                Ok(argon2()?.verify_password(password.as_bytes(), &hash).is_ok())
            })
            .await?;
        Ok(matches && exists)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AuthError> + Send + 'static,
    ) -> Result<T, AuthError> {
        let Ok(_place) = self.queue.clone().try_acquire_owned() else { return Err(AuthError::Busy) };
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| AuthError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            // Held here and not outside: a caller who gives up does not stop the thread.
            let _turn = turn;
            work()
        });
        done.await.map_err(|e| AuthError::Hash(e.to_string()))?
    }
}

fn argon2() -> Result<Argon2<'static>, AuthError> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|e| AuthError::Hash(e.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::new(2);
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.matches("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.matches("battery staple".to_owned(), Some(hash)).await.unwrap());
        assert!(!passwords.matches("nobody's password".to_owned(), None).await.unwrap());
    }
}
