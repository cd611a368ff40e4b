//! Traces of real orders through the eight services, recorded while partners hung, services were down, frozen or mute,
//! and the verdict that each must give.

use std::sync::LazyLock;

use journey::{
    Case, Heard, Kind, Outcome, Phase, Route, State, Symptom, Trace, Verdict, adapters::jaeger, health,
    judge, sentence,
};

const ROUTE: &str = include_str!("../../../../services/contracts/route.yaml");
const MINUTE: u64 = 60_000_000_000;

pub(crate) fn route() -> Route {
    static READ: LazyLock<Route> = LazyLock::new(|| Route::parse(ROUTE).unwrap());
    READ.clone()
}

pub(crate) fn traces(name: &str) -> Vec<Trace> {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    jaeger::parse(&std::fs::read(path).unwrap()).unwrap()
}

/// The only case of a recording, asked ten minutes after its last span.
fn verdict(name: &str) -> (Verdict, String) {
    let [(verdict, words)] = verdicts(name).try_into().unwrap_or_else(|all| panic!("{name}: {all:?}"));
    (verdict, words)
}

fn verdicts(name: &str) -> Vec<(Verdict, String)> {
    let (route, traces) = (route(), traces(name));
    let last = traces.iter().flat_map(|t| &t.spans).map(|s| s.end_ns).max().unwrap();
    let heard = Heard::of(&traces, last);
    let cases = Case::split(traces, &route).into_iter().filter(|c| c.subject.is_some());
    let judged = cases.map(|mut case| {
        case.heard = heard.clone();
        let verdict = judge(&case, &route, &[], last + 10 * MINUTE);
        let words = sentence(&verdict, &route, "Order 7F3K");
        (verdict, words)
    });
    judged.collect()
}

fn signs(verdict: &Verdict) -> String {
    verdict.stamps.iter().map(|s| s.state.emoji()).collect()
}

/// Recording, stamps, outcome, step, phase and cause, sentence.
type Expected =
    (&'static str, &'static str, Outcome, Option<(&'static str, Phase, &'static str)>, &'static str);

const EXPECTED: [Expected; 22] = [
    ("delivered", "✅✅✅✅✅✅✅✅", Outcome::Arrived, None, "Order 7F3K was delivered."),
    (
        "new-years-eve",
        "✅✅✅✅✅⚠️✗✗",
        Outcome::Stopped,
        Some(("delivery-assignment", Phase::Failed, "courier_timeout")),
        "Order 7F3K stopped at delivery assignment: no courier answered within 6 s; tracking and notification never began; \
         $200.00 was charged and not refunded.",
    ),
    (
        "declined",
        "✅✅✅✗✗✗✗✗",
        Outcome::Arrived,
        None,
        "Order 7F3K was declined by the card network; nothing was charged.",
    ),
    (
        "refunded",
        "✅✅✅✅✅⚠️✗✗",
        Outcome::Arrived,
        None,
        "Order 7F3K was refunded: no courier answered within 3 s; $24.00 was charged and refunded.",
    ),
    (
        "rejected",
        "✅✅✅✅⚠️✗✗✗",
        Outcome::Arrived,
        None,
        "Order 7F3K was refunded: the restaurant rejected it; $24.00 was charged and refunded.",
    ),
    (
        "push-down",
        "✅✅✅✅✅✅✅⚠️",
        Outcome::Stopped,
        Some(("notification", Phase::Failed, "unavailable")),
        "Order 7F3K was delivered, but stopped at notification: push-provider is unavailable (tried 2 times).",
    ),
    ("charge-withheld", "✅✅✅✅✅✅✅✅", Outcome::Arrived, None, "Order 7F3K was delivered."),
    (
        "no-delivery-telemetry",
        "✅✅✅✅✅❔✅✅",
        Outcome::Arrived,
        None,
        "Order 7F3K was delivered; the telemetry of delivery assignment is missing.",
    ),
    (
        "no-tracking-telemetry",
        "✅✅✅✅✅✅❔✅",
        Outcome::Arrived,
        None,
        "Order 7F3K was delivered; the telemetry of tracking is missing.",
    ),
    (
        "no-gateway-telemetry",
        "✅✅✅❔✅✅✅✅",
        Outcome::Arrived,
        None,
        "Order 7F3K was delivered; the telemetry of the payment is missing.",
    ),
    (
        "no-orders-telemetry",
        "✅✅✅✅❔✅✅✅",
        Outcome::Arrived,
        None,
        "Order 7F3K was delivered; the telemetry of the restaurant is missing.",
    ),
    (
        "no-mobile-telemetry",
        "❔✅✅✅✅✅✅✅",
        Outcome::Arrived,
        None,
        "Order 7F3K was delivered; the telemetry of taking the order is missing.",
    ),
    (
        "no-notification-telemetry",
        "✅✅✅✅✅✅✅❔",
        Outcome::Undecided,
        Some(("notification", Phase::NotFinished, "no_word")),
        "Order 7F3K was delivered, but may have stopped at notification, or only the telemetry of notification is missing; \
         notification's own record of it would decide.",
    ),
    (
        "lost-no-delivery-telemetry",
        "✅✅✅✅✅❔❔❔",
        Outcome::Undecided,
        Some(("delivery-assignment", Phase::NotFinished, "no_word")),
        "Order 7F3K may have stopped at delivery assignment, or only the telemetry of delivery-assignment is missing; \
         delivery-assignment's own record of it would decide; $200.00 was charged.",
    ),
    ("prop-none-delivery", "✅✅✅✅✅✅✅✅", Outcome::Arrived, None, "Order 7F3K was delivered."),
    ("prop-none-tracking", "✅✅✅✅✅✅✅✅", Outcome::Arrived, None, "Order 7F3K was delivered."),
    ("prop-none-gateway", "✅✅✅✅✅✅✅✅", Outcome::Arrived, None, "Order 7F3K was delivered."),
    ("prop-none-orders", "✅✅✅✅✅✅✅✅", Outcome::Arrived, None, "Order 7F3K was delivered."),
    (
        "without-delivery",
        "✅✅✅✅✅⚠️✗✗",
        Outcome::Stopped,
        Some(("delivery-assignment", Phase::NotReceived, "not_received")),
        "Order 7F3K stopped at delivery assignment: restaurant-orders could not hand it on, tried 5 times (Connection \
         refused (os error 111)); tracking and notification never began; $24.00 was charged and not refunded.",
    ),
    (
        "without-tracking",
        "✅✅✅✅✅✅⚠️✗",
        Outcome::Stopped,
        Some(("tracking", Phase::NotReceived, "not_received")),
        "Order 7F3K stopped at tracking: delivery-assignment could not hand it on, tried 11 times (transport error); \
         notification never began; $24.00 was charged and not refunded.",
    ),
    (
        "without-gateway",
        "✅✅✅⚠️✗✗✗✗",
        Outcome::Stopped,
        Some(("payment-gateway", Phase::NotReceived, "not_received")),
        "Order 7F3K stopped at the payment: mobile-app could not hand it on, tried 7 times (Connection refused (os error \
         111)); the restaurant, delivery assignment, tracking and notification never began.",
    ),
    (
        "without-availability",
        "✅✅✗✗✗✗✗✗",
        Outcome::Arrived,
        None,
        "Order 7F3K was turned away before the payment; nothing was charged.",
    ),
];

#[test]
fn every_recorded_order_gets_its_verdict() {
    for (name, stamps, outcome, stop, words) in EXPECTED {
        let (verdict, said) = verdict(name);
        assert_eq!(signs(&verdict), stamps, "{name}");
        assert_eq!(verdict.outcome, outcome, "{name}: {:#?}", verdict.findings);
        let at =
            verdict.stop.as_ref().map(|s| (s.step.as_str(), s.phase, s.cause.as_deref().unwrap_or_default()));
        assert_eq!(at, stop, "{name}");
        assert_eq!(said, words, "{name}");
    }
}

#[test]
fn of_two_orders_at_a_frozen_service_one_was_taken_over_and_one_was_not() {
    let mut said: Vec<_> = verdicts("froze-delivery").into_iter().map(|(_, words)| words).collect();
    said.sort();
    assert_eq!(
        said,
        [
            "Order 7F3K stopped at delivery assignment: it was taken over, and nothing came of it within 3 s; tracking and \
             notification never began; $200.00 was charged and not refunded.",
            "Order 7F3K stopped at delivery assignment: restaurant-orders handed it on, and nothing shows that it got there \
             within 45 s; tracking and notification never began; $24.00 was charged and not refunded.",
        ]
    );
}

#[test]
fn an_order_is_under_way_until_its_deadline_and_the_sentence_says_how_long() {
    let (route, mut traces) = (route(), traces("new-years-eve"));
    let spans = &mut traces[0].spans;
    let receipt = spans.iter().find(|s| s.name == "accept delivery-assignment").unwrap().start_ns;
    spans.retain(|s| {
        s.start_ns <= receipt + 1_000_000_000
            && s.name != "process order.accepted"
            && s.name != "POST /assignments"
    });
    let case = Case::split(traces, &route).remove(0);
    let verdict = judge(&case, &route, &[], receipt + 2_000_000_000);
    assert_eq!((verdict.outcome, signs(&verdict).as_str()), (Outcome::UnderWay, "✅✅✅✅✅⏳✗✗"));
    assert_eq!(
        sentence(&verdict, &route, "Order 7F3K"),
        "Order 7F3K is under way, at delivery assignment, which may take another 7 s."
    );
    let later = judge(&case, &route, &[], receipt + 10_000_000_000);
    let stop = later.stop.unwrap();
    assert_eq!((later.outcome, stop.phase), (Outcome::Stopped, Phase::NotFinished));
    assert_eq!((stop.cause.as_deref(), stop.since_ns), (Some("no_word"), receipt));
}

#[test]
fn a_stamp_tells_how_long_the_hand_off_took() {
    let (verdict, _) = verdict("delivered");
    let of = |step: &str| verdict.stamps.iter().find(|s| s.step == step).unwrap().handoff_ns;
    assert_eq!(of("mobile-app"), None, "nobody hands on to the first");
    for step in ["auth", "payment-gateway", "delivery-assignment", "notification"] {
        assert!(of(step).is_some_and(|ns| ns > 0 && ns < 1_000_000_000), "{step} {:?}", of(step));
    }
}

/// What a service's clock does to its spans.
fn shift(traces: &mut [Trace], service: &str, by_ns: i64) {
    for span in traces.iter_mut().flat_map(|t| &mut t.spans).filter(|s| s.service == service) {
        span.start_ns = span.start_ns.saturating_add_signed(by_ns);
        span.end_ns = span.end_ns.saturating_add_signed(by_ns);
    }
}

#[test]
fn a_clock_that_is_90_s_off_stops_no_order_and_hides_no_stop() {
    let route = route();
    for service in [
        "mobile-app",
        "payment-gateway",
        "restaurant-orders",
        "delivery-assignment",
        "tracking",
        "notification",
    ] {
        for by in [-90_000_000_000, 90_000_000_000] {
            for (name, outcome) in [("delivered", Outcome::Arrived), ("new-years-eve", Outcome::Stopped)] {
                let mut traces = traces(name);
                let last = traces[0].spans.iter().map(|s| s.end_ns).max().unwrap();
                shift(&mut traces, service, by);
                let verdict = judge(&Case::split(traces, &route)[0], &route, &[], last + 3 * MINUTE);
                assert_eq!(verdict.outcome, outcome, "{name} {service} {by}");
                if let Some(stop) = verdict.stop {
                    assert_eq!(
                        (stop.step.as_str(), stop.cause.as_deref()),
                        ("delivery-assignment", Some("courier_timeout"))
                    );
                }
            }
        }
    }
}

#[test]
fn an_order_is_not_called_stopped_because_the_clock_at_its_step_is_behind() {
    let (route, mut traces) = (route(), traces("froze-delivery"));
    traces.retain(|t| t.spans.iter().any(|s| s.name == "accept delivery-assignment"));
    let receipt = traces[0].spans.iter().find(|s| s.name == "accept delivery-assignment").unwrap().start_ns;
    shift(&mut traces, "delivery-assignment", -90_000_000_000);
    let case = Case::split(traces, &route).remove(0);
    assert_eq!(judge(&case, &route, &[], receipt + 1_000_000_000).outcome, Outcome::UnderWay);
}

#[test]
fn sound_telemetry_has_no_ailment_and_each_fault_is_found_at_its_service() {
    let found = |name: &str| {
        let traces = traces(name);
        let last = traces.iter().flat_map(|t| &t.spans).map(|s| s.end_ns).max().unwrap();
        let ailments = health(&traces, &route(), last + 10 * MINUTE);
        ailments.into_iter().map(|a| (a.symptom, a.service)).collect::<Vec<_>>()
    };
    assert_eq!(found("delivered"), []);
    for (name, symptom, service) in [
        ("prop-none-gateway", Symptom::ContextDropped, "payment-gateway"),
        ("prop-none-gateway", Symptom::NoSubject, "payment-gateway"),
        ("prop-none-delivery", Symptom::ContextDropped, "delivery-assignment"),
        ("prop-none-orders", Symptom::ContextDropped, "restaurant-orders"),
        ("no-tracking-telemetry", Symptom::Silent, "tracking"),
        ("no-tracking-telemetry", Symptom::ParentMissing, "tracking"),
        ("no-delivery-telemetry", Symptom::ParentMissing, "delivery-assignment"),
    ] {
        let found = found(name);
        assert!(found.contains(&(symptom, service.to_owned())), "{name}: {found:?}");
    }
}

#[test]
fn a_wrong_clock_is_found_at_the_service_that_has_it() {
    for service in ["payment-gateway", "delivery-assignment", "tracking"] {
        let mut traces = traces("delivered");
        shift(&mut traces, service, -90_000_000_000);
        let wrong = health(&traces, &route(), u64::MAX);
        let wrong: Vec<_> = wrong.iter().filter(|a| a.symptom == Symptom::ClockWrong).collect();
        assert!(wrong.iter().all(|a| a.service == service) && !wrong.is_empty(), "{service}: {wrong:?}");
        assert!(wrong[0].detail.contains("90 s behind"), "{}", wrong[0].detail);
    }
}

#[test]
fn a_message_without_its_producer_and_personal_data_are_found_and_no_value_is_told() {
    let mut traces = traces("delivered");
    for span in &mut traces[0].spans {
        if span.kind == Kind::Consumer && span.name == "process order.accepted" {
            span.parent = None;
            span.links.clear();
            span.attributes.insert("customer.email".to_owned(), "ada@example.org".to_owned());
        }
    }
    let found = health(&traces, &route(), u64::MAX);
    let has =
        |symptom: Symptom| found.iter().any(|a| a.symptom == symptom && a.service == "delivery-assignment");
    assert!(has(Symptom::NoProducer) && has(Symptom::PersonalData), "{found:?}");
    assert!(!format!("{found:?}").contains("ada@"));
}

#[test]
fn a_trace_that_may_still_grow_is_not_said_to_miss_anything() {
    let traces = traces("no-delivery-telemetry");
    let last = traces.iter().flat_map(|t| &t.spans).map(|s| s.end_ns).max().unwrap();
    let found = health(&traces, &route(), last + 1);
    assert!(found.iter().all(|a| a.symptom != Symptom::ParentMissing), "{found:?}");
}

#[test]
fn the_states_are_those_of_the_stamps_of_a_trace() {
    let traces = traces("new-years-eve");
    let journey = journey::stamps(&traces[0], &route(), u64::MAX);
    assert_eq!(journey.stamps[5].state, State::Stopped);
    assert_eq!(journey.end, None);
}
