//! What a span can be searched by, as 64-bit hashes. A hash only nominates: every hit is checked on the decoded span.

use twox_hash::XxHash3_64;

/// A searchable fact about a span.
pub(crate) type Term = u64;

const SERVICE: u64 = 0x5e21_76ce_0000_0001;
const OPERATION: u64 = 0x0de7_a710_0000_0002;
const SCOPE_NAME: u64 = 0x5c0b_e000_0000_0003;
const SCOPE_VERSION: u64 = 0x5c0b_e000_0000_0004;

/// The span's status is ERROR.
pub(crate) const ERROR: Term = 0xe770_77e7_707e_0001;
/// The span's status is OK.
pub(crate) const OK: Term = 0x0c0c_0c0c_0c0c_0002;

/// `service.name`.
pub(crate) fn service(name: &str) -> Term {
    XxHash3_64::oneshot_with_seed(SERVICE, name.as_bytes())
}

/// A span name of any service.
pub(crate) fn operation(name: &str) -> Term {
    XxHash3_64::oneshot_with_seed(OPERATION, name.as_bytes())
}

/// A span name of one service.
pub(crate) fn service_operation(service: Term, name: &str) -> Term {
    XxHash3_64::oneshot_with_seed(service, name.as_bytes())
}

/// Status ERROR in one service. Kept apart because "errors of this service" is what people ask for most, and in a
/// store where every trace crosses every service the two terms apart would nominate eight times too many.
pub(crate) fn service_error(service: Term) -> Term {
    service.rotate_left(29) ^ ERROR
}

/// An attribute, of the span, its resource, its scope, an event or a link.
#[inline]
pub(crate) fn tag(key: &str, value: &str) -> Term {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(key.as_bytes()), value.as_bytes())
}

/// The instrumentation scope's name.
pub(crate) fn scope_name(name: &str) -> Term {
    XxHash3_64::oneshot_with_seed(SCOPE_NAME, name.as_bytes())
}

/// The instrumentation scope's version.
pub(crate) fn scope_version(version: &str) -> Term {
    XxHash3_64::oneshot_with_seed(SCOPE_VERSION, version.as_bytes())
}

/// `SpanKind`, 0 for unspecified.
pub(crate) fn kind(kind: i32) -> Term {
    0x0061_6e64_0000_0000 ^ u64::from(kind.cast_unsigned())
}
