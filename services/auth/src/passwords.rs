//! Password hashes: Argon2id with OWASP's minimum (19 MiB, 2 passes, 1 lane; Password Storage Cheat Sheet).
//!
//! A hash takes 19 MiB and a core for its time, so only a few run at once, off the async threads. Each turn's memory is kept
//! for the next: given back and taken again, it would stay with the allocator several times over.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::{Output, ParamsString, Salt, SaltString, rand_core::OsRng},
};
use tokio::sync::{OnceCell, Semaphore};

use crate::AuthError;

/// Sign-ins that wait for their turn at most; more are told to come back.
const QUEUE: usize = 256;

/// Hashes and checks passwords.
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// As many as there are turns.
    memories: Arc<Mutex<Vec<Memory>>>,
    /// Checked when there is no account, so that a wrong name takes as long as a wrong password.
    nobody: OnceCell<String>,
}

type Memory = Vec<Block>;

// === impl Passwords ===

impl Passwords {
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(at_once)),
            queue: Arc::new(Semaphore::new(at_once + QUEUE)),
            memories: Arc::default(),
            nobody: OnceCell::new(),
        }
    }

    /// A PHC string with a fresh salt.
    pub(crate) async fn hash(&self, password: String) -> Result<String, AuthError> {
        self.work(move |memory| {
            let salt = SaltString::generate(&mut OsRng);
            let params = params()?;
            let output = derive(&password, salt.as_salt(), &params, memory)?;
            let hash = PasswordHash {
                algorithm: Algorithm::Argon2id.ident(),
                version: Some(Version::V0x13.into()),
                params: ParamsString::try_from(&params).map_err(failed)?,
                salt: Some(salt.as_salt()),
                hash: Some(output),
            };
            Ok(hash.to_string())
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
            .work(move |memory| {
                let hash = PasswordHash::new(&hash).map_err(failed)?;
                let params = Params::try_from(&hash).map_err(failed)?;
                let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else {
                    return Err(AuthError::Hash("the stored hash has no salt or no output".to_owned()));
                };
                // `Output` compares in constant time.
                Ok(derive(&password, salt, &params, memory)? == expected)
            })
            .await?;
        Ok(matches && exists)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> Result<T, AuthError> + Send + 'static,
    ) -> Result<T, AuthError> {
        let Ok(_place) = self.queue.clone().try_acquire_owned() else { return Err(AuthError::Busy) };
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| AuthError::Busy)?;
        let memories = self.memories.clone();
        let done = tokio::task::spawn_blocking(move || {
            // Held here and not outside: a caller who gives up does not stop the thread.
            let _turn = turn;
            let mut memory = lock(&memories).pop().unwrap_or_default();
            let out = work(&mut memory);
            lock(&memories).push(memory);
            out
        });
        done.await.map_err(failed)?
    }
}

fn params() -> Result<Params, AuthError> {
    Params::new(19 * 1024, 2, 1, None).map_err(failed)
}

fn derive(password: &str, salt: Salt<'_>, params: &Params, memory: &mut Memory) -> Result<Output, AuthError> {
    let mut bytes = [0; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut bytes).map_err(failed)?;
    memory.resize(params.block_count(), Block::default());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    Output::init_with(length, |out| {
        Ok(argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, memory)?)
    })
    .map_err(failed)
}

fn lock(memories: &Mutex<Vec<Memory>>) -> std::sync::MutexGuard<'_, Vec<Memory>> {
    memories.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(e: impl std::fmt::Display) -> AuthError {
    AuthError::Hash(e.to_string())
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier;

    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::new(2);
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.matches("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        // What any other Argon2 reads and writes.
        let theirs = PasswordHash::new(&hash).unwrap();
        assert!(Argon2::default().verify_password(b"correct horse", &theirs).is_ok());
        assert!(!passwords.matches("battery staple".to_owned(), Some(hash)).await.unwrap());
        assert!(!passwords.matches("nobody's password".to_owned(), None).await.unwrap());
    }
}
