//! Step 2: accounts, passwords and signed bearer tokens.
//!
//! gRPC `auth.v1.Auth`:
//!
//! | method | does | fails with |
//! |--|--|--|
//! | `Register` | creates an account | `INVALID_ARGUMENT`, `ALREADY_EXISTS` |
//! | `Login` | name and password for a token | `UNAUTHENTICATED`, the same for a wrong name and a wrong password; `RESOURCE_EXHAUSTED` after too many failures |
//! | `Verify` | checks a token | `UNAUTHENTICATED`: expired, forged or malformed |
//!
//! Names and passwords are on no span and in no log.

mod accounts;
mod attempts;
mod passwords;
mod tokens;

use std::sync::Arc;

use chassis::{App, Database, Kind, Service, Start};
use contracts::auth_v1::{
    LoginReply, LoginRequest, RegisterReply, RegisterRequest, VerifyReply, VerifyRequest,
    auth_server::{Auth, AuthServer},
};
use tokio::sync::OnceCell;
use tonic::{Request, Response, Status};

use accounts::Accounts;
use attempts::Attempts;
use passwords::Passwords;
use tokens::{Refusal, Tokens};

/// The service.
pub const SERVICE: Service =
    Service { name: "auth", version: env!("CARGO_PKG_VERSION"), default_port: 8081, app };

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum AuthError {
    #[error("{0}")]
    Invalid(&'static str),
    #[error("this name is taken")]
    NameTaken,
    #[error("name and password do not match")]
    WrongCredentials,
    #[error("too many failed attempts; try again later")]
    TooManyFailures,
    #[error("{0}")]
    Token(Refusal),
    #[error("too many sign-ins at once; try again")]
    Busy,
    #[error("the password could not be hashed")]
    Hash(String),
    #[error("the token could not be signed")]
    Signing(#[source] jsonwebtoken::errors::Error),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl From<AuthError> for chassis::Error {
    fn from(error: AuthError) -> Self {
        let text = error.to_string();
        match error {
            AuthError::Invalid(_) => Self::new(Kind::Invalid, text),
            AuthError::NameTaken => Self::new(Kind::Exists, text).typed("name-taken"),
            AuthError::WrongCredentials => Self::new(Kind::Unauthenticated, text).typed("wrong-credentials"),
            AuthError::TooManyFailures => Self::new(Kind::Exhausted, text).typed("too-many-failures"),
            AuthError::Token(refusal) => Self::new(Kind::Unauthenticated, text).typed(refusal.slug()),
            AuthError::Busy => Self::new(Kind::Unavailable, text),
            AuthError::Database(source) => source.into(),
            AuthError::Hash(source) => Self::internal(source),
            AuthError::Signing(source) => Self::internal(source),
        }
    }
}

impl From<AuthError> for Status {
    fn from(error: AuthError) -> Self {
        chassis::Error::from(error).into()
    }
}

/// Builds the service. Settings: `WAYBILL_TOKEN_TTL` (default `1h`), `WAYBILL_PASSWORD_HASHES` at once (default 1),
/// `WAYBILL_LOGIN_FAILURES` before a name has to wait (default 10).
fn app(start: &Start) -> App {
    let keys = Arc::new(OnceCell::new());
    let ttl = start.settings.duration("WAYBILL_TOKEN_TTL", "1h");
    let desk = Desk {
        accounts: Accounts::new(start.database.clone()),
        passwords: Passwords::new(start.settings.number("WAYBILL_PASSWORD_HASHES", 1, 1..=64)),
        attempts: Arc::new(Attempts::new(start.settings.number("WAYBILL_LOGIN_FAILURES", 10, 1..=10_000))),
        tokens: keys.clone(),
    };
    let database: Database = start.database.clone();
    App::new()
        .migrations(&MIGRATIONS)
        .first(async move || {
            let tokens = Tokens::load(&database, ttl).await.map_err(AuthError::from)?;
            drop(keys.set(tokens));
            Ok(())
        })
        .grpc(AuthServer::new(desk))
        .descriptors(contracts::DESCRIPTORS)
}

struct Desk {
    accounts: Accounts,
    passwords: Passwords,
    attempts: Arc<Attempts>,
    tokens: Arc<OnceCell<Tokens>>,
}

impl Desk {
    /// There before the port is open.
    fn tokens(&self) -> Result<&Tokens, AuthError> {
        self.tokens.get().ok_or(AuthError::Busy)
    }

    async fn sign_in(&self, request: LoginRequest) -> Result<LoginReply, AuthError> {
        let name = accounts::key_of(&request.name);
        // Counted by the name that was typed, whether there is such an account or not.
        if !self.attempts.may_try(&name) {
            return Err(AuthError::TooManyFailures);
        }
        let account = self.accounts.find(&name).await?;
        let hash = account.as_ref().map(|a| a.password_hash.clone());
        let matches = self.passwords.matches(request.password, hash).await?;
        match account {
            Some(account) if matches => {
                self.attempts.succeeded(&name);
                let (token, expires_in_s) = self.tokens()?.issue(&account.user_id)?;
                telemetry::context::set_attribute("user.id", account.user_id.clone());
                Ok(LoginReply { token, user_id: account.user_id, expires_in_s })
            }
            _ => {
                self.attempts.failed(&name);
                Err(AuthError::WrongCredentials)
            }
        }
    }
}

#[tonic::async_trait]
impl Auth for Desk {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterReply>, Status> {
        let RegisterRequest { name, password } = request.into_inner();
        accounts::check(&name, &password)?;
        let hash = self.passwords.hash(password).await?;
        let user_id = self.accounts.create(&name, &hash).await?;
        telemetry::context::set_attribute("user.id", user_id.clone());
        Ok(Response::new(RegisterReply { user_id }))
    }

    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginReply>, Status> {
        Ok(Response::new(self.sign_in(request.into_inner()).await?))
    }

    async fn verify(&self, request: Request<VerifyRequest>) -> Result<Response<VerifyReply>, Status> {
        let user_id = self.tokens()?.verify(&request.into_inner().token).map_err(AuthError::Token)?;
        telemetry::context::set_attribute("user.id", user_id.clone());
        Ok(Response::new(VerifyReply { user_id }))
    }
}
