//! What every command needs: where the repository is, this host, progress and the output.

use std::sync::Arc;
use std::time::Duration;

use backup_core::progress::Context;
use keepsum::{Error, Host, Repository, RepositoryLocation};
use remote::retry::Patience;
use serde::Serialize;

use crate::args::Common;
use crate::failure::Failure;
use crate::flags;
use crate::interrupt;
use crate::output::Output;
use crate::page::Page;
use crate::progress::Reporter;
use crate::state;

/// One run of the command.
pub(crate) struct Session {
    repo: Option<String>,
    output: Output,
    /// What is said meanwhile.
    pub(crate) reporter: Reporter,
    /// Given to every call of the engine.
    pub(crate) context: Context,
    /// This machine.
    pub(crate) host: Host,
    /// How long requests to the repository are tried.
    patience: Patience,
}

impl Session {
    /// Starts a run: from here on, signals ask the work to stop.
    pub(crate) fn start(common: &Common, output: Output) -> Result<Self, Failure> {
        let reporter = Reporter::new(common);
        let context = Context::new(Arc::new(reporter.clone()));
        interrupt::watch(context.clone(), reporter.clone()).map_err(Failure::Runtime)?;
        let host = Host::system(host_name());
        let outage = Duration::from_secs(common.patience);
        let patience = Patience { outage, ..Patience::default() };
        Ok(Self { repo: common.repo.clone(), output, reporter, context, host, patience })
    }

    /// Where the repository is.
    pub(crate) fn location(&self) -> Result<RepositoryLocation, Failure> {
        let Some(repo) = self.repo.as_deref().filter(|repo| !repo.is_empty()) else {
            return Err(Failure::Usage(
                "no repository is named; add --repo PATH, or set KEEPSUM_REPO",
            ));
        };
        let location = RepositoryLocation::parse(repo).map_err(Error::from)?;
        Ok(location.with_patience(self.patience))
    }

    /// Opens the repository.
    pub(crate) async fn repository(&self) -> Result<Repository, Failure> {
        Ok(self.try_repository().await?.map_err(Error::from)?)
    }

    /// Opens the repository, for who takes damage to it as a result.
    pub(crate) async fn try_repository(&self) -> Result<remote::Result<Repository>, Failure> {
        let location = self.location()?;
        tracing::info!(repository = %location, host = %self.host.name, "opening");
        let opened = Repository::open(&location, &self.host, &self.context).await;
        let reporter = self.reporter.clone();
        let memory =
            state::memory().map(|memory| state::optional(memory, move |note| reporter.note(&note)));
        Ok(match (opened, memory) {
            (Ok(repository), Some(memory)) => Ok(repository.with_memory(memory)),
            (Err(error), Some(memory)) => Err(memory.explain(error).await),
            (opened, None) => opened,
        })
    }

    /// This machine, under another name if one was given.
    pub(crate) fn host_named(&self, name: Option<&str>) -> Host {
        let mut host = self.host.clone();
        if let Some(name) = name {
            name.clone_into(&mut host.name);
        }
        host
    }

    /// Says what the report's reader should know and has not heard yet.
    pub(crate) fn notes(&self, notes: &[String]) {
        self.reporter.finish();
        for note in notes {
            self.reporter.note(&flags::named(note));
        }
    }

    /// Whether results are printed as JSON.
    pub(crate) fn prints_documents(&self) -> bool {
        self.output.prints_documents()
    }

    /// Prints a result; what was shown of the work is gone before.
    pub(crate) fn print<R: Page + Serialize + ?Sized>(&self, report: &R) -> Result<(), Failure> {
        self.reporter.finish();
        self.output.result(report)
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
