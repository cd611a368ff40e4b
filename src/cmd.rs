//! The commands, one file each: their flags, and what they do.

pub(crate) mod collector;
mod demo;
mod doctor;
mod grade;
pub(crate) mod health;
mod incident;
mod load;
mod lost;
pub(crate) mod partners;
mod report;
pub(crate) mod service;
mod stop;
pub(crate) mod tracestore;
mod up;
mod r#where;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Distributed tracing for a food-order pipeline: eight services, a collector, a trace store with the Jaeger UI.
#[derive(Debug, Parser)]
#[command(name = "waybill", version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  waybill demo                          start everything, order some food, tell the tale
  waybill up                            start everything on the usual ports, data in ./data
  waybill up --ports auto --data /tmp/w start everything on free ports; see /tmp/w/endpoints.json
  waybill load --rate 50 --duration 30s place 50 orders a second and follow each to its end
  waybill where 7F3K-9QZD-XM42          say where an order is, from any id that someone holds
  waybill lost --since 1h               all orders that stopped, and the money that hangs on them
  waybill doctor                        is the telemetry itself sound?

Exit status: 0 success, 1 failure, 2 wrong usage or a bad setting.";

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Args),
    Demo(demo::Args),
    Load(load::Args),
    Where(r#where::Args),
    Incident(incident::Args),
    Grade(grade::Args),
    Lost(lost::Args),
    Doctor(doctor::Args),
    Health(health::Args),
    Service(service::Args),
    Partners(partners::Args),
    Collector(collector::Args),
    Tracestore(tracestore::Args),
}

// === impl Cli ===

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Up(args) => args.run(),
            Command::Demo(args) => args.run(),
            Command::Load(args) => args.run(),
            Command::Where(args) => args.run(),
            Command::Incident(args) => args.run(),
            Command::Grade(args) => args.run(),
            Command::Lost(args) => args.run(),
            Command::Doctor(args) => args.run(),
            Command::Health(args) => args.run(),
            Command::Service(args) => args.run(),
            Command::Partners(args) => args.run(),
            Command::Collector(args) => args.run(),
            Command::Tracestore(args) => args.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
