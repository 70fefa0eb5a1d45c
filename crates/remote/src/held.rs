//! Bodies of which one half goes at once and the other when a gate opens, so that requests are under way
//! at the same time for certain, and not by luck.
//!
//! A store that sends its bodies as a whole, as a folder does, passes over the gate.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{StreamExt, once};
use tokio::sync::watch;

/// What bodies wait at. Clones are one gate.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<State>);

#[derive(Debug)]
struct State {
    open: watch::Sender<bool>,
    arrived: watch::Sender<usize>,
    /// Whether any body waited here.
    used: AtomicBool,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let (open, arrived) = (watch::Sender::new(false), watch::Sender::new(0));
        Self(Arc::new(State { open, arrived, used: AtomicBool::new(false) }))
    }

    /// A body that waits here.
    pub(crate) fn hold(&self, content: Bytes) -> Held {
        Held { content, gate: self.clone(), arrived: Arc::default() }
    }

    /// Lets all bodies go on.
    pub(crate) fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Waits until so many bodies are half sent, or done with.
    pub(crate) async fn arrivals(&self, bodies: usize) {
        let mut arrived = self.0.arrived.subscribe();
        arrived.wait_for(|count| *count >= bodies).await.expect("this gate holds the sender");
    }

    /// Whether any body was held here.
    pub(crate) fn was_used(&self) -> bool {
        self.0.used.load(Ordering::Relaxed)
    }
}

/// The body of one request.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    content: Bytes,
    gate: Gate,
    arrived: Arc<AtomicBool>,
}

impl Held {
    /// One that is not held at all.
    pub(crate) fn plain(content: Bytes) -> Self {
        let gate = Gate::new();
        gate.open();
        gate.hold(content)
    }

    /// The whole of it.
    pub(crate) fn content(&self) -> Bytes {
        self.content.clone()
    }

    /// Says that it is half sent, or that its request is done.
    pub(crate) fn arrive(&self) {
        if !self.arrived.swap(true, Ordering::Relaxed) {
            self.gate.0.arrived.send_modify(|count| *count += 1);
        }
    }

    /// Its first half at once, and the second when the gate opens.
    #[cfg_attr(not(any(feature = "aws", test)), expect(dead_code, reason = "it needs HTTP"))]
    pub(crate) fn halves(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        let mut second = self.content.clone();
        let first = second.split_to(second.len() / 2);
        let rest = async move {
            self.gate.0.used.store(true, Ordering::Relaxed);
            // Whoever asks for more has sent what there was.
            self.arrive();
            let mut open = self.gate.0.open.subscribe();
            open.wait_for(|open| *open).await.expect("the gate holds the sender");
            Ok(second)
        };
        once(ready(Ok(first))).chain(once(rest))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_second_half_waits_for_the_gate() {
        let gate = Gate::new();
        let held = gate.hold("abcd".into());
        let mut halves = Box::pin(held.clone().halves());
        assert!(gate.arrivals(1).now_or_never().is_none() && !gate.was_used());
        assert_eq!(halves.next().now_or_never().unwrap().unwrap().unwrap(), "ab");
        assert!(halves.next().now_or_never().is_none(), "the gate is closed");
        assert!(gate.arrivals(1).now_or_never().is_some() && gate.was_used());
        held.arrive();
        assert!(gate.arrivals(2).now_or_never().is_none(), "it counts once");
        gate.open();
        assert_eq!(halves.next().now_or_never().unwrap().unwrap().unwrap(), "cd");
        assert!(halves.next().now_or_never().unwrap().is_none());
    }
}
