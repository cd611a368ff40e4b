//! What the commands have in common that ask a whole fleet and report on it: `lost` and `doctor`.

use crate::{
    ask::{Backend, BackendArgs, Books},
    render::Look,
};

/// Which fleet, and in which form.
#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// For programs: one JSON object on a line (docs/lost.md, docs/doctor.md)
    #[arg(long)]
    pub(super) json: bool,
    /// Without colour and signs
    #[arg(long, conflicts_with = "json")]
    plain: bool,
    #[command(flatten)]
    backend: BackendArgs,
}

// === impl ReportArgs ===

impl ReportArgs {
    /// The trace store, and the books of the services beside it.
    ///
    /// # Errors
    /// A flag that cannot be used, or a store that cannot be asked.
    pub(super) async fn sources(&self) -> anyhow::Result<(Backend, Books)> {
        let backend = Backend::connect(&self.backend).await?;
        Ok((backend, Books::new(self.backend.places()?)?))
    }

    /// How lines for people look.
    pub(super) fn look(&self) -> Look {
        Look::of_stdout(self.plain)
    }
}
