//! Bearer tokens: JSON Web Tokens (RFC 7519), HS256, with issuer, expiry and an opaque subject.
//!
//! This service alone issues and checks them, so a symmetric key that never leaves its database is enough.

use std::{fmt, time::Duration};

use chassis::{Database, Traced};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use rand::RngCore;
use serde::{Deserialize, Serialize};

use crate::AuthError;

const ISSUER: &str = "waybill/auth";
/// No token of ours is longer.
const LONGEST: usize = 2048;

/// Why a token does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Expired,
    Forged,
    Malformed,
}

/// Issues and checks tokens.
pub(crate) struct Tokens {
    sign: EncodingKey,
    check: DecodingKey,
    validation: Validation,
    key_id: String,
    ttl: Duration,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    iat: i64,
    exp: i64,
    jti: String,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Expired => "token-expired",
            Self::Forged => "token-forged",
            Self::Malformed => "token-malformed",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the token has expired",
            Self::Forged => "the token was not signed by us",
            Self::Malformed => "the token is malformed",
        })
    }
}

// === impl Tokens ===

impl Tokens {
    /// Reads the key, or makes it at the first start.
    pub(crate) async fn load(database: &Database, ttl: Duration) -> Result<Self, sqlx::Error> {
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        // Processes that start together must agree on one key.
        let mut tx = database.begin_for("signing key").await?;
        let known: Option<(String, String)> =
            sqlx::query_as("SELECT key_id, secret FROM signing_keys ORDER BY created_ms DESC LIMIT 1")
                .fetch_optional(&mut *tx)
                .traced("SELECT signing_keys")
                .await?;
        let (key_id, secret) = match known {
            Some(known) => known,
            None => {
                let key_id = uuid::Uuid::new_v4().simple().to_string();
                sqlx::query("INSERT INTO signing_keys (key_id, secret, created_ms) VALUES ($1, $2, $3)")
                    .bind(&key_id)
                    .bind(&secret)
                    .bind(time::OffsetDateTime::now_utc().unix_timestamp() * 1000)
                    .execute(&mut *tx)
                    .traced("INSERT signing_keys")
                    .await?;
                tx.commit().await?;
                (key_id, secret)
            }
        };
        Ok(Self::new(key_id, &secret, ttl))
    }

    fn new(key_id: String, secret: &str, ttl: Duration) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        Self {
            sign: EncodingKey::from_secret(secret.as_bytes()),
            check: DecodingKey::from_secret(secret.as_bytes()),
            validation,
            key_id,
            ttl,
        }
    }

    /// A token for the user, and the seconds until it expires.
    pub(crate) fn issue(&self, user_id: &str) -> Result<(String, i64), AuthError> {
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let ttl = i64::try_from(self.ttl.as_secs()).unwrap_or(i64::MAX).max(1);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: user_id.to_owned(),
            iat: now,
            exp: now.saturating_add(ttl),
            jti: uuid::Uuid::new_v4().simple().to_string(),
        };
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims, &self.sign).map_err(AuthError::Signing)?;
        Ok((token, ttl))
    }

    /// The user whose token it is.
    pub(crate) fn verify(&self, token: &str) -> Result<String, Refusal> {
        if token.len() > LONGEST {
            return Err(Refusal::Malformed);
        }
        let data = jsonwebtoken::decode::<Claims>(token, &self.check, &self.validation);
        data.map(|data| data.claims.sub).map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => Refusal::Expired,
            // Another algorithm (`none` included), another issuer, another key: none of it is ours.
            ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm | ErrorKind::InvalidIssuer => {
                Refusal::Forged
            }
            _ => Refusal::Malformed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(secret: &str) -> Tokens {
        Tokens::new("k".to_owned(), secret, Duration::from_secs(60))
    }

    #[test]
    fn a_token_holds_for_its_issuer_and_no_other() {
        let (token, ttl) = tokens("a").issue("u-1").unwrap();
        assert_eq!(ttl, 60);
        assert_eq!(tokens("a").verify(&token).unwrap(), "u-1");
        assert_eq!(tokens("b").verify(&token), Err(Refusal::Forged));
    }

    #[test]
    fn an_expired_token_is_refused_to_the_second() {
        let ours = tokens("a");
        let past = time::OffsetDateTime::now_utc().unix_timestamp() - 1;
        let claims =
            Claims { iss: ISSUER.into(), sub: "u-1".into(), iat: past - 60, exp: past, jti: String::new() };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &ours.sign).unwrap();
        assert_eq!(ours.verify(&token), Err(Refusal::Expired));
    }

    #[test]
    fn forged_and_malformed_tokens_are_told_apart() {
        let ours = tokens("a");
        let (token, _) = ours.issue("u-1").unwrap();
        let mut parts: Vec<&str> = token.split('.').collect();
        // {"alg":"none","typ":"JWT"}
        parts[0] = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        assert!(ours.verify(&parts.join(".")).is_err());
        let other = Header::new(Algorithm::HS384);
        let claims =
            Claims { iss: ISSUER.into(), sub: "u-1".into(), iat: 0, exp: i64::MAX / 2, jti: String::new() };
        let token = jsonwebtoken::encode(&other, &claims, &ours.sign).unwrap();
        assert_eq!(ours.verify(&token), Err(Refusal::Forged));
        for text in ["", "x", "a.b", "a.b.c", "....", &"x".repeat(5000)] {
            assert_eq!(ours.verify(text), Err(Refusal::Malformed), "{text}");
        }
    }
}
