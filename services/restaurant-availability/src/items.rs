//! What is asked for: `sku:2,sku:1`.

use std::{collections::BTreeMap, str::FromStr};

/// Lines that a question may have.
const MOST_LINES: usize = 50;
/// Portions of one dish.
const MOST_PORTIONS: i64 = 1000;

/// Portions by sku, at least one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Items(pub(crate) BTreeMap<String, i64>);

impl FromStr for Items {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut items = BTreeMap::new();
        for line in text.split(',') {
            let (sku, portions) =
                line.rsplit_once(':').ok_or_else(|| format!("`{}` is not sku:portions", shown(line)))?;
            let sku = sku.trim();
            if sku.is_empty() || sku.len() > 100 {
                return Err("a sku has 1 to 100 characters".to_owned());
            }
            let portions: i64 = portions.trim().parse().unwrap_or(0);
            if !(1..=MOST_PORTIONS).contains(&portions) {
                return Err(format!("portions of {sku} must be 1 to {MOST_PORTIONS}"));
            }
            let sum = items.entry(sku.to_owned()).or_insert(0);
            *sum += portions;
            if items.len() > MOST_LINES {
                return Err(format!("{MOST_LINES} dishes at most"));
            }
        }
        Ok(Self(items))
    }
}

fn shown(line: &str) -> String {
    line.chars().take(50).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_same_dish_add_up() {
        let items: Items = "a/b:2, c:1,a/b:1".parse().unwrap();
        assert_eq!(items.0, BTreeMap::from([("a/b".to_owned(), 3), ("c".to_owned(), 1)]));
    }

    #[test]
    fn what_is_no_question_is_refused() {
        for text in ["", ",", "a", "a:", ":1", "a:0", "a:-1", "a:x", "a:1001", "a:1,,b:1"] {
            assert!(text.parse::<Items>().is_err(), "{text}");
        }
        let many: Vec<_> = (0..51).map(|n| format!("s{n}:1")).collect();
        assert!(many.join(",").parse::<Items>().is_err());
    }
}
