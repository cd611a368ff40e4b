//! Another trade: the engine knows no pizza. Branches side by side, an optional step, an end that is not good, days of time.

use journey::{Case, Outcome, Phase, Route, Says, State, Verdict, Witness, adapters::otlp, judge, sentence};
use serde_json::{Value, json};

const ROUTE: &str = include_str!("../../examples/parcel.yaml");
const HOUR: u64 = 3_600_000_000_000;
const NUMBER: &str = "RR473124829DE";

/// One span: service, name, kind (OTLP), error.type, start and end in hours, id and parent.
struct Line(&'static str, &'static str, u8, &'static str, u64, u64, u64, u64);

const COUNTER: Line = Line("shop", "accept parcel", 2, "", 0, 1, 1, 0);
const POSTAGE: Line = Line("shop", "sell postage", 1, "", 0, 0, 2, 1);
const ASKED: Line = Line("shop", "label.requested", 4, "", 0, 0, 3, 1);
const LABEL: Line = Line("labels", "print label", 5, "", 0, 0, 4, 3);
const TOLD: Line = Line("shop", "PUT /manifests", 3, "", 0, 0, 5, 1);
const MANIFEST: Line = Line("books", "PUT /manifests", 2, "", 0, 0, 6, 5);
const IN: Line = Line("sorter", "scan in", 1, "", 3, 3, 7, 1);
const OUT: Line = Line("sorter", "scan out", 1, "", 5, 5, 8, 1);
const LOADED: Line = Line("vans", "load", 1, "", 20, 20, 9, 1);
const HANDED: Line = Line("vans", "hand over", 1, "", 22, 23, 10, 1);

const WHOLE: [Line; 10] = [COUNTER, POSTAGE, ASKED, LABEL, TOLD, MANIFEST, IN, OUT, LOADED, HANDED];

fn route() -> Route {
    Route::parse(ROUTE).unwrap()
}

/// As `/api/v3` answers.
fn body(lines: &[&Line]) -> Vec<u8> {
    let span = |l: &&Line| -> Value {
        let Line(service, name, kind, error, start, end, id, parent) = l;
        let mut attributes = vec![
            json!({"key": "parcel.number", "value": {"stringValue": NUMBER}}),
            json!({"key": "postage.amount", "value": {"intValue": "1549"}}),
            json!({"key": "postage.currency", "value": {"stringValue": "CHF"}}),
        ];
        if !error.is_empty() {
            attributes.push(json!({"key": "error.type", "value": {"stringValue": error}}));
            attributes.push(json!({"key": "reason", "value": {"stringValue": error}}));
        }
        let parent = if *parent == 0 { String::new() } else { format!("{parent:016x}") };
        json!({
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
            "scopeSpans": [{"spans": [{
                "traceId": "00000000000000000000000000000abc", "spanId": format!("{id:016x}"), "parentSpanId": parent,
                "name": name, "kind": kind, "attributes": attributes,
                "startTimeUnixNano": (start * HOUR + HOUR).to_string(), "endTimeUnixNano": (end * HOUR + HOUR).to_string(),
                "status": if error.is_empty() { json!({}) } else { json!({"code": 2}) },
            }]}],
        })
    };
    let spans: Vec<_> = lines.iter().map(span).collect();
    json!({"result": {"resourceSpans": spans}}).to_string().into_bytes()
}

fn asked(lines: &[&Line], witnesses: &[Witness], hour: u64) -> (Verdict, String) {
    let route = route();
    let case = Case::split(otlp::parse(&body(lines)).unwrap(), &route).remove(0);
    let verdict = judge(&case, &route, witnesses, hour * HOUR + HOUR);
    let words = sentence(&verdict, &route, "Parcel RR47");
    (verdict, words)
}

fn without<'a>(gone: &[&Line]) -> Vec<&'a Line> {
    WHOLE.iter().filter(|l| !gone.iter().any(|g| g.6 == l.6)).collect()
}

fn states(verdict: &Verdict) -> String {
    verdict.stamps.iter().map(|s| s.state.emoji()).collect()
}

#[test]
fn a_parcel_arrives_without_customs_and_nobody_misses_them() {
    let (verdict, words) = asked(&WHOLE.iter().collect::<Vec<_>>(), &[], 100);
    assert_eq!((states(&verdict).as_str(), words.as_str()), ("✅✅✅✅✗✅", "Parcel RR47 was delivered."));
}

#[test]
fn a_customs_office_that_was_handed_a_parcel_owes_an_answer() {
    let declared = Line("sorter", "declare", 3, "", 5, 5, 11, 1);
    let mut lines = without(&[&LOADED, &HANDED]);
    lines.push(&declared);
    let (verdict, _) = asked(&lines, &[], 20);
    assert_eq!((verdict.outcome, states(&verdict).as_str()), (Outcome::UnderWay, "✅✅✅✅⏳✗"));
    let (verdict, words) = asked(&lines, &[], 200);
    assert_eq!(verdict.outcome, Outcome::Undecided, "it was answered, and customs' telemetry is missing");
    assert!(words.contains("customs") && words.ends_with("15.49 CHF was paid."), "{words}");
}

#[test]
fn of_two_branches_the_one_that_did_not_finish_is_named() {
    let lines = without(&[&LABEL, &IN, &OUT, &LOADED, &HANDED]);
    let (verdict, words) = asked(&lines, &[], 50);
    let stop = verdict.stop.unwrap();
    assert_eq!(
        (verdict.outcome, stop.step.as_str(), stop.phase),
        (Outcome::Stopped, "label", Phase::NotReceived)
    );
    assert_eq!(
        words,
        "Parcel RR47 stopped at labelling: shop handed it on, and nothing shows that it got there within 1 h; sorting and \
         the van never began; 15.49 CHF was paid and not paid back."
    );
}

#[test]
fn a_step_that_both_branches_lead_to_shows_that_both_are_done() {
    let (verdict, words) = asked(&without(&[&LABEL, &MANIFEST]), &[], 100);
    assert_eq!((verdict.outcome, states(&verdict).as_str()), (Outcome::Arrived, "✅❔❔✅✗✅"));
    assert_eq!(words, "Parcel RR47 was delivered; the telemetry of labelling and the manifest is missing.");
}

#[test]
fn a_parcel_that_gave_up_stops_in_the_words_of_the_route_and_one_that_was_destroyed_at_once() {
    let diverted = Line("sorter", "divert", 1, "unreadable", 4, 4, 12, 1);
    let mut lines = without(&[&OUT, &LOADED, &HANDED]);
    lines.push(&diverted);
    let (verdict, words) = asked(&lines, &[], 5);
    assert_eq!(verdict.stop.as_ref().and_then(|s| s.cause.as_deref()), Some("unreadable"));
    assert!(
        words.starts_with("Parcel RR47 stopped at sorting: its label could not be read; the van never began"),
        "{words}"
    );
    let destroyed = Line("sorter", "destroy", 1, "", 4, 4, 13, 1);
    let mut lines = without(&[&OUT, &LOADED, &HANDED]);
    lines.push(&destroyed);
    let (verdict, words) = asked(&lines, &[], 5);
    assert_eq!((verdict.outcome, verdict.end.as_deref()), (Outcome::Stopped, Some("destroyed")));
    assert!(words.starts_with("Parcel RR47 stopped at sorting: it was destroyed"), "{words}");
}

#[test]
fn a_parcel_that_comes_back_has_arrived_and_its_money_is_spoken_of_in_the_routes_words() {
    let lines = [
        Line("vans", "hand over", 1, "nobody-home", 22, 23, 10, 1),
        Line("vans", "turn back", 1, "", 23, 23, 14, 1),
        Line("shop", "take back", 1, "", 40, 40, 15, 1),
        Line("shop", "reimburse", 1, "", 41, 41, 16, 1),
    ];
    let mut all = without(&[&HANDED]);
    all.extend(&lines);
    let (verdict, words) = asked(&all, &[], 50);
    assert_eq!((verdict.outcome, states(&verdict).as_str()), (Outcome::Arrived, "✅✅✅✅✗⚠️"));
    assert_eq!(
        words,
        "Parcel RR47 was returned to its sender: nobody was at home; 15.49 CHF was paid and paid back."
    );
}

#[test]
fn a_book_fills_a_gap_of_the_traces() {
    let done = Witness {
        source: "van's book".into(),
        says: Says::Done { step: "van".into() },
        detail: Some("signed for".into()),
    };
    let (verdict, words) = asked(&without(&[&LOADED, &HANDED]), &[done], 200);
    assert_eq!(verdict.stamps[5].state, State::Missing);
    assert_eq!(
        (verdict.outcome, words.as_str()),
        (Outcome::Arrived, "Parcel RR47 arrived; the telemetry of the van is missing.")
    );
}
