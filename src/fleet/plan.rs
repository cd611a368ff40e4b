//! What shall run: which parts, on which ports, with which files.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::{
    environment::Override,
    parts::{self, PARTS, Part},
    ports::Block,
};
use crate::failure::Usage;

/// Where the ports come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PortChoice {
    /// The documented ones: 8080, 16686, 4318 and so on.
    Default,
    /// Free ones, found at start and written to `endpoints.json`.
    Auto,
}

/// What the caller asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Which ports.
    pub(crate) ports: PortChoice,
    /// Folder for everything that is kept.
    pub(crate) data: PathBuf,
    /// Only these parts; empty for all.
    pub(crate) only: Vec<String>,
    /// Not these parts.
    pub(crate) without: Vec<String>,
    /// Folder with `<service>/otel.env` files instead of those of the checkout.
    pub(crate) otel_env_dir: Option<PathBuf>,
    /// The collector's configuration file instead of the one of the checkout.
    pub(crate) collector_config: Option<PathBuf>,
    /// Settings for single parts, the strongest.
    pub(crate) overrides: Vec<Override>,
    /// Show no part's warnings and deaths on stderr: where they are wanted, they are no news. The logs have them.
    pub(crate) quiet: bool,
}

/// Parts and ports, decided.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The parts that run, in stop order.
    pub(crate) parts: Vec<&'static Part>,
    /// Folder for everything that is kept, absolute.
    pub(crate) data: PathBuf,
    /// As asked for.
    pub(crate) options: Options,
    // Ports of all parts, those that do not run included: others may be told where they would be.
    ports: BTreeMap<(&'static str, &'static str), u16>,
    _lock: Option<TcpListener>,
}

// === impl Plan ===

impl Plan {
    /// Decides parts and ports.
    ///
    /// # Errors
    /// [`Usage`] for an unknown part name or an empty choice; an I/O error when no free block of ports is found.
    pub(crate) fn new(options: Options) -> anyhow::Result<Self> {
        let parts = choose(&options)?;
        let data = std::path::absolute(&options.data)
            .with_context(|| format!("data directory {}", options.data.display()))?;
        let (ports, lock) = assign(options.ports)?;
        Ok(Self { parts, data, options, ports, _lock: lock })
    }

    /// Port of `part` for `role`.
    pub(crate) fn port(&self, part: &str, role: &str) -> u16 {
        self.ports.iter().find(|((p, r), _)| *p == part && *r == role).map_or(0, |(_, port)| *port)
    }

    /// `http://127.0.0.1:<port>` of `part` for `role`.
    pub(crate) fn url(&self, part: &str, role: &str) -> String {
        format!("http://127.0.0.1:{}", self.port(part, role))
    }

    /// Whether `name` is among the parts that run.
    pub(crate) fn runs(&self, name: &str) -> bool {
        self.parts.iter().any(|p| p.name == name)
    }

    /// Folder for the parts' logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.data.join("logs")
    }

    /// The file that tells others where everything is.
    pub(crate) fn endpoints(&self) -> PathBuf {
        self.data.join("endpoints.json")
    }

    /// Folder for what `part` keeps.
    pub(crate) fn folder(&self, part: &str) -> PathBuf {
        self.data.join(part)
    }

    /// The collector's configuration: the one asked for, else the checkout's; none for the built-in one.
    pub(crate) fn collector_config(&self) -> Option<PathBuf> {
        let checkout = || Some(PathBuf::from("collector-config.yaml")).filter(|p| p.exists());
        self.options.collector_config.clone().or_else(checkout)
    }

    /// A path as text for an environment variable.
    pub(crate) fn text(path: &Path) -> String {
        path.to_string_lossy().into_owned()
    }
}

fn choose(options: &Options) -> anyhow::Result<Vec<&'static Part>> {
    let named = options.only.iter().chain(&options.without);
    let parts_of_overrides = options.overrides.iter().map(|o| &o.part);
    for name in named.chain(parts_of_overrides) {
        if parts::find(name).is_none() {
            let known: Vec<_> = PARTS.iter().map(|p| p.name).collect();
            return Err(Usage(format!("no part is called {name:?}: one of {}", known.join(", "))).into());
        }
    }
    let listed = |list: &[String], part: &Part| list.iter().any(|n| n == part.name);
    let chosen: Vec<_> = PARTS
        .iter()
        .filter(|p| options.only.is_empty() || listed(&options.only, p))
        .filter(|p| !listed(&options.without, p))
        .collect();
    if chosen.is_empty() {
        return Err(Usage("--only and --without leave no part to start".to_owned()).into());
    }
    Ok(chosen)
}

type Ports = BTreeMap<(&'static str, &'static str), u16>;

fn assign(choice: PortChoice) -> anyhow::Result<(Ports, Option<TcpListener>)> {
    let all = PARTS.iter().flat_map(|part| part.ports.iter().map(move |port| (part.name, port)));
    match choice {
        PortChoice::Default => {
            Ok((all.map(|(part, port)| ((part, port.role), port.default)).collect(), None))
        }
        PortChoice::Auto => {
            let mut block = Block::take().context("looking for free ports")?;
            let mut ports = Ports::new();
            for (part, port) in all {
                ports.insert((part, port.role), block.next()?);
            }
            Ok((ports, Some(block.into_lock())))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            ports: PortChoice::Default,
            data: "data".into(),
            only: vec![],
            without: vec![],
            otel_env_dir: None,
            collector_config: None,
            overrides: vec![],
            quiet: false,
        }
    }

    #[test]
    fn only_and_without_choose_parts() {
        let plan = Plan::new(Options {
            only: vec!["auth".into(), "tracestore".into()],
            without: vec!["auth".into()],
            ..options()
        });
        assert_eq!(plan.unwrap().parts.iter().map(|p| p.name).collect::<Vec<_>>(), ["tracestore"]);
    }

    #[test]
    fn an_unknown_part_is_a_usage_error_that_lists_the_known_ones() {
        let error = Plan::new(Options { only: vec!["pizza".into()], ..options() }).unwrap_err();
        assert!(error.is::<Usage>());
        assert!(error.to_string().contains("\"pizza\"") && error.to_string().contains("mobile-app"));
    }

    #[test]
    fn automatic_ports_are_all_different() {
        let plan = Plan::new(Options { ports: PortChoice::Auto, ..options() }).unwrap();
        let mut ports: Vec<_> = plan.ports.values().collect();
        let count = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!((ports.len(), ports.contains(&&0)), (count, false));
    }
}
