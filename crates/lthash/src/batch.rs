//! Elements that wait to be hashed together.

use crate::kernel::{Group, Kernel, KernelKey, MAX_ELEMENT, Partial, Staged};
use crate::{Hasher, LtHash};

/// Up to these lengths, elements are hashed together with shorter ones, in bytes: the waiting costs less
/// than hashing them apart.
const CLASSES: [usize; 3] = [SHORT, 2048, MAX_ELEMENT];

/// The length of elements that are hashed where they lie, at most.
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
    /// Those of each class.
    staged: [Staged; CLASSES.len()],
    hashed: Hashed,
}

/// What was hashed of one side.
#[derive(Clone, Default)]
enum Hashed {
    #[default]
    Nothing,
    /// Of one group.
    Once(LtHash),
    /// Of several: room for a sum in each lane is worth its cost.
    Often(LtHash, Partial),
}

impl Batch {
    pub(crate) fn new(kernel: Kernel, hasher: &Hasher) -> Self {
        Self {
            kernel,
            key: KernelKey::of(hasher),
            added: Side::default(),
            removed: Side::default(),
        }
    }

    /// Takes the element that is the concatenation of `parts`, unless it is too long.
    pub(crate) fn take(&mut self, parts: &[&[u8]], sign: Sign) -> bool {
        let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let Some(class) = CLASSES.iter().position(|longest| length <= *longest) else {
            return false;
        };
        let side = match sign {
            Sign::Added => &mut self.added,
            Sign::Removed => &mut self.removed,
        };
        let staged = &mut side.staged[class];
        staged.push(parts);
        if staged.len() == self.kernel.width() {
            side.hashed.add(self.kernel, &self.key, &staged.group());
            staged.clear();
        }
        true
    }

    /// Adds elements where they lie: those at the beginning that fill groups and are short. Returns how many.
    pub(crate) fn add_short<E: AsRef<[u8]>>(&mut self, elements: &[E]) -> usize {
        let mut added = 0;
        for elements in elements.chunks_exact(self.kernel.width()) {
            let mut group = Group::default();
            for element in elements.iter().map(E::as_ref) {
                if element.len() > SHORT {
                    return added;
                }
                group.push(element);
            }
            self.added.hashed.add(self.kernel, &self.key, &group);
            added += elements.len();
        }
        added
    }

    /// Adds all that was taken to `sum`.
    pub(crate) fn settle(self, hasher: &Hasher, sum: &mut LtHash) {
        let Self { kernel, added, removed, .. } = self;
        added.settle(kernel, hasher, Sign::Added, sum);
        removed.settle(kernel, hasher, Sign::Removed, sum);
    }
}

/// Hashes few elements, each on its own, adds the first `added` of them to `sum` and takes the others out.
pub(crate) fn each<'a>(
    kernel: Option<Kernel>,
    hasher: &Hasher,
    elements: impl Iterator<Item = &'a [u8]> + Clone,
    added: usize,
    sum: &mut LtHash,
) {
    let lengths = elements.clone().map(<[u8]>::len);
    if let Some(kernel) = kernel.filter(|kernel| kernel.is_faster_for_each(lengths)) {
        let mut group = Group::default();
        elements.for_each(|element| group.push(element));
        kernel.each(&KernelKey::of(hasher), &group, added, sum);
        return;
    }
    let mut expanded = [0; LtHash::BYTES];
    for (number, element) in elements.enumerate() {
        hasher.expand_to(&[element], &mut expanded);
        if number < added {
            sum.add_expanded(&expanded);
        } else {
            sum.subtract_expanded(&expanded);
        }
    }
}

impl Side {
    /// Adds all that was taken to `sum`.
    fn settle(self, kernel: Kernel, hasher: &Hasher, sign: Sign, sum: &mut LtHash) {
        let Self { staged, hashed } = self;
        for staged in staged {
            let added = if sign == Sign::Added { staged.len() } else { 0 };
            each(Some(kernel), hasher, staged.iter(), added, sum);
        }
        if let Some(hashed) = hashed.finish(kernel) {
            match sign {
                Sign::Added => *sum += &hashed,
                Sign::Removed => *sum -= &hashed,
            }
        }
    }
}

impl Hashed {
    fn add(&mut self, kernel: Kernel, key: &KernelKey, elements: &Group<'_>) {
        match core::mem::take(self) {
            Self::Nothing => {
                let mut sum = LtHash::identity();
                kernel.each(key, elements, elements.len(), &mut sum);
                *self = Self::Once(sum);
            }
            Self::Once(sum) => {
                let mut partial = Partial::new();
                kernel.absorb(key, elements, &mut partial);
                *self = Self::Often(sum, partial);
            }
            Self::Often(sum, mut partial) => {
                kernel.absorb(key, elements, &mut partial);
                *self = Self::Often(sum, partial);
            }
        }
    }

    fn finish(self, kernel: Kernel) -> Option<LtHash> {
        match self {
            Self::Nothing => None,
            Self::Once(sum) => Some(sum),
            Self::Often(mut sum, partial) => {
                kernel.reduce(&partial, &mut sum);
                Some(sum)
            }
        }
    }
}
