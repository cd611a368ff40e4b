//! The findings for people and for programs.

use serde_json::{Value, json as object};

use super::{Finding, Report};
use crate::{
    ask::Backend,
    render::{Look, clean},
};

/// Version of the form of `--json`.
const VERSION: u32 = 1;

/// Each finding with its example and its remedy, then what was looked at.
pub(crate) fn lines(report: &Report, backend: &Backend, look: Look, since: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in &report.findings {
        lines.extend(of(finding, backend, look));
        lines.push(String::new());
    }
    let verdict = match report.findings.len() {
        0 if report.traces == 0 => "no traces to look at, and nothing else is wrong".to_owned(),
        0 => "the telemetry is sound".to_owned(),
        1 => "1 finding".to_owned(),
        n => format!("{n} findings"),
    };
    let asked = report.counters.faces.len();
    let services = if asked == 0 {
        "no service was asked for its settings and counters (--endpoints FILE, or the services' *_URL)"
            .to_owned()
    } else {
        format!("the settings and counters of {asked} services")
    };
    lines.push(look.bold(&verdict));
    lines.push(look.dim(&format!("looked at {} traces of the last {since}, and {services}", report.traces)));
    lines
}

fn of(finding: &Finding, backend: &Backend, look: Look) -> Vec<String> {
    let sign = if look.signs { "⚠️ " } else { "! " };
    let times = if finding.count > 1 { format!(" ({} times)", finding.count) } else { String::new() };
    let head = format!("{sign}{}: {}", clean(&finding.service), finding.kind.words());
    let mut lines = vec![look.bold(&head), format!("   {}{times}", clean(&finding.says))];
    lines.extend(finding.trace.as_ref().map(|id| format!("   example  {}", backend.link(id))));
    lines.push(format!("   remedy   {}", clean(&finding.remedy)));
    lines
}

/// One object. `services` holds every setting in force.
pub(crate) fn json(report: &Report, backend: &Backend) -> Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            let mut value = object!(finding);
            value["link"] = object!(finding.trace.as_ref().map(|id| backend.link(id)));
            value
        })
        .collect();
    let services: serde_json::Map<String, Value> = report
        .counters
        .faces
        .iter()
        .map(|(service, face)| {
            let settings = face.as_ref().ok().map(|f| &f.settings);
            ((*service).to_owned(), object!({ "settings": settings }))
        })
        .collect();
    object!({
        "version": VERSION,
        "sound": report.findings.is_empty(),
        "findings": findings,
        "traces": report.traces,
        "services": services,
    })
}
