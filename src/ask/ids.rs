//! What people hold in their hands when they ask for an order: ids in every form in which customers, log lines, partners'
//! tickets and browsers show them. Pure: which of the readings is the right one, the trace store decides.

mod text;
mod tokens;

use contracts::{code, keys};

/// Longest text that is looked through for ids.
const LONGEST: usize = 64 * 1024;
/// Longest id that is taken as it stands.
const LONGEST_ANY: usize = 128;
/// Readings of one text; a page of log lines names too many things to be an id.
const MOST: usize = 12;
/// Groups of four symbols in the ids of carts, orders and payments.
const GROUPS: usize = 3;

/// One thing that a text may name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reading {
    pub(crate) form: Form,
    /// In the form in which spans bear it.
    pub(crate) value: String,
}

/// What kind of id it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// A trace id: 32 lower-case hex digits.
    Trace,
    /// An order's or a cart's id, as they are read over the phone.
    Code,
    /// `WB-…`, as a customer finds it on the statement.
    Payment,
    /// A partner's own reference, such as `ch_…`.
    Partner,
    /// Whatever it is, as it stands.
    Any,
}

/// Why a text names nothing that can be looked up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoId {
    /// Nothing in it looks like an id.
    #[error(
        "{0:?} holds no id: an order or cart id, a payment or partner reference, a trace id, a traceparent or a Jaeger link is wanted"
    )]
    Nothing(String),
    /// More than can be looked up.
    #[error("more than {MOST} ids are in that text; give one of them: {0}")]
    TooMany(String),
    /// More than is read.
    #[error("a text of {0} bytes is no id; at most {LONGEST} are read")]
    TooLong(usize),
}

// === impl Form ===

impl Form {
    /// Which of `ids`, the attributes that name what travels, are searched for it, the likeliest first.
    pub(crate) fn keys(self, ids: &[String]) -> Vec<&str> {
        let likely: &[&str] = match self {
            Self::Trace => return Vec::new(),
            Self::Code => &[keys::ORDER_ID, keys::CART_ID],
            Self::Payment => &[keys::PAYMENT_REFERENCE],
            Self::Partner => &[keys::PARTNER_REFERENCE],
            Self::Any => &[],
        };
        let mut keys: Vec<&str> = ids.iter().map(String::as_str).collect();
        // Stable: within the likely and within the others the route's own order holds.
        keys.sort_by_key(|key| !likely.contains(key));
        keys
    }

    /// What to call it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Code => "order or cart",
            Self::Payment => "payment",
            Self::Partner => "partner's reference",
            Self::Any => "id",
        }
    }
}

/// All that `text` may name, the likeliest first, each once.
///
/// # Errors
/// When it holds no id, or too many.
pub(crate) fn readings(text: &str) -> Result<Vec<Reading>, NoId> {
    if text.len() > LONGEST {
        return Err(NoId::TooLong(text.len()));
    }
    let text = plain(text);
    let bare = text.trim_matches(|c: char| c.is_whitespace() || "\"'`<>()[]{},;.!?".contains(c));
    let mut found = whole(bare);
    let alone = !found.is_empty();
    if !alone {
        found = text::readings(bare);
    }
    let short = (1..=LONGEST_ANY).contains(&bare.len())
        && !bare.contains(|c: char| c.is_whitespace() || c.is_control());
    if short && (alone || found.is_empty()) {
        found.push(Reading::any(bare));
    }
    let mut once: Vec<Reading> = Vec::new();
    for reading in found {
        if !once.contains(&reading) {
            once.push(reading);
        }
    }
    match once.len() {
        0 => Err(NoId::Nothing(text.chars().take(80).collect())),
        n if n > MOST => Err(NoId::TooMany(
            once.iter().take(MOST).map(|r| r.value.as_str()).collect::<Vec<_>>().join(", "),
        )),
        _ => Ok(once),
    }
}

// === impl Reading ===

impl Reading {
    /// The order's id, where it may be one: what books can be asked by without a look at any span.
    pub(crate) fn order(&self) -> Option<String> {
        (self.form == Form::Code).then(|| self.value.clone())
    }

    fn trace(hex: &str) -> Option<Self> {
        let hex = hex.to_ascii_lowercase();
        // An id of zeros only is no id (W3C trace context, 3.2.2.3).
        hex.bytes().any(|b| b != b'0').then(|| Self { form: Form::Trace, value: format!("{hex:0>32}") })
    }

    fn any(text: &str) -> Self {
        Self { form: Form::Any, value: text.to_owned() }
    }
}

/// What the text is when it is an id from its first to its last sign; forgiving, for there is nothing else in it.
fn whole(text: &str) -> Vec<Reading> {
    let mut found = Vec::new();
    if let Some(value) = code::parse(text, GROUPS) {
        found.push(Reading { form: Form::Code, value });
    }
    if let Some(value) = payment(text) {
        found.push(Reading { form: Form::Payment, value });
    }
    if tokens::partner(text) {
        found.push(Reading { form: Form::Partner, value: text.to_owned() });
    }
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    if (1..=32).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        found.extend(Reading::trace(hex));
    }
    if let Some(hex) = tokens::uuid(text) {
        found.extend(Reading::trace(&hex));
    }
    found
}

/// `WB-` and a code, however typed.
fn payment(text: &str) -> Option<String> {
    let rest = text.get(..2).filter(|p| p.eq_ignore_ascii_case("wb")).and_then(|_| text.get(2..))?;
    code::parse(rest, GROUPS).map(|code| format!("WB-{code}"))
}

/// Word processors and web pages write other hyphens and blanks.
fn plain(text: &str) -> String {
    let same = |c: char| match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => '-',
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => ' ',
        c => c,
    };
    text.chars().filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{ad}')).map(same).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const TRACE: &str = "aff07316eb4741a4bda026daf260ad0b";
    const CODE: &str = "7F3K-9QZD-XM42";

    fn first(text: &str) -> (Form, String) {
        let first = readings(text).unwrap().remove(0);
        (first.form, first.value)
    }

    #[test]
    fn an_order_id_is_read_however_it_was_typed() {
        for text in [
            CODE,
            "7f3k-9qzd-xm42",
            "7F3K9QZDXM42",
            " 7f3k 9qzd xm42 ",
            "\"7F3K-9QZD-XM42\",",
            "7F3K–9QZD—XM42",
        ] {
            assert_eq!(first(text), (Form::Code, CODE.to_owned()), "{text}");
        }
        assert_eq!(first("OIL0-1234-5678").1, "0110-1234-5678");
    }

    #[test]
    fn a_payment_reference_is_read_however_it_was_typed() {
        for text in ["WB-7F3K-9QZD-XM42", "wb7f3k9qzdxm42", "WB 7F3K 9QZD XM42", "Wb-7f3k9qzd-xm42"] {
            assert_eq!(first(text), (Form::Payment, format!("WB-{CODE}")), "{text}");
        }
    }

    #[test]
    fn a_partners_reference_keeps_its_case() {
        for text in ["ch_3f2a9c0b1d", "tk_0123456789abcdef0123", "as_A1b2C3d4E5", "pu_99887766aa"] {
            assert_eq!(first(text), (Form::Partner, text.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_trace_id_is_read_in_all_its_forms() {
        let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        for text in [
            TRACE.to_owned(),
            TRACE.to_uppercase(),
            format!("0x{TRACE}"),
            "aff07316-eb47-41a4-bda0-26daf260ad0b".to_owned(),
            "{AFF07316-EB47-41A4-BDA0-26DAF260AD0B}".to_owned(),
            traceparent.clone(),
            format!("traceparent: {traceparent}"),
            format!("trace;desc={traceparent}"),
            format!("Server-Timing: db;dur=53, trace;desc=\"{traceparent}\", total;dur=60.1"),
            format!("X-Trace-Id: {TRACE}"),
            format!("{TRACE}-00f067aa0ba902b7-1"),
            format!("http://127.0.0.1:16686/trace/{TRACE}"),
            format!("https://ops.example/jaeger/trace/{TRACE}?uiFind=7F3K-9QZD-XM42#span"),
            format!("http://127.0.0.1:16686/api/traces/{TRACE}?raw=true"),
            format!("http://127.0.0.1:16686/search?traceID={TRACE}"),
        ] {
            assert_eq!(first(&text), (Form::Trace, TRACE.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_trace_id_without_its_leading_zeros_is_filled_up() {
        assert_eq!(first("f0f000000000007"), (Form::Trace, format!("{:0>32}", "f0f000000000007")));
        assert_eq!(first("http://j/trace/f0f000000000007").1, format!("{:0>32}", "f0f000000000007"));
    }

    #[test]
    fn what_may_be_a_code_or_a_short_trace_id_is_both() {
        let both = readings("deadbeef1234").unwrap();
        assert_eq!(both[0], Reading { form: Form::Code, value: "DEAD-BEEF-1234".into() });
        assert_eq!(both[1], Reading { form: Form::Trace, value: format!("{:0>32}", "deadbeef1234") });
    }

    #[test]
    fn an_id_is_found_in_a_line_of_a_log() {
        let json = format!(
            r#"{{"timestamp":"2026-11-21T06:45:26.123456Z","level":"ERROR","service":"delivery-assignment","message":"no courier answered","trace_id":"{TRACE}","span_id":"00f067aa0ba902b7","order.id":"{CODE}"}}"#
        );
        let found = readings(&json).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].value.as_str(), found[1].value.as_str()), (TRACE, CODE));
        assert_eq!(first("payment declined for WB-7F3K-9QZD-XM42 (card)").1, format!("WB-{CODE}"));
        assert_eq!(first("Your ticket tk_0123456789ab is closed.").1, "tk_0123456789ab");
        assert_eq!(first("the customer says: order 7f3k-9qzd-xm42 never came!").1, CODE);
        assert_eq!(first(&format!("2026-11-21 06:45:26,123 WARN [{TRACE},00f067aa0ba902b7] slow")).1, TRACE);
    }

    #[test]
    fn a_search_link_names_what_it_searches_for() {
        let link = "http://127.0.0.1:16686/search?service=auth&tags=%7B%22order.id%22%3A%227F3K-9QZD-XM42%22%7D&limit=20";
        assert_eq!(first(link), (Form::Code, CODE.to_owned()));
    }

    #[test]
    fn anything_without_blanks_is_looked_up_as_it_stands_after_all_else() {
        assert_eq!(first("PARCEL#77"), (Form::Any, "PARCEL#77".to_owned()));
        assert_eq!(readings(CODE).unwrap().last().unwrap(), &Reading::any(CODE));
    }

    #[test]
    fn what_holds_no_id_is_refused_with_what_is_wanted() {
        for text in ["", "   ", "where is my food", "some-word-here is no code", "\u{0}"] {
            let error = readings(text);
            assert!(matches!(error, Err(NoId::Nothing(_))), "{text:?} {error:?}");
        }
        let many: String = (1..40).map(|n| format!("{n:032x} ")).collect();
        assert!(matches!(readings(&many), Err(NoId::TooMany(_))));
        assert!(matches!(readings(&"x".repeat(70_000)), Err(NoId::TooLong(_))));
        assert!(!readings(&"0".repeat(32)).unwrap().iter().any(|r| r.form == Form::Trace));
    }

    #[test]
    fn the_likely_attributes_come_first_and_none_is_left_out() {
        let ids: Vec<String> = ["order.id", "cart.id", "payment.reference"].map(Into::into).into();
        assert_eq!(Form::Payment.keys(&ids), ["payment.reference", "order.id", "cart.id"]);
        assert_eq!(Form::Any.keys(&ids), ["order.id", "cart.id", "payment.reference"]);
    }

    proptest::proptest! {
        #[test]
        fn any_code_is_read_back_however_it_is_typed(seed in proptest::collection::vec(0usize..32, 12), lower: bool, gap in "[- ]?") {
            let alphabet: Vec<char> = "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().collect();
            let symbols: Vec<char> = seed.iter().map(|i| alphabet[*i]).collect();
            let groups = |gap: &str| symbols.chunks(4).map(String::from_iter).collect::<Vec<_>>().join(gap);
            let typed = if lower { groups(&gap).to_lowercase() } else { groups(&gap) };
            let wanted = Reading { form: Form::Code, value: groups("-") };
            proptest::prop_assert!(readings(&typed).unwrap().contains(&wanted));
        }

        #[test]
        fn any_trace_id_is_read_back_from_any_form(id in 1u128.., upper: bool, form in 0usize..6) {
            let hex = format!("{id:032x}");
            let shown = match form {
                0 => hex.clone(),
                1 => format!("{id:x}"),
                2 => format!("00-{hex}-00f067aa0ba902b7-00"),
                3 => format!("https://h/b/trace/{id:x}?a=b"),
                4 => format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]),
                _ => format!("trace id {hex} was not found"),
            };
            let shown = if upper && form != 3 { shown.to_uppercase() } else { shown };
            let wanted = Reading { form: Form::Trace, value: hex };
            proptest::prop_assert!(readings(&shown).unwrap().contains(&wanted), "{}", shown);
        }

        #[test]
        fn no_text_makes_the_reader_panic_and_every_reading_is_usable(text in "(\\PC|[-0-9a-fWB_=;:/?&\" ]){0,120}") {
            for reading in readings(&text).unwrap_or_default() {
                proptest::prop_assert!(!reading.value.is_empty());
                if reading.form == Form::Trace {
                    proptest::prop_assert!(reading.value.len() == 32 && reading.value.bytes().all(|b| b.is_ascii_hexdigit()));
                }
            }
        }
    }
}
