//! Elements that wait to be hashed together.

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
    short: Staged,
    long: Staged,
    /// None before the first time that as many wait as are hashed at once.
    partial: Option<Partial>,
}

impl Batch {
    pub(crate) fn new(kernel: Kernel, hasher: &Hasher) -> Self {
        let key = KernelKey::new(hasher.key().map(crate::Key::as_bytes));
        let (short, long) = (Staged::default(), Staged::default());
        Self { kernel, key, short, long, partial: None }
    }

    /// Takes the element that is the concatenation of `parts`, unless it is too long.
    pub(crate) fn take(&mut self, parts: &[&[u8]], removed: bool) -> bool {
        let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if length > MAX_ELEMENT {
            return false;
        }
        let staged = if length <= SHORT { &mut self.short } else { &mut self.long };
        staged.push(parts, removed);
        if staged.len() == self.kernel.width() {
            let partial = self.partial.get_or_insert_with(Partial::new);
            self.kernel.absorb(&self.key, staged, partial);
            staged.clear();
        }
        true
    }

    /// Adds all that was taken to `sum`.
    pub(crate) fn settle(mut self, hasher: &Hasher, sum: &mut LtHash) {
        for staged in [&self.short, &self.long] {
            // A partial sum that must be made for it costs as much as some elements.
            let few = if self.partial.is_some() { 0 } else { self.kernel.width() / 4 };
            if staged.len() >= self.kernel.worthwhile() + few {
                let partial = self.partial.get_or_insert_with(Partial::new);
                self.kernel.absorb(&self.key, staged, partial);
                continue;
            }
            for (element, removed) in staged.iter() {
                let expanded = hasher.expand(&[element]);
                if removed {
                    sum.subtract_expanded(&expanded);
                } else {
                    sum.add_expanded(&expanded);
                }
            }
        }
        if let Some(partial) = self.partial {
            partial.add_to(sum.lanes_mut());
        }
    }
}
