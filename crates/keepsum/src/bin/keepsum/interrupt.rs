//! Ctrl-C and the end of a service: the first asks the work to stop, the second ends it.

use std::io;
use std::process;

use backup_core::progress::Context;
use keepsum::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

use crate::progress::Reporter;

const STOPPING: &str = "stopping; nothing is half-written; press Ctrl-C again to stop at once";

/// Watches for SIGINT and SIGTERM until the runtime ends.
///
/// # Errors
/// Where the system lets no handler be set.
pub(crate) fn watch(context: Context, reporter: Reporter) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if context.is_cancelled() {
                reporter.finish();
                process::exit(i32::from(ExitCode::Failed as u8));
            }
            context.cancel();
            reporter.say(STOPPING);
        }
    });
    Ok(())
}
