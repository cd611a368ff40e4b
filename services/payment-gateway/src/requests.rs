//! What a request must look like before the ledger hears of it.

use contracts::http::PaymentRequest;

use crate::PaymentError;

/// Ten million in major units: more than any dinner.
const LARGEST_AMOUNT: i64 = 1_000_000_000;

/// Checks a request and that its idempotency key is its order.
pub(crate) fn check(request: &PaymentRequest, key: Option<&str>) -> Result<(), PaymentError> {
    let invalid = |text| Err(PaymentError::Invalid(text));
    match key {
        None => return invalid("send the order's id in the header Idempotency-Key"),
        Some(key) if key != request.order_id => return invalid("Idempotency-Key must be the order_id"),
        Some(_) => {}
    }
    if !(1..=64).contains(&request.order_id.len()) {
        return invalid("order_id: 1 to 64 characters");
    }
    if !(1..=LARGEST_AMOUNT).contains(&request.amount_minor) {
        return invalid("amount_minor: 1 to 1000000000");
    }
    if request.currency.len() != 3 || !request.currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return invalid("currency: three capital letters of ISO 4217");
    }
    let token = &request.card_token;
    // Thirteen digits or more are a card number: those have no business here (PCI DSS, requirement 3).
    let digits = token.bytes().filter(u8::is_ascii_digit).count();
    if !(1..=64).contains(&token.len()) || !token.is_ascii() || (digits >= 13 && digits * 2 > token.len()) {
        return invalid("card_token: the card network's token, 1 to 64 characters, never a card number");
    }
    Ok(())
}

/// A refund's reason as a word of low cardinality. It often comes from a third party, and money must not stay with us
/// because of a word: what does not fit is made to fit.
pub(crate) fn word(reason: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' };
    let word: String = reason.trim().chars().take(64).map(fit).collect();
    if word.is_empty() { "unspecified".to_owned() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(amount_minor: i64, currency: &str, card_token: &str) -> PaymentRequest {
        PaymentRequest {
            order_id: "A".into(),
            amount_minor,
            currency: currency.into(),
            card_token: card_token.into(),
        }
    }

    #[test]
    fn only_whole_requests_pass() {
        assert!(check(&request(1, "USD", "tok_visa"), Some("A")).is_ok());
        assert!(check(&request(1, "USD", "tok_visa"), Some("B")).is_err());
        assert!(check(&request(1, "USD", "tok_visa"), None).is_err());
        assert!(check(&request(0, "USD", "tok_visa"), Some("A")).is_err());
        assert!(check(&request(1, "usd", "tok_visa"), Some("A")).is_err());
        assert!(check(&request(1, "USD", ""), Some("A")).is_err());
        assert!(check(&request(1, "USD", "4111 1111 1111 1111"), Some("A")).is_err());
    }

    #[test]
    fn any_reason_becomes_a_word() {
        assert_eq!(word("courier_timeout"), "courier_timeout");
        assert_eq!(word(" Out of mozzarella! "), "out_of_mozzarella_");
        assert_eq!(word(""), "unspecified");
        assert_eq!(word(&"x".repeat(1000)).len(), 64);
    }
}
