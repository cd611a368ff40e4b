//! What was paid: amounts from attributes, taken and given back from spans and witnesses. And how money is written.

use std::collections::BTreeMap;

use crate::{Outcome, Route, Says, Value, Witness, path::Path, spans::Spans};

/// The value of a journey; none when the route has none or nothing tells of it.
pub(crate) fn value(
    spans: &Spans<'_>,
    route: &Route,
    path: &Path<'_>,
    witnesses: &[Witness],
    outcome: Outcome,
) -> Option<Value> {
    let marks = route.value.as_ref()?;
    let by_word = |pick: fn(&Says) -> Option<(i64, &String)>| witnesses.iter().find_map(|w| pick(&w.says));
    let taken_word = by_word(|s| match s {
        Says::Taken { amount_minor, currency } => Some((*amount_minor, currency)),
        _ => None,
    });
    let returned_word = by_word(|s| match s {
        Says::Returned { amount_minor, currency } => Some((*amount_minor, currency)),
        _ => None,
    });
    let (amount_minor, currency) = taken_word
        .or(returned_word)
        .map(|(amount, currency)| (amount, currency.clone()))
        .or_else(|| stated(spans, &marks.amount, &marks.currency))?;
    let known = outcome != Outcome::Undecided;
    let never_asked = marks.step().is_some_and(|step| {
        let look = path.looks.iter().zip(&path.passed).find(|(l, _)| l.step.name() == step);
        look.is_some_and(|(l, passed)| !passed && !l.has_own() && l.handoffs.is_empty())
    });
    let taken = match () {
        () if taken_word.is_some() || returned_word.is_some() => Some(true),
        () if spans.well(&marks.taken).is_some() || spans.well(&marks.returned).is_some() => Some(true),
        () if spans.any(&marks.refused).is_some() => Some(false),
        () if known && never_asked && outcome != Outcome::UnderWay => Some(false),
        () => None,
    };
    let returned = match () {
        () if returned_word.is_some() || spans.well(&marks.returned).is_some() => Some(true),
        () if known && taken == Some(true) => Some(false),
        () => None,
    };
    Some(Value { amount_minor, currency, taken, returned })
}

/// The amount that most spans name; of equals the greatest.
fn stated(spans: &Spans<'_>, amount: &str, currency: &str) -> Option<(i64, String)> {
    let mut votes: BTreeMap<(i64, &str), usize> = BTreeMap::new();
    for node in spans.iter() {
        let attributes = &node.span.attributes;
        if let (Some(amount), Some(currency)) = (attributes.get(amount), attributes.get(currency))
            && let Ok(amount) = amount.parse()
        {
            *votes.entry((amount, currency)).or_default() += 1;
        }
    }
    let ((amount, currency), _) = votes.into_iter().max_by_key(|(key, count)| (*count, *key))?;
    Some((amount, currency.to_owned()))
}

/// `$200.00`, `19.05 EUR`, `300 JPY`: minor units by ISO 4217.
pub fn money(minor: i64, currency: &str) -> String {
    let digits = match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    };
    let sign = if minor < 0 { "-" } else { "" };
    let whole = minor.unsigned_abs();
    let number = match digits {
        0 => whole.to_string(),
        _ => {
            let unit = 10_u64.pow(digits);
            format!("{}.{:0width$}", whole / unit, whole % unit, width = digits as usize)
        }
    };
    match currency {
        "USD" => format!("{sign}${number}"),
        "EUR" => format!("{sign}€{number}"),
        "GBP" => format!("{sign}£{number}"),
        "" => format!("{sign}{number}"),
        _ => format!("{sign}{number} {currency}"),
    }
}
