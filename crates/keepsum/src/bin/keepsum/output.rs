//! Standard output: the result, as a page for people or as one JSON document.

use std::io::{self, Write};

use keepsum::ExitCode;
use serde::Serialize;

use crate::failure::{Account, Failure};
use crate::page::Page;

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether results are printed as JSON.
    pub(crate) fn prints_documents(self) -> bool {
        self.json
    }

    /// Prints a result.
    ///
    /// # Errors
    /// [`Failure::Output`]; a reader that has gone is none.
    pub(crate) fn result<R: Page + Serialize + ?Sized>(self, report: &R) -> Result<(), Failure> {
        if self.json { document(report) } else { raw(report.page().as_bytes()) }
    }

    /// Says why the command failed: a line on standard error, and with `--json` a document too.
    pub(crate) fn failure(self, failure: &Failure) -> ExitCode {
        self.account(&failure.account());
        failure.exit_code()
    }

    pub(crate) fn account(self, account: &Account) {
        #[derive(Serialize)]
        struct Document<'a> {
            error: &'a Account,
        }
        // Nothing is left to do where standard error is closed as well.
        let _ = writeln!(io::stderr(), "keepsum: {}", account.line());
        if self.json {
            let _ = document(&Document { error: account });
        }
    }
}

fn document<T: Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    let mut bytes = serde_json::to_vec(value).map_err(|error| Failure::Output(error.into()))?;
    bytes.push(b'\n');
    raw(&bytes)
}

/// Writes bytes as they are. A pipe whose reader has gone (`keepsum snapshots | head`) is no error:
/// what was to be done is done.
///
/// # Errors
/// [`Failure::Output`].
pub(crate) fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}
