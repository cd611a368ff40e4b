//! JSON bodies of the HTTP calls between our services (steps 3 and 4).

use serde::{Deserialize, Serialize};

/// `GET /restaurants/{id}/availability?items=sku:2,sku:1`: can this be cooked now?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Availability {
    /// Catalogue id.
    pub restaurant_id: String,
    /// Everything asked for can be had now.
    pub available: bool,
    /// Why not: `closed`, `kitchen_full` or `out_of_stock`; absent when available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Skus that are out of stock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Orders being cooked now.
    pub kitchen_load: u32,
}

/// Body of `POST /payments`, beside the header `Idempotency-Key: <order id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRequest {
    /// Public order id.
    pub order_id: String,
    /// Minor units of `currency`, above zero.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// The card network's token for the customer's card, such as `tok_visa`; never a card number.
    pub card_token: String,
}

/// A payment as the ledger has it. 201 when charged, 402 when declined, 202 while the card network has not answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Ledger id, used for refunds.
    pub payment_id: String,
    /// Public order id.
    pub order_id: String,
    /// What the customer finds on the statement: `payment.reference`.
    pub reference: String,
    /// The card network's own reference: `partner.reference`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_reference: Option<String>,
    /// Where the money is.
    pub status: PaymentStatus,
    /// Minor units of `currency`.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// Where the money of a payment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Asked for, no answer from the card network yet: ask again with the same key.
    Pending,
    /// With us.
    Charged,
    /// Refused by the card network; nothing was charged.
    Declined,
    /// A refund is under way.
    Refunding,
    /// Back with the customer.
    Refunded,
}

/// Body of `POST /payments/{id}/refunds`; idempotent by payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequest {
    /// Low-cardinality reason, such as `courier_timeout`.
    pub reason: String,
}
