//! What the libraries log, on standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::args::Common;

/// The variable that says what is logged, in the words of `tracing`: `remote=debug`.
const VARIABLE: &str = "KEEPSUM_LOG";

/// Whether something will be logged: a bar would be torn by it.
pub(crate) fn is_asked_for(common: &Common) -> bool {
    common.verbose > 0 || std::env::var_os(VARIABLE).is_some()
}

/// Starts the log, if it was asked for.
pub(crate) fn start(common: &Common) {
    if !is_asked_for(common) {
        return;
    }
    let usual = match common.verbose {
        0 | 1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}
