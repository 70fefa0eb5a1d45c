//! Elements that wait to be hashed together.

use crate::kernel::{Kernel, KernelKey, MAX_ELEMENT, Partial, Staged};
use crate::{Hasher, LtHash};

/// Up to this length, elements are hashed together with much shorter ones, in bytes: the waiting
/// costs less than hashing them apart.
const SHORT: usize = 1024;

/// Elements that wait for a kernel, and what it has summed.
#[derive(Clone)]
pub(crate) struct Batch {
    kernel: Kernel,
    key: KernelKey,
    added: Side,
    removed: Side,
}

/// Whether an element is added or taken out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Added,
    Removed,
}

/// Elements of one sign.
#[derive(Clone, Default)]
struct Side {
    short: Staged,
    long: Staged,
    /// None before the first time that as many wait as are hashed at once.
    partial: Option<Partial>,
}

impl Batch {
    pub(crate) fn new(kernel: Kernel, hasher: &Hasher) -> Self {
        let key = KernelKey::new(hasher.key().map(crate::Key::as_bytes));
        Self { kernel, key, added: Side::default(), removed: Side::default() }
    }

    /// Takes the element that is the concatenation of `parts`, unless it is too long.
    pub(crate) fn take(&mut self, parts: &[&[u8]], sign: Sign) -> bool {
        let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if length > MAX_ELEMENT {
            return false;
        }
        let side = match sign {
            Sign::Added => &mut self.added,
            Sign::Removed => &mut self.removed,
        };
        let staged = if length <= SHORT { &mut side.short } else { &mut side.long };
        staged.push(parts);
        if staged.len() == self.kernel.width() {
            let partial = side.partial.get_or_insert_with(Partial::new);
            self.kernel.absorb(&self.key, staged, partial);
            staged.clear();
        }
        true
    }

    /// Adds all that was taken to `sum`.
    pub(crate) fn settle(self, hasher: &Hasher, sum: &mut LtHash) {
        let Self { kernel, key, added, removed } = self;
        for (side, sign) in [(added, Sign::Added), (removed, Sign::Removed)] {
            side.settle(kernel, &key, hasher, |elements| match sign {
                Sign::Added => *sum += elements,
                Sign::Removed => *sum -= elements,
            });
        }
    }
}

impl Side {
    /// Gives the sum of all that was taken to `add`, in parts.
    fn settle(
        self,
        kernel: Kernel,
        key: &KernelKey,
        hasher: &Hasher,
        mut add: impl FnMut(&LtHash),
    ) {
        let Self { short, long, mut partial } = self;
        for staged in [short, long] {
            // A partial sum that must be made for it costs as much as some elements.
            let few = if partial.is_some() { 0 } else { kernel.width() / 4 };
            if staged.len() >= kernel.worthwhile() + few {
                kernel.absorb(key, &staged, partial.get_or_insert_with(Partial::new));
            } else {
                staged.iter().for_each(|element| add(&hasher.element(element)));
            }
        }
        if let Some(partial) = partial {
            add(&partial.sum());
        }
    }
}
