//! The published JSON Schema and the reader agree, on both routes and on what is wrong with a third.

use boon::{Compiler, Schemas};
use journey::Route;

const FOOD: &str = include_str!("../../../../services/contracts/route.yaml");
const PARCEL: &str = include_str!("../../examples/parcel.yaml");
const SCHEMA: &str = include_str!("../../route.schema.json");

fn fits(yaml: &str) -> Result<(), String> {
    let file: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("route.json", serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let schema = compiler.compile("route.json", &mut schemas).unwrap();
    schemas.validate(&file, schema).map_err(|e| e.to_string())
}

#[test]
fn both_routes_fit_the_schema_and_are_read() {
    for yaml in [FOOD, PARCEL] {
        assert_eq!(fits(yaml), Ok(()));
        assert!(Route::parse(yaml).is_ok());
    }
}

#[test]
fn what_the_reader_refuses_the_schema_refuses_too() {
    for (from, to) in [
        ("version: 1", "version: 2"),
        ("optional: true", "optinal: true"),
        ("deadline: 72h", "deadline: soon"),
        ("kind: consumer", "kind: eater"),
        ("subject: parcel.number", "subjekt: parcel.number"),
        ("good: false", "bad: true"),
        ("done:\n      - { service: sorter, span: scan out }", "did: []"),
    ] {
        let yaml = PARCEL.replacen(from, to, 1);
        assert_ne!(yaml, PARCEL, "{from}");
        assert!(fits(&yaml).is_err(), "{to}");
        assert!(Route::parse(&yaml).is_err(), "{to}");
    }
}

#[test]
fn a_bad_file_is_refused_with_line_and_column() {
    for (from, to, word) in [
        ("optional: true", "optinal: true", "optinal"),
        ("after: [customs, sorting]", "after: [customs, attic]", "attic"),
        ("end: returned", "end: eaten", "eaten"),
        ("step: counter", "step: attic", "attic"),
        ("deadline: 12h", "deadline: soon", "soon"),
        ("after: van\n    seen", "after: attic\n    seen", "attic"),
        ("version: 1", "version: 7", "version"),
    ] {
        let yaml = PARCEL.replacen(from, to, 1);
        let expected = PARCEL[..PARCEL.find(from).unwrap()].lines().count() as u64;
        match Route::parse(&yaml) {
            Err(journey::Error::Route { line, column, message }) => {
                assert!(line.abs_diff(expected) <= 1 && column > 0, "{to}: {line}:{column}, not {expected}");
                assert!(message.contains(word), "{to}: {message}");
            }
            other => panic!("{to}: {other:?}"),
        }
    }
}
