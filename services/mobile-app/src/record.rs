//! What `GET /book` says of an order at the front door.

use chassis::{Book, book::Says};

/// An order of which no customer's token has been verified is nobody's, and not in the book.
pub(crate) const BOOK: Book = Book {
    rows: "SELECT o.order_id, o.stage AS state, o.reason, o.claimed_ms AS began_ms, o.updated_ms AS at_ms, \
           c.amount_minor, c.currency, c.traceparent \
           FROM orders o JOIN carts c ON c.order_id = o.order_id WHERE o.customer_id <> ''",
    says: |state| match state {
        "placed" => Says::Done,
        "declined" | "failed" => Says::Ended,
        _ => Says::Begun,
    },
};
