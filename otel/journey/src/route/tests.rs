//! The route file, read and refused.

use super::*;

const TWO: &str = "version: 1\nname: parcel\nsubject: parcel.id\nsteps:\n  \
    - { name: depot, deadline: 1h, done: [{ service: depot, span: scan }] }\n  \
    - { name: door, deadline: 300ms, done: [{ service: van, span: ring }] }\n";

fn place(yaml: &str) -> (u64, u64, String) {
    match Route::parse(yaml).unwrap_err() {
        Error::Route { line, column, message } => (line, column, message),
        other => panic!("{other}"),
    }
}

#[test]
fn a_route_is_read_with_its_durations() {
    let route = Route::parse(TWO).unwrap();
    assert_eq!(route.steps[1].deadline, Duration::from_millis(300));
    assert_eq!(route.steps[0].name(), "depot");
}

#[test]
fn a_wrong_key_is_named_with_line_and_column() {
    let (line, column, message) = place(&TWO.replace("span: ring", "spam: ring"));
    assert_eq!(line, 6, "{message}");
    assert!(column > 1 && message.contains("spam"), "{column} {message}");
}

#[test]
fn a_wrong_duration_is_named_with_its_line() {
    let (line, _, message) = place(&TWO.replace("1h", "soon"));
    assert!(line == 5 && message.contains("soon"), "{line} {message}");
}

#[test]
fn two_steps_of_one_name_are_refused_where_the_second_stands() {
    let (line, _, message) = place(&TWO.replace("name: door", "name: depot"));
    assert!(line == 6 && message.contains("depot"), "{line} {message}");
}

#[test]
fn an_alternative_that_names_no_step_is_refused_where_it_does() {
    let yaml = format!(
        "{TWO}alternatives:\n  - name: lost\n    after: attic\n    instead_of: [door]\n    when: []\n    steps: []\n"
    );
    let (line, column, message) = place(&yaml);
    assert_eq!((line, column), (9, 12), "{message}");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[-a-z:{}\\[\\], \n#&*!|>'\"0-9]{0,200}") {
        drop(Route::parse(&text));
    }
}
