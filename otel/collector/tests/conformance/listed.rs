//! The rows of `docs/conformance.md` and the tests that hold them, tied by the upstream file and line.

use regex::Regex;

const DOCUMENT: &str = include_str!("../../../../docs/conformance.md");

/// Every file here whose tests hold rows.
const TESTS: [&str; 4] = [
    include_str!("bad_input.rs"),
    include_str!("pressure.rs"),
    include_str!("sampling.rs"),
    include_str!("scrapes.rs"),
];

/// The rows of the table of differences from the official collector, each with its cells.
fn rows() -> Vec<Vec<&'static str>> {
    let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with("| what | official | ours |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The files and lines that a row names.
fn lines_of(row: &[&'static str]) -> Vec<&'static str> {
    let line = Regex::new(r"`([^` ]+\.go:\d+)`").unwrap();
    let upstream: &str = row.last().unwrap();
    line.captures_iter(upstream).map(|found| found.get(1).unwrap().as_str()).collect()
}

/// Says that the difference which the calling test has just seen is the document's row with this upstream line.
pub(crate) fn listed(upstream: &str) {
    let found = rows().iter().any(|row| lines_of(row).contains(&upstream));
    assert!(found, "docs/conformance.md has no row of the collector that names {upstream}");
}

#[test]
fn every_row_of_the_document_names_upstream_lines_that_a_test_holds() {
    let rows = rows();
    assert!(rows.len() >= 16, "only {} rows were found", rows.len());
    for row in rows {
        assert_eq!(row.len(), 5, "{row:?}");
        let lines = lines_of(&row);
        assert!(!lines.is_empty(), "no upstream file and line: {row:?}");
        for line in lines {
            let quoted = format!("\"{line}\"");
            assert!(TESTS.iter().any(|test| test.contains(&quoted)), "no test holds {line}: {row:?}");
        }
    }
}
