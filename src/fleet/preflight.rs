//! What is looked at before anything starts, so that a mistake is one clear line and not half a fleet.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
};

use anyhow::{Context, bail};

use super::{
    environment::{self, Environment},
    parts::{Kind, Part},
    plan::{Plan, PortChoice},
    ports,
};
use crate::{cmd, runtime};

/// What the checks found out: the settings of each part, and the lock on the data directory.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Settings by part, in the plan's order.
    pub(crate) environments: Vec<(&'static Part, Environment)>,
    /// Held for as long as the fleet runs.
    pub(crate) lock: File,
}

/// Looks at directory, ports and settings, in this order.
///
/// # Errors
/// All that is wrong, one line each, with the remedy.
pub(crate) fn check(plan: &Plan) -> anyhow::Result<Checked> {
    let lock = data_directory(&plan.data)?;
    free_ports(plan)?;
    let mut environments = Vec::new();
    for part in &plan.parts {
        let env = environment::of(part, plan)?;
        settings(part, &env, plan).with_context(|| format!("settings of {}", part.name))?;
        environments.push((*part, env));
    }
    Ok(Checked { environments, lock })
}

/// Lets the part itself read what it will be given: the fleet's settings over those that it inherits.
fn settings(part: &Part, env: &Environment, plan: &Plan) -> anyhow::Result<()> {
    let get = |name: &str| env.get(name).cloned().or_else(|| runtime::variable(name));
    match part.kind {
        Kind::Partners => cmd::partners::options(get).map(drop),
        Kind::TraceStore => cmd::tracestore::options(get).map(drop),
        Kind::Collector => cmd::collector::config(plan.collector_config().as_deref(), &get).map(drop),
        Kind::Service => {
            let inherited = runtime::variables().into_iter().filter(|(name, _)| !env.contains_key(name));
            let own = env.iter().map(|(name, value)| (name.clone(), value.clone()));
            cmd::service::check(part.name, &inherited.chain(own).collect::<Vec<_>>())
        }
    }
}

fn data_directory(data: &Path) -> anyhow::Result<File> {
    let unusable =
        || format!("data directory {} cannot be written: choose another with --data", data.display());
    fs::create_dir_all(data.join("logs")).with_context(unusable)?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(data.join("lock"))
        .with_context(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!(
            "data directory {} is in use by another waybill: stop that one, or choose another with --data",
            data.display()
        ),
        Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => Ok(lock),
        Err(TryLockError::Error(e)) => Err(e).with_context(unusable),
    }
}

/// Automatic ports were found free a moment ago and are held by the block's lock.
fn free_ports(plan: &Plan) -> anyhow::Result<()> {
    if plan.options.ports == PortChoice::Auto {
        return Ok(());
    }
    let taken: Vec<_> = plan
        .parts
        .iter()
        .flat_map(|part| part.ports.iter().map(move |port| (part, port)))
        .filter_map(|(part, port)| ports::taken(part, port.role, port.default))
        .collect();
    if taken.is_empty() { Ok(()) } else { bail!("{}", taken.join("\n       ")) }
}
