//! A bar on a terminal.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::{Phase, View};
use crate::page::text::{Seconds, printable};

const KNOWN: &str = "{msg} [{bar:28}] {bytes} of {total_bytes}, {binary_bytes_per_sec}{left}";
const UNKNOWN: &str = "{msg} {spinner} {bytes}, {binary_bytes_per_sec}";
const TICK: Duration = Duration::from_millis(120);

/// The bar of the current phase; it is wiped when the phase ends.
#[derive(Default)]
pub(super) struct Bar {
    bar: Option<ProgressBar>,
}

impl View for Bar {
    fn begin(&mut self, phase: &Phase) {
        let bar = match phase.total {
            Some(total) => ProgressBar::new(total).with_style(style(KNOWN)),
            None => ProgressBar::new_spinner().with_style(style(UNKNOWN)),
        };
        bar.set_message(phase.name);
        bar.enable_steady_tick(TICK);
        self.bar = Some(bar);
    }

    fn advance(&mut self, phase: &Phase) {
        let Some(bar) = &self.bar else { return };
        if phase.total.is_none() && bar.length().is_some() {
            bar.unset_length();
            bar.set_style(style(UNKNOWN));
        }
        bar.set_position(phase.bytes);
    }

    fn end(&mut self, _: &Phase) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn say(&mut self, sentence: &str) {
        let line = || eprintln!("{}", printable(sentence));
        match &self.bar {
            Some(bar) => bar.suspend(line),
            None => line(),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates of this module are well formed")
        .progress_chars("=> ")
        .with_key("left", left)
}

/// The time left, once something was done to judge it by.
fn left(state: &ProgressState, text: &mut dyn Write) {
    let eta = state.eta().as_secs_f64();
    if state.pos() > 0 && eta > 0.0 {
        // A bar cannot tell that its line was not written.
        let _ = write!(text, ", {} left", Seconds(eta));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_well_formed() {
        for template in [KNOWN, UNKNOWN] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
