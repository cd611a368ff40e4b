//! What can go wrong at the front door, and which problem document it becomes.

use chassis::{Error, Kind};

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrontError {
    /// A rule of the interface was broken.
    #[error("{0}")]
    Invalid(String),
    /// No token, or one that does not hold; the word of auth.
    #[error("{detail}")]
    SignIn { slug: &'static str, detail: String },
    #[error("this order is not yours")]
    NotYours,
    #[error("there is no restaurant {0}")]
    NoRestaurant(String),
    #[error("{restaurant} has no {sku}")]
    NoDish { restaurant: String, sku: String },
    #[error("there is no such cart; carts are kept for a day")]
    NoCart,
    #[error("there is no such order")]
    NoOrder,
    #[error("this cart has been ordered already")]
    CartOrdered { order_id: String },
    #[error("this Idempotency-Key was used for another request")]
    KeyReused { order_id: String },
    /// Decided before any money was asked for.
    #[error("{}", failed_text(.reason))]
    NotPlaced { order_id: String, reason: String },
    #[error("the card was declined: {code}")]
    Declined { order_id: String, code: String },
    #[error("too many event streams at once; try again or ask GET /orders/{{id}}")]
    TooManyStreams,
    /// A neighbour failed; made by chassis.
    #[error("{0}")]
    Neighbour(#[source] Error),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl From<FrontError> for Error {
    fn from(error: FrontError) -> Self {
        let text = error.to_string();
        match error {
            FrontError::Invalid(_) => Self::new(Kind::Invalid, text),
            FrontError::SignIn { slug, .. } => Self::new(Kind::Unauthenticated, text).typed(slug),
            FrontError::NotYours => Self::new(Kind::Forbidden, text),
            FrontError::NoRestaurant(_) => Self::not_found(text).typed("no-such-restaurant"),
            FrontError::NoDish { .. } => Self::not_found(text).typed("no-such-dish"),
            FrontError::NoCart => Self::not_found(text).typed("no-such-cart"),
            FrontError::NoOrder => Self::not_found(text).typed("no-such-order"),
            FrontError::CartOrdered { order_id } => {
                Self::conflict(text).typed("cart-ordered").with("order_id", order_id)
            }
            FrontError::KeyReused { order_id } => {
                Self::conflict(text).typed("idempotency-key-reused").with("order_id", order_id)
            }
            FrontError::NotPlaced { order_id, reason } => {
                let (kind, slug) = failed_kind(&reason);
                Self::new(kind, text).typed(slug).with("order_id", order_id)
            }
            FrontError::Declined { order_id, code } => {
                Self::new(Kind::Declined, text).with("order_id", order_id).with("decline_code", code)
            }
            FrontError::TooManyStreams => Self::new(Kind::Exhausted, text).typed("too-many-streams"),
            FrontError::Neighbour(error) => error,
            FrontError::Database(source) => source.into(),
        }
    }
}

/// Reasons for which an order fails before it is paid, with what they are to a caller.
const REASONS: [(&str, Kind, &str, &str); 6] = [
    ("closed", Kind::Conflict, "restaurant-closed", "the restaurant is closed"),
    ("kitchen_full", Kind::Conflict, "kitchen-full", "the kitchen has more orders than it can cook"),
    ("out_of_stock", Kind::Conflict, "out-of-stock", "a dish is sold out"),
    ("unknown_dish", Kind::Conflict, "out-of-stock", "a dish is no longer on the menu"),
    (
        "interrupted",
        Kind::Unavailable,
        "interrupted",
        "the order was interrupted before it was paid; order again",
    ),
    ("unavailable", Kind::Unavailable, "unavailable", "the restaurant could not be asked; order again"),
];

/// Whether ordering the same cart once more may go better at once: the fault was ours.
pub(crate) fn is_ours(reason: &str) -> bool {
    failed_kind(reason).0 == Kind::Unavailable
}

fn failed_kind(reason: &str) -> (Kind, &'static str) {
    let found = REASONS.iter().find(|r| r.0 == reason);
    found.map_or((Kind::Unavailable, "unavailable"), |r| (r.1, r.2))
}

fn failed_text(reason: &str) -> &'static str {
    REASONS.iter().find(|r| r.0 == reason).map_or("the order could not be placed", |r| r.3)
}
