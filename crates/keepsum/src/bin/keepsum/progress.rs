//! What long work says on standard error while it goes on.

mod bar;
mod events;
mod lines;

use std::collections::HashSet;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backup_core::progress::{Event, ProgressSink};

use crate::args::{Common, ProgressStyle};
use crate::logging;

/// A part of the work, and how far it is.
#[derive(Debug)]
struct Phase {
    name: &'static str,
    /// The expected bytes; estimates are dropped once they are exceeded.
    total: Option<u64>,
    bytes: u64,
    records: u64,
    started: Instant,
}

/// One way to show it.
trait View: Send {
    /// A phase begins.
    fn begin(&mut self, phase: &Phase);
    /// It went on.
    fn advance(&mut self, phase: &Phase);
    /// It is over.
    fn end(&mut self, phase: &Phase);
    /// A sentence, as it stands.
    fn say(&mut self, sentence: &str);
    /// A sentence that the person should read, about the work.
    fn note(&mut self, sentence: &str) {
        self.say(&format!("note: {sentence}"));
    }
}

/// Takes the events of the engine and shows them.
#[derive(Clone)]
pub(crate) struct Reporter(Arc<Mutex<State>>);

struct State {
    view: Box<dyn View>,
    phase: Option<Phase>,
    noted: HashSet<String>,
}

impl Reporter {
    /// The view that the options and the terminal call for.
    pub(crate) fn new(common: &Common) -> Self {
        Self::with(view(common))
    }

    fn with(view: Box<dyn View>) -> Self {
        Self(Arc::new(Mutex::new(State { view, phase: None, noted: HashSet::new() })))
    }

    /// Says a sentence.
    pub(crate) fn say(&self, sentence: &str) {
        self.change(|state| state.view.say(sentence));
    }

    /// Says a sentence about the work, unless it was said before.
    pub(crate) fn note(&self, sentence: &str) {
        self.change(|state| state.note(sentence));
    }

    /// Ends what is shown; the terminal is as it was.
    pub(crate) fn finish(&self) {
        self.change(State::end_phase);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        // A panic elsewhere leaves nothing here that would not do for a last line.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl ProgressSink for Reporter {
    fn event(&self, event: &Event) {
        self.change(|state| match event {
            Event::Phase { name, bytes } => state.begin_phase(name, *bytes),
            Event::Advanced { bytes, records } => state.advance(*bytes, *records),
            Event::Note(sentence) => state.note(sentence),
            _ => {}
        });
    }
}

impl State {
    fn begin_phase(&mut self, name: &'static str, total: Option<u64>) {
        self.end_phase();
        let phase = Phase { name, total, bytes: 0, records: 0, started: now() };
        self.view.begin(&phase);
        self.phase = Some(phase);
    }

    fn advance(&mut self, bytes: u64, records: u64) {
        if let Some(phase) = &mut self.phase {
            phase.bytes += bytes;
            phase.records += records;
            phase.total = phase.total.filter(|total| phase.bytes <= *total);
            self.view.advance(phase);
        }
    }

    fn end_phase(&mut self) {
        if let Some(phase) = self.phase.take() {
            self.view.end(&phase);
        }
    }

    fn note(&mut self, sentence: &str) {
        if self.noted.insert(sentence.to_owned()) {
            self.view.note(sentence);
        }
    }
}

impl Phase {
    /// Bytes a second since it began; none in its first moment.
    fn rate(&self) -> Option<f64> {
        let seconds = self.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
        (seconds > 0.05).then(|| self.bytes as f64 / seconds)
    }

    fn elapsed(&self) -> Duration {
        now().saturating_duration_since(self.started)
    }
}

/// Nothing is shown.
struct Silent;

impl View for Silent {
    fn begin(&mut self, _: &Phase) {}
    fn advance(&mut self, _: &Phase) {}
    fn end(&mut self, _: &Phase) {}
    fn say(&mut self, _: &str) {}
}

fn view(common: &Common) -> Box<dyn View> {
    if common.quiet {
        return Box::new(Silent);
    }
    let terminal = std::io::stderr().is_terminal()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    match common.progress {
        ProgressStyle::Auto if terminal && !logging::is_asked_for(common) => {
            Box::new(bar::Bar::default())
        }
        ProgressStyle::Bar if terminal => Box::new(bar::Bar::default()),
        ProgressStyle::Auto | ProgressStyle::Bar | ProgressStyle::Plain => {
            Box::new(lines::Lines::new(std::io::stderr(), lines::Show::Progress))
        }
        ProgressStyle::Json => Box::new(events::Events::new(std::io::stderr())),
        ProgressStyle::None => {
            Box::new(lines::Lines::new(std::io::stderr(), lines::Show::SentencesOnly))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "progress is shown at the edge, to a person")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<String>>>);

    impl Recorder {
        fn push(&self, line: String) {
            self.0.lock().unwrap().push(line);
        }
    }

    impl View for Recorder {
        fn begin(&mut self, phase: &Phase) {
            self.push(format!("begin {} {:?}", phase.name, phase.total));
        }
        fn advance(&mut self, phase: &Phase) {
            self.push(format!("at {} of {:?}", phase.bytes, phase.total));
        }
        fn end(&mut self, phase: &Phase) {
            self.push(format!("end {} {}", phase.name, phase.records));
        }
        fn say(&mut self, sentence: &str) {
            self.push(format!("say {sentence}"));
        }
    }

    fn recorded(events: &[Event]) -> Vec<String> {
        let recorder = Recorder::default();
        let reporter = Reporter::with(Box::new(recorder.clone()));
        for event in events {
            reporter.event(event);
        }
        reporter.finish();
        reporter.finish();
        let lines = recorder.0.lock().unwrap();
        lines.clone()
    }

    #[test]
    fn a_phase_ends_when_the_next_begins_and_counts_on_its_own() {
        let phase = |name, bytes| Event::Phase { name, bytes };
        let step = |bytes, records| Event::Advanced { bytes, records };
        let events = [phase("a", Some(10)), step(4, 1), step(8, 2), phase("b", None), step(1, 0)];
        assert_eq!(
            recorded(&events),
            [
                "begin a Some(10)",
                "at 4 of Some(10)",
                "at 12 of None",
                "end a 3",
                "begin b None",
                "at 1 of None",
                "end b 0"
            ]
        );
    }

    #[test]
    fn a_note_is_said_once() {
        let note = || Event::Note("x".into());
        assert_eq!(recorded(&[note(), note()]), ["say note: x"]);
    }
}
