//! The outside world: card network, restaurant POS, courier fleet and push provider, well-behaved or not.
