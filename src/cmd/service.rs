//! `waybill service NAME`: one of the eight services, in this process.

use std::process::ExitCode;

use anyhow::anyhow;
use chassis::{RunError, Service, Settings};

use crate::{cmd::stop::StopArgs, failure::Usage, runtime};

/// The eight, in the order in which an order meets them.
pub(crate) const SERVICES: [Service; 8] = [
    mobile_app::SERVICE,
    auth::SERVICE,
    restaurant_availability::SERVICE,
    payment_gateway::SERVICE,
    restaurant_orders::SERVICE,
    delivery_assignment::SERVICE,
    tracking::SERVICE,
    notification::SERVICE,
];

/// Run one service
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Settings come from the environment: WAYBILL_LISTEN, DATABASE_URL, the other services' and third parties' URLs, OTEL_*; see
docs/architecture.md.

Examples:
  waybill service auth
  OTEL_TRACES_EXPORTER=console waybill service restaurant-orders")]
pub(crate) struct Args {
    /// mobile-app, auth, restaurant-availability, payment-gateway, restaurant-orders, delivery-assignment, tracking or
    /// notification
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    stop: StopArgs,
}

// === impl Args ===

impl Args {
    /// Runs until told to stop.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let service = find(&self.name)?;
        runtime::run(async {
            let stop = self.stop.requested()?;
            match chassis::run_until(service, stop).await {
                Ok(()) => Ok(ExitCode::SUCCESS),
                Err(error @ (RunError::Settings(_) | RunError::Telemetry(_))) => Err(usage(error)),
                Err(error) => Err(error.into()),
            }
        })
    }
}

/// Lets service `name` read `settings`, and the telemetry its part of them, without starting anything.
///
/// # Errors
/// [`Usage`] that names every bad one.
pub(crate) fn check(name: &str, settings: &[(String, String)]) -> anyhow::Result<()> {
    telemetry::check(&settings.iter().cloned().collect()).map_err(usage)?;
    chassis::check(&find(name)?, Settings::from_pairs(settings.iter().cloned())).map_err(usage)
}

fn find(name: &str) -> anyhow::Result<Service> {
    SERVICES.into_iter().find(|s| s.name == name).ok_or_else(|| {
        let known: Vec<_> = SERVICES.iter().map(|s| s.name).collect();
        Usage(format!("no service is called {name:?}: one of {}", known.join(", "))).into()
    })
}

fn usage(error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Error {
    Usage(format!("{:#}", anyhow!(error))).into()
}
