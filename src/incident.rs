//! Incidents: the whole system as real processes, made to go wrong from outside, with what truly happened written down.
//!
//! An incident is a value in [`ALL`], one file each; it says how its fleet is set up and which faults come when. Running
//! one ([`run`]) leaves a folder that `waybill grade` reads; the files are described in `docs/incidents.md`.

mod act;
mod audit;
mod crowd;
mod proxy;
mod record;
mod rest;
mod run;
mod stage;
mod store;
mod told;
mod truth;

mod broken_propagation;
mod clock_skew;
mod collector_down;
mod dropping_exporter;
mod duplicate_delivery;
mod new_years_eve;
mod partition;
mod payment_timeout;
mod poison_message;
mod process_killed;
mod push_provider_down;
mod restaurant_rejects;
mod slow_handoff;
mod tail_sampling;

pub(crate) use record::{Files, Record, Telemetry, Truth};
pub(crate) use run::{Request, run};
use stage::{Draw, Stage};

/// Something that goes wrong, told by data: the fleet's settings, the third parties' conduct, the faults over time.
pub(crate) trait Incident: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What happens, in one sentence.
    fn tells(&self) -> &'static str;

    /// Orders that are placed unless the caller says how many.
    fn orders(&self) -> u32 {
        30
    }

    /// `WAYBILL_RESILIENCE` unless the caller says which.
    fn resilient(&self) -> bool {
        true
    }

    /// The settings and faults, drawn by the run's seed.
    ///
    /// # Errors
    /// What this machine lacks for it, with the remedy.
    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage>;
}

/// Every incident.
pub(crate) const ALL: &[&dyn Incident] = &[
    &new_years_eve::NewYearsEve,
    &payment_timeout::PaymentTimeout,
    &restaurant_rejects::RestaurantRejects,
    &process_killed::ProcessKilled,
    &partition::Partition,
    &poison_message::PoisonMessage,
    &push_provider_down::PushProviderDown,
    &slow_handoff::SlowHandoff,
    &duplicate_delivery::DuplicateDelivery,
    &broken_propagation::BrokenPropagation,
    &collector_down::CollectorDown,
    &dropping_exporter::DroppingExporter,
    &clock_skew::ClockSkew,
    &tail_sampling::TailSampling,
];

/// The incident called `name`.
pub(crate) fn find(name: &str) -> Option<&'static dyn Incident> {
    ALL.iter().copied().find(|i| i.name() == name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_incident_has_its_own_name_and_tells_what_happens() {
        let mut names: Vec<_> = ALL.iter().map(|i| i.name()).collect();
        assert!(ALL.iter().all(|i| i.tells().ends_with('.') && find(i.name()).is_some()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn the_same_seed_sets_the_same_stage() {
        for incident in ALL {
            let stage = |seed| incident.stage(&mut Draw::new(seed)).map(|s| format!("{s:?}"));
            let (Ok(first), Ok(second)) = (stage(7), stage(7)) else { continue };
            assert_eq!(first, second, "{}", incident.name());
        }
    }
}
