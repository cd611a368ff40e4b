//! The one binary that plays every part of Waybill: `waybill --help` tells what it can do.

mod ask;
mod cmd;
mod demo;
mod doctor;
mod failure;
mod fleet;
mod grade;
mod incident;
mod load;
mod lost;
mod render;
mod runtime;
mod shop;
mod term;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cmd::Cli::parse();
    match cli.run() {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}
