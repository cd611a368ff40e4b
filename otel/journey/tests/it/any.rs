//! What must hold of any spans at all: order, duplicates and absurdities change nothing, time goes one way, and no service
//! is blamed for a span that was merely not delivered.

use std::collections::BTreeSet;

use journey::{
    Case, Heard, Kind, Outcome, Route, Says, Span, State, Symptom, Trace, Verdict, Witness, adapters, health,
    judge, sentence,
};
use proptest::prelude::*;

use crate::real::{route, traces};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

/// A span that may be anything; often one that the route knows.
fn span(route: &Route) -> impl Strategy<Value = Span> + use<> {
    let steps = route.steps.iter().chain(route.alternatives.iter().flat_map(|a| &a.steps));
    let marks = steps.flat_map(|s| s.begun.iter().chain(&s.done).chain(&s.stopped).chain(&s.handoff));
    let marks: Vec<_> = marks.chain(route.ends.iter().flat_map(|e| &e.seen)).cloned().collect();
    let id =
        || prop_oneof![Just("0000000000000000".to_owned()), "[0-9a-c]".prop_map(|c| format!("{c:0>16}"))];
    let time = prop_oneof![
        Just(0),
        Just(u64::MAX),
        (0..400u64).prop_map(|s| 1_764_000_000 * SECOND + s * SECOND),
        Just(18_000_000_000 * SECOND),
    ];
    let mark = prop::sample::select(marks);
    (mark, id(), prop::option::of(id()), time.clone(), time, any::<bool>(), any::<bool>(), "[a-z ]{0,4}")
        .prop_map(|(mark, id, parent, start_ns, end_ns, error, fits, name)| {
            let mut attributes: std::collections::BTreeMap<_, _> =
                mark.attributes.iter().map(|(k, any)| (k.clone(), any.0[0].clone())).collect();
            attributes.insert("order.id".to_owned(), "7F3K".to_owned());
            attributes.insert(
                "order.step.deadline_ms".to_owned(),
                if fits { "3000".to_owned() } else { name.clone() },
            );
            if error {
                attributes.insert("error.type".to_owned(), "timeout".to_owned());
            }
            Span {
                id,
                parent,
                service: mark.service,
                name: if fits || name.is_empty() { mark.span } else { name },
                kind: mark.kind.unwrap_or(Kind::Internal),
                start_ns,
                end_ns,
                error,
                attributes,
                ..Span::default()
            }
        })
}

fn witness(route: &Route) -> impl Strategy<Value = Witness> + use<> {
    let names: Vec<_> = route.steps.iter().map(|s| s.name().to_owned()).collect();
    let ends: Vec<_> = route.ends.iter().map(|e| e.name.clone()).collect();
    (prop::sample::select(names), prop::sample::select(ends), 0..7u8).prop_map(|(step, end, pick)| {
        let says = match pick {
            0 => Says::Done { step },
            1 => Says::Begun { step },
            2 => Says::Stopped { step, cause: None },
            3 => Says::NotSeen { step },
            4 => Says::Ended { end },
            5 => Says::SpansLost { service: step, spans: 3 },
            _ => Says::NoAnswer { service: step },
        };
        Witness { source: "a book".into(), says, detail: None }
    })
}

fn case(spans: Vec<Span>) -> Case {
    let heard = Heard::default();
    Case { subject: Some("7F3K".into()), traces: vec![Trace { id: "t".into(), spans }], heard }
}

fn recorded(name: &str) -> (Case, u64) {
    let traces = traces(name);
    let last = traces.iter().flat_map(|t| &t.spans).map(|s| s.end_ns).max().unwrap();
    (Case::split(traces, &route()).remove(0), last + 10 * MINUTE)
}

fn thinned(case: &Case, keep: impl Fn(usize, &Span) -> bool) -> Case {
    let mut thin = case.clone();
    for trace in &mut thin.traces {
        let mut i = 0;
        trace.spans.retain(|s| {
            i += 1;
            keep(i - 1, s)
        });
    }
    thin
}

proptest! {
    #[test]
    fn no_spans_and_no_witnesses_make_it_panic_and_order_and_duplicates_change_nothing(
        spans in prop::collection::vec(span(&route()), 0..24),
        witnesses in prop::collection::vec(witness(&route()), 0..4),
        turn in 0usize..24,
        twice in prop::collection::vec(0usize..24, 0..6),
        now_ns in prop_oneof![Just(0), Just(u64::MAX), (0..900u64).prop_map(|s| (1_764_000_000 + s) * SECOND)],
    ) {
        let route = route();
        let once = judge(&case(spans.clone()), &route, &witnesses, now_ns);
        prop_assert!(!sentence(&once, &route, "Order 7F3K").is_empty());
        prop_assert!(once.stop.is_none() || matches!(once.outcome, Outcome::Stopped | Outcome::Undecided));
        drop(health(&[Trace { id: "t".into(), spans: spans.clone() }], &route, now_ns));
        let mut other = spans.clone();
        if !spans.is_empty() {
            let by = turn % spans.len();
            other.rotate_left(by);
            other.extend(twice.iter().map(|i| spans[i % spans.len()].clone()));
        }
        prop_assert_eq!(once, judge(&case(other), &route, &witnesses, now_ns));
    }

    #[test]
    fn what_is_under_way_may_stop_and_what_has_stopped_is_never_under_way_again(
        spans in prop::collection::vec(span(&route()), 0..16),
        witnesses in prop::collection::vec(witness(&route()), 0..3),
        seconds in prop::collection::btree_set(0u64..10_000, 2..6),
    ) {
        let (route, case) = (route(), case(spans));
        let verdicts = seconds.iter().map(|s| judge(&case, &route, &witnesses, (1_764_000_000 + s) * SECOND));
        let mut over = None;
        for verdict in verdicts {
            let under_way = verdict.outcome == Outcome::UnderWay;
            prop_assert!(over.is_none() || !under_way, "{:?} turned into {:?}", over, verdict);
            over = over.or((!under_way).then_some(verdict));
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What the fuzz targets do with libFuzzer, in small: see `otel/journey/fuzz`.
    #[test]
    fn no_answer_of_a_store_however_broken_makes_it_panic(
        at in 0usize..6_000,
        cut in 0usize..200,
        put in prop_oneof![Just("null".to_owned()), Just("-1e400".to_owned()), Just("[]".to_owned()), ".{0,8}"],
    ) {
        static ANSWER: &str = include_str!("../fixtures/declined.json");
        let at = at.min(ANSWER.len());
        let end = (at + cut).min(ANSWER.len());
        let body = [&ANSWER.as_bytes()[..at], put.as_bytes(), &ANSWER.as_bytes()[end..]].concat();
        let route = route();
        for read in [adapters::jaeger::parse(&body), adapters::otlp::parse(&body)] {
            let Ok(traces) = read else { continue };
            drop(health(&traces, &route, u64::MAX));
            for case in Case::split(traces, &route) {
                drop(sentence(&judge(&case, &route, &[], u64::MAX), &route, "Order 7F3K"));
            }
        }
    }

    #[test]
    fn a_book_that_says_done_never_stops_an_order_that_arrived(
        name in prop::sample::select(vec!["delivered", "refunded", "rejected", "declined", "no-tracking-telemetry", "prop-none-gateway"]),
        step in 0usize..8,
        more in 0usize..8,
    ) {
        let (case, now_ns) = recorded(name);
        let route = route();
        let told = |i: usize| Witness {
            source: "a book".into(),
            says: Says::Done { step: route.steps[i].name().to_owned() },
            detail: None,
        };
        let verdict = judge(&case, &route, &[told(step), told(more)], now_ns);
        prop_assert_eq!(verdict.outcome, Outcome::Arrived);
    }

    #[test]
    fn spans_dropped_at_random_by_one_service_never_stop_a_delivered_order_at_a_step_that_others_show_to_be_done(
        service in prop::sample::select(vec!["mobile-app", "auth", "restaurant-availability", "payment-gateway", "restaurant-orders", "delivery-assignment", "tracking"]),
        dropped in any::<u64>(),
    ) {
        let (case, now_ns) = recorded("delivered");
        let thin = thinned(&case, |i, s| s.service != service || dropped >> (i % 64) & 1 == 0);
        let verdict = judge(&thin, &route(), &[], now_ns);
        prop_assert_eq!(verdict.outcome, Outcome::Arrived, "{:?}", verdict);
    }

    #[test]
    fn spans_dropped_anywhere_never_blame_a_step_before_one_that_is_seen(keep in any::<u64>()) {
        let (case, now_ns) = recorded("delivered");
        let thin = thinned(&case, |i, _| keep >> (i % 64) & 1 == 1);
        let verdict = judge(&thin, &route(), &[], now_ns);
        if let Some(stop) = &verdict.stop {
            let at = verdict.stamps.iter().position(|s| s.step == stop.step).unwrap();
            prop_assert!(verdict.stamps[at + 1..].iter().all(|s| s.state != State::Done), "{:?}", verdict);
        }
    }
}

/// All spans of one service are gone: the order was delivered, and nobody may say that it stopped.
#[test]
fn a_service_without_any_telemetry_is_never_blamed() {
    let (case, now_ns) = recorded("delivered");
    let services: BTreeSet<_> =
        case.traces.iter().flat_map(|t| &t.spans).map(|s| s.service.clone()).collect();
    for service in services {
        let verdict = judge(&thinned(&case, |_, s| s.service != service), &route(), &[], now_ns);
        assert_ne!(verdict.outcome, Outcome::Stopped, "{service}: {verdict:#?}");
        assert!(service == "notification" || verdict.outcome == Outcome::Arrived, "{service}: {verdict:#?}");
    }
}

#[test]
fn ten_thousand_spans_of_one_order_in_a_cycle_of_parents_change_no_verdict() {
    let (mut case, now_ns) = recorded("delivered");
    let pool = case.traces[0].spans.clone();
    let spans = &mut case.traces[0].spans;
    for i in 0..10_000_usize {
        let mut span = pool[i % pool.len()].clone();
        span.id = format!("{i:016x}");
        span.parent = Some(format!("{:016x}", (i + 1) % 10_000));
        spans.push(span);
    }
    let verdict: Verdict = judge(&case, &route(), &[], now_ns);
    let found = health(&case.traces, &route(), now_ns);
    assert_eq!(verdict.outcome, Outcome::Arrived);
    assert!(found.iter().all(|a| a.symptom != Symptom::Silent), "{found:?}");
}
