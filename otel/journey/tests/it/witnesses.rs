//! What books, counters and silence decide, on traces of real orders.

use journey::{Case, Heard, Outcome, Phase, Says, Verdict, Weight, Witness, judge, sentence};

use crate::real::{route, traces};

const MINUTE: u64 = 60_000_000_000;

fn book(service: &str, says: Says) -> Witness {
    Witness { source: format!("{service}'s book"), says, detail: None }
}

fn done(step: &str) -> Witness {
    book(step, Says::Done { step: step.into() })
}

fn lost(service: &str) -> Witness {
    Witness {
        source: "the collector's counters".into(),
        says: Says::SpansLost { service: service.into(), spans: 12 },
        detail: None,
    }
}

struct Asked {
    case: Case,
    now_ns: u64,
}

fn recorded(name: &str) -> Asked {
    let traces = traces(name);
    let last = traces.iter().flat_map(|t| &t.spans).map(|s| s.end_ns).max().unwrap();
    Asked { case: Case::split(traces, &route()).remove(0), now_ns: last + 10 * MINUTE }
}

impl Asked {
    /// These were heard of in other traces, a minute ago.
    fn heard(mut self, services: &[&str]) -> Self {
        self.case.heard = Heard(services.iter().map(|s| ((*s).to_owned(), self.now_ns - MINUTE)).collect());
        self
    }

    fn without(mut self, gone: impl Fn(&journey::Span) -> bool) -> Self {
        self.case.traces.iter_mut().for_each(|t| t.spans.retain(|s| !gone(s)));
        self
    }

    fn verdict(&self, witnesses: &[Witness]) -> Verdict {
        judge(&self.case, &route(), witnesses, self.now_ns)
    }
}

fn stop(verdict: &Verdict) -> Option<(&str, Phase, Option<&str>)> {
    verdict.stop.as_ref().map(|s| (s.step.as_str(), s.phase, s.cause.as_deref()))
}

fn has(verdict: &Verdict, weight: Weight, source: &str) -> bool {
    verdict.findings.iter().any(|f| f.weight == weight && f.source.contains(source))
}

#[test]
fn a_mute_service_is_decided_by_its_book() {
    let asked = recorded("lost-no-delivery-telemetry");
    assert_eq!(asked.verdict(&[]).outcome, Outcome::Undecided);
    let gave_up = Says::Stopped { step: "delivery-assignment".into(), cause: Some("courier_timeout".into()) };
    let verdict = asked.verdict(&[book("delivery-assignment", gave_up)]);
    assert_eq!(stop(&verdict), Some(("delivery-assignment", Phase::Failed, Some("courier_timeout"))));
    assert!(has(&verdict, Weight::Decisive, "delivery-assignment's book"));
    assert!(sentence(&verdict, &route(), "Order 7").contains("no courier answered within 45 s"));
    let never = Says::NotSeen { step: "delivery-assignment".into() };
    let verdict = asked.verdict(&[book("delivery-assignment", never)]);
    assert_eq!(stop(&verdict), Some(("delivery-assignment", Phase::NotReceived, Some("not_received"))));
    let begun = Says::Begun { step: "delivery-assignment".into() };
    let verdict = asked.verdict(&[book("delivery-assignment", begun)]);
    assert_eq!(stop(&verdict), Some(("delivery-assignment", Phase::NotFinished, Some("no_word"))));
    let ended = book("restaurant-orders", Says::Ended { end: "refunded".into() });
    let verdict = asked.verdict(&[ended]);
    assert_eq!((verdict.outcome, verdict.end.as_deref()), (Outcome::Arrived, Some("refunded")));
}

#[test]
fn what_a_broker_answers_shows_nothing_of_the_receiver() {
    let mut asked = recorded("lost-no-delivery-telemetry");
    for span in
        asked.case.traces.iter_mut().flat_map(|t| &mut t.spans).filter(|s| s.name == "send order.accepted")
    {
        span.attributes.insert("messaging.system".into(), "nats".into());
    }
    let verdict = asked.verdict(&[]);
    assert_eq!(stop(&verdict), Some(("delivery-assignment", Phase::NotReceived, Some("not_received"))));
    assert_eq!(verdict.outcome, Outcome::Stopped);
    // It is heard of nowhere, while its sender is: it is dead or mute, and the message waits or is done.
    let asked = asked.heard(&["mobile-app"]);
    assert_eq!(asked.verdict(&[]).outcome, Outcome::Undecided);
    assert_eq!(asked.verdict(&[done("delivery-assignment")]).stop.map(|s| s.step), Some("tracking".into()));
    // What it would have called is heard of, and has nothing of this order.
    let verdict = asked.heard(&["mobile-app", "restaurant-orders", "tracking"]).verdict(&[]);
    assert_eq!(verdict.outcome, Outcome::Stopped);
}

#[test]
fn a_step_whose_beginning_no_span_shows_yet_has_its_time_from_the_last_that_is_known() {
    // The cart's span alone has come in, and the books are ahead of it.
    let mut asked = recorded("delivered").without(|s| s.name != "POST /carts");
    let known = asked.case.traces.iter().flat_map(|t| &t.spans).map(|s| s.end_ns).max().unwrap();
    let steps = ["mobile-app", "auth", "restaurant-availability", "payment-gateway", "restaurant-orders"];
    let mut books: Vec<_> = steps.into_iter().map(done).collect();
    books.push(book("delivery-assignment", Says::Begun { step: "delivery-assignment".into() }));
    asked.now_ns = known + 1_000_000_000;
    let verdict = asked.verdict(&books);
    assert_eq!(verdict.outcome, Outcome::UnderWay, "{verdict:#?}");
    asked.now_ns = known + 10 * MINUTE;
    let verdict = asked.verdict(&books);
    assert_eq!(verdict.outcome, Outcome::Stopped, "{verdict:#?}");
    assert_eq!(verdict.stop.map(|s| (s.step, s.since_ns)), Some(("delivery-assignment".to_owned(), known)));
}

#[test]
fn a_mute_last_step_is_decided_by_its_book() {
    let asked = recorded("no-notification-telemetry");
    assert_eq!(asked.verdict(&[]).outcome, Outcome::Undecided);
    let verdict = asked.verdict(&[done("notification")]);
    assert_eq!(verdict.outcome, Outcome::Arrived);
    let said = sentence(&verdict, &route(), "Order 7");
    assert_eq!(said, "Order 7 was delivered; the telemetry of notification is missing.");
    let dead = Witness {
        source: "notification".into(),
        says: Says::NoAnswer { service: "notification".into() },
        detail: Some("connection refused".into()),
    };
    let verdict = asked.verdict(&[dead]);
    assert_eq!(stop(&verdict), Some(("notification", Phase::NotFinished, Some("no_word"))));
    assert_eq!(verdict.outcome, Outcome::Stopped);
}

#[test]
fn what_follows_shows_that_a_silent_service_did_nothing_when_its_own_telemetry_works() {
    // delivery-assignment is never heard of; tracking, which it would have called, is.
    let asked =
        recorded("lost-no-delivery-telemetry").heard(&["mobile-app", "restaurant-orders", "tracking"]);
    let verdict = asked.verdict(&[]);
    assert_eq!(verdict.outcome, Outcome::Stopped, "{:#?}", verdict.findings);
    assert_eq!(stop(&verdict), Some(("delivery-assignment", Phase::NotFinished, Some("no_word"))));
    assert!(
        has(&verdict, Weight::Doubt, "the spans of this journey"),
        "its silence is told: {:#?}",
        verdict.findings
    );
}

#[test]
fn a_service_that_is_heard_of_while_its_answer_to_this_order_is_not_leaves_it_undecided() {
    let all = ["mobile-app", "restaurant-orders", "delivery-assignment", "tracking", "notification"];
    let verdict = recorded("lost-no-delivery-telemetry").heard(&all).verdict(&[]);
    assert_eq!(verdict.outcome, Outcome::Undecided, "spans are being dropped: those of tracking may be, too");
}

#[test]
fn a_step_that_began_and_is_silent_since_is_not_blamed_unless_something_else_speaks_against_it() {
    let cut = |s: &journey::Span| {
        s.service == "delivery-assignment" && !s.name.starts_with("accept") && s.name != "POST /events"
    };
    let asked = || recorded("new-years-eve").without(cut);
    assert_eq!(
        asked().verdict(&[]).outcome,
        Outcome::Stopped,
        "nobody is heard of since: nothing speaks for a loss"
    );
    let silent = asked().heard(&["mobile-app", "auth"]);
    assert_eq!(silent.verdict(&[]).outcome, Outcome::Undecided, "others are heard of, and it is not");
    let verdict = asked().heard(&["mobile-app", "tracking"]).verdict(&[]);
    assert_eq!(verdict.outcome, Outcome::Stopped, "what follows would have shown");
    let alive = asked().heard(&["mobile-app", "delivery-assignment"]).verdict(&[]);
    assert_eq!(alive.outcome, Outcome::Stopped, "it speaks, and not of this order");
}

#[test]
fn lost_spans_take_the_force_from_an_absence_and_a_book_gives_it_back() {
    let only = |names: &'static [&str]| {
        move |s: &journey::Span| s.service == "notification" && names.iter().all(|n| !s.name.starts_with(n))
    };
    let cut = only(&["accept", "POST /events"]);
    let calls = recorded("delivered").without(only(&["accept", "POST /events", "POST /pushes"]));
    let calls = calls.heard(&["notification", "tracking"]).verdict(&[]);
    assert_eq!(calls.outcome, Outcome::Undecided, "its calls are there without the span that made them");
    let asked = recorded("delivered").without(cut).heard(&["notification", "tracking"]);
    let verdict = asked.verdict(&[]);
    assert_eq!(stop(&verdict), Some(("notification", Phase::NotFinished, Some("no_word"))));
    let verdict = asked.verdict(&[lost("notification")]);
    assert_eq!(verdict.outcome, Outcome::Undecided);
    assert!(has(&verdict, Weight::Doubt, "the collector's counters"));
    assert_eq!(asked.verdict(&[lost("notification"), done("notification")]).outcome, Outcome::Arrived);
    let lost_elsewhere = asked.verdict(&[lost("auth")]);
    assert_eq!(lost_elsewhere.outcome, Outcome::Stopped, "what auth lost is not what is missing");
}

#[test]
fn a_book_that_contradicts_a_clear_span_is_outweighed_and_shown() {
    let asked = recorded("delivered");
    for says in [
        Says::NotSeen { step: "tracking".into() },
        Says::Stopped { step: "tracking".into(), cause: None },
        Says::Begun { step: "tracking".into() },
        Says::Ended { end: "refunded".into() },
    ] {
        let verdict = asked.verdict(&[book("tracking", says.clone())]);
        assert_eq!(verdict.outcome, Outcome::Arrived, "{says:?}");
        assert!(has(&verdict, Weight::Outweighed, "tracking's book"), "{says:?}: {:#?}", verdict.findings);
    }
}

#[test]
fn a_failed_attempt_gives_way_to_a_book_that_says_it_was_done_later() {
    let verdict = recorded("push-down").verdict(&[done("notification")]);
    assert_eq!(verdict.outcome, Outcome::Arrived);
}

#[test]
fn an_order_without_a_span_is_decided_by_books_alone_or_not_at_all() {
    let asked = Asked { case: Case::default(), now_ns: MINUTE };
    assert_eq!(asked.verdict(&[]).outcome, Outcome::Undecided);
    let verdict = asked.verdict(&[book("restaurant-orders", Says::Ended { end: "delivered".into() })]);
    assert_eq!((verdict.outcome, verdict.end.as_deref()), (Outcome::Arrived, Some("delivered")));
    let stopped = Says::Stopped { step: "delivery-assignment".into(), cause: Some("courier_timeout".into()) };
    let verdict = asked.verdict(&[book("delivery-assignment", stopped)]);
    assert_eq!(stop(&verdict), Some(("delivery-assignment", Phase::Failed, Some("courier_timeout"))));
}

#[test]
fn a_cart_that_nobody_ordered_never_began() {
    let asked = recorded("delivered").without(|s| s.name != "POST /carts");
    let verdict = asked.verdict(&[]);
    assert_eq!(verdict.outcome, Outcome::NotBegun);
    assert!(sentence(&verdict, &route(), "Order 7").contains("never began"));
}

#[test]
fn money_is_told_by_spans_and_by_books() {
    let taken = |amount_minor| book("payment-gateway", Says::Taken { amount_minor, currency: "USD".into() });
    let back =
        |amount_minor| book("payment-gateway", Says::Returned { amount_minor, currency: "USD".into() });
    let asked = recorded("without-gateway");
    let value = asked.verdict(&[]).value.unwrap();
    assert_eq!((value.amount_minor, value.taken, value.returned), (2400, None, None));
    let value = asked.verdict(&[taken(2400)]).value.unwrap();
    assert_eq!((value.taken, value.returned), (Some(true), Some(false)));
    let value = recorded("new-years-eve").verdict(&[back(20_000)]).value.unwrap();
    assert_eq!((value.taken, value.returned), (Some(true), Some(true)));
}

#[test]
fn an_end_that_is_long_in_coming_is_missed_at_the_step_that_owes_it() {
    let asked =
        recorded("delivered").without(|s| s.name.contains("order.delivered") || s.name == "ride.deliver");
    let verdict = asked.verdict(&[]);
    assert_eq!(verdict.outcome, Outcome::UnderWay);
    assert!(sentence(&verdict, &route(), "Order 7").contains("not yet delivered"));
    let late = judge(&asked.case, &route(), &[], asked.now_ns + 180 * MINUTE);
    assert_eq!(stop(&late), Some(("tracking", Phase::NotFinished, Some("no_word"))));
}

#[test]
fn a_verdict_survives_json() {
    let verdict = recorded("new-years-eve").verdict(&[done("auth")]);
    let text = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
}
