//! Elements that wait to be hashed together.

use alloc::vec::Vec;

use crate::kernel::{Kernel, KernelKey, MAX_ELEMENT, Partial, Staged};
use crate::{Hasher, LtHash};

/// Up to this length, elements are hashed together with much shorter ones, in bytes: the waiting
/// costs less than hashing them apart.
const SHORT: usize = 1024;

/// Elements that wait for a kernel, and what it has summed.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    kernel: Kernel,
    key: KernelKey,
    short: Queue,
    long: Queue,
    /// None before the first full queue.
    partial: Option<Partial>,
}

/// Elements of similar length.
#[derive(Clone, Debug, Default)]
struct Queue {
    staged: Vec<Staged>,
    /// How many of them wait; the others were hashed, and their memory is used again.
    waiting: usize,
}

impl Batch {
    pub(crate) fn new(kernel: Kernel, hasher: &Hasher) -> Self {
        let key = KernelKey::new(hasher.key().map(crate::Key::as_bytes));
        let (short, long) = (Queue::default(), Queue::default());
        Self { kernel, key, short, long, partial: None }
    }

    /// Takes the element that is the concatenation of `parts`, unless it is too long.
    pub(crate) fn take(&mut self, parts: &[&[u8]], removed: bool) -> bool {
        let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if length > MAX_ELEMENT {
            return false;
        }
        let queue = if length <= SHORT { &mut self.short } else { &mut self.long };
        if queue.waiting == queue.staged.len() {
            queue.staged.push(Staged::new());
        }
        queue.staged[queue.waiting].fill(parts, removed);
        queue.waiting += 1;
        if queue.waiting == self.kernel.width() {
            let partial = self.partial.get_or_insert_with(Partial::new);
            self.kernel.absorb(&self.key, &queue.staged, partial);
            queue.waiting = 0;
        }
        true
    }

    /// Adds to `sum` all that was taken.
    pub(crate) fn settle(&mut self, hasher: &Hasher, sum: &mut LtHash) {
        for queue in [&mut self.short, &mut self.long] {
            let waiting = &queue.staged[..queue.waiting];
            if waiting.len() >= self.kernel.worthwhile() {
                let partial = self.partial.get_or_insert_with(Partial::new);
                self.kernel.absorb(&self.key, waiting, partial);
            } else {
                for element in waiting {
                    let expanded = hasher.expand(&[element.bytes()]);
                    if element.is_removed() {
                        sum.subtract_expanded(&expanded);
                    } else {
                        sum.add_expanded(&expanded);
                    }
                }
            }
            queue.waiting = 0;
        }
        if let Some(partial) = &mut self.partial {
            partial.drain_into(sum.lanes_mut());
        }
    }
}
