//! A verdict on whatever a Jaeger answered: `cargo run -p waybill-journey --example verdict -- route.yaml traces.json`.

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use journey::{Case, Heard, Route, State, adapters::jaeger, judge, sentence};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(route), Some(traces)) = (args.next(), args.next()) else {
        return Err("usage: verdict ROUTE.yaml TRACES.json [SECONDS AFTER THE LAST SPAN]".into());
    };
    let after: Option<u64> = args.next().map(|s| s.parse()).transpose()?;
    let route = Route::parse(&std::fs::read_to_string(route)?)?;
    let traces = jaeger::parse(&std::fs::read(traces)?)?;
    let mut out = std::io::stdout().lock();
    let soon = traces.iter().flat_map(|t| &t.spans).map(|s| s.end_ns).max().unwrap_or_default();
    for ailment in journey::health(&traces, &route, soon.saturating_add(3_600_000_000_000)) {
        let journey::Ailment { symptom, service, detail, count, .. } = ailment;
        writeln!(out, "{symptom:?}: {service}: {detail} ({count})")?;
    }
    let newest = traces.iter().flat_map(|t| &t.spans).map(|s| s.end_ns).max().unwrap_or_default();
    let heard = Heard::of(&traces, newest);
    for mut case in Case::split(traces, &route) {
        if case.subject.is_none() {
            continue;
        }
        case.heard = heard.clone();
        let last = case.traces.iter().flat_map(|t| &t.spans).map(|s| s.end_ns).max().unwrap_or_default();
        let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
        let now = after.map_or(now, |s| last.saturating_add(s * 1_000_000_000));
        let verdict = judge(&case, &route, &[], now);
        let signs: Vec<_> = verdict.stamps.iter().map(|s| s.state.emoji()).collect();
        let noun = format!("{} {}", route.noun, case.subject.as_deref().unwrap_or("without a name"));
        writeln!(out, "{}  {}", signs.join(" "), sentence(&verdict, &route, &noun))?;
        for stamp in verdict.stamps.iter().filter(|s| s.state != State::Never) {
            let left = stamp.handoff_ns.map(|ns| format!("{:.1} ms", Milli::of(ns))).unwrap_or_default();
            writeln!(out, "    {} {} {left}", stamp.state.emoji(), stamp.step)?;
        }
        for finding in &verdict.findings {
            let step = finding.step.as_deref().unwrap_or("-");
            writeln!(out, "    {:?}: {step}: {}: {}", finding.weight, finding.source, finding.says)?;
        }
    }
    Ok(())
}

struct Milli;

impl Milli {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn of(ns: i64) -> f64 {
        ns as f64 / 1e6
    }
}
