//! What the witnesses say of each order, asked as `where` asks them, and written down.

use std::collections::BTreeMap;

use contracts::keys::ORDER_ID;
use futures::{StreamExt, stream};
use journey::{Case, Route, Trace, Witness, adapters::otlp};

use crate::{
    ask::{Books, Places},
    fleet::Plan,
};

/// Orders that are asked about at once: a service that hangs costs each of them its patience.
const AT_ONCE: usize = 16;

/// Asks about every order of which the recorded traces tell, and of the others with nothing but the id.
///
/// # Errors
/// When the fleet's `endpoints.json` or a recorded trace cannot be read.
pub(super) async fn ask(
    plan: &Plan,
    orders: &[String],
    lines: &[String],
) -> anyhow::Result<BTreeMap<String, Vec<Witness>>> {
    let places = Places::read(Some(&plan.endpoints()), false)?;
    let books = Books::new(places)?;
    let route = Route::parse(contracts::ROUTE)?;
    let cases = cases(orders, lines, &route)?;
    let books = &books;
    let asked = cases.into_iter().map(|(id, case)| async move { (id, books.witnesses(&case).await) });
    Ok(stream::iter(asked).buffer_unordered(AT_ONCE).collect().await)
}

fn cases(orders: &[String], lines: &[String], route: &Route) -> anyhow::Result<Vec<(String, Case)>> {
    let mut traces: BTreeMap<&str, Vec<Trace>> = orders.iter().map(|id| (id.as_str(), Vec::new())).collect();
    for line in lines {
        for trace in otlp::parse(line.as_bytes())? {
            if let Some(known) = trace.attribute(ORDER_ID).and_then(|id| traces.get_mut(id)) {
                known.push(trace);
            }
        }
    }
    let case = |(id, traces): (&str, Vec<Trace>)| {
        let told = Case::split(traces, route).into_iter().find(|c| c.subject.as_deref() == Some(id));
        (id.to_owned(), told.unwrap_or_else(|| Case { subject: Some(id.to_owned()), ..Case::default() }))
    };
    Ok(traces.into_iter().map(case).collect())
}
