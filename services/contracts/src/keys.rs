//! Our own attribute and baggage keys, once. Everything else is a name of the semantic conventions.
//!
//! Values are strings or numbers, never arrays: Jaeger's tag search cannot find those.

/// Public id of an order, on every span from the cart on. Also a baggage key.
pub const ORDER_ID: &str = "order.id";
/// Id of the cart the order came from.
pub const CART_ID: &str = "cart.id";
/// Name of the route's step that a span stands for, such as `delivery-assignment`.
pub const ORDER_STEP: &str = "order.step";
/// The step's own deadline in milliseconds (int), on receipts.
pub const ORDER_STEP_DEADLINE_MS: &str = "order.step.deadline_ms";
/// What the customer pays, in minor units of `order.currency` (int): 20000 is $200.00.
pub const ORDER_AMOUNT: &str = "order.amount";
/// ISO 4217 code of `order.amount`.
pub const ORDER_CURRENCY: &str = "order.currency";
/// Catalogue id of the restaurant.
pub const RESTAURANT_ID: &str = "restaurant.id";
/// Delivery zone in which a courier is looked for.
pub const COURIER_ZONE: &str = "courier.zone";
/// Our own reference of a payment, as the customer sees it.
pub const PAYMENT_REFERENCE: &str = "payment.reference";
/// A third party's own reference (charge, ticket, assignment, push).
pub const PARTNER_REFERENCE: &str = "partner.reference";
/// Baggage key that marks synthetic traffic; its value becomes `user_agent.synthetic.type`.
pub const SYNTHETIC: &str = "synthetic";

/// The baggage keys that travel between our services. All others are dropped at the front door.
pub const BAGGAGE: [&str; 2] = [ORDER_ID, SYNTHETIC];
