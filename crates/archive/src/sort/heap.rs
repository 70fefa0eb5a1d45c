//! A heap of the readers of a merge, the one with the least entry at its top.

/// Indices of readers; the comparison is given with each call, since it looks into the readers.
#[derive(Debug)]
pub(super) struct Heap(Vec<usize>);

impl Heap {
    pub(super) fn new(readers: Vec<usize>, less: impl Fn(usize, usize) -> bool) -> Self {
        let mut heap = Self(readers);
        for at in (0..heap.0.len() / 2).rev() {
            heap.sink(at, &less);
        }
        heap
    }

    pub(super) fn top(&self) -> Option<usize> {
        self.0.first().copied()
    }

    /// Puts the top where it belongs, after its reader went on.
    pub(super) fn settle(&mut self, less: impl Fn(usize, usize) -> bool) {
        self.sink(0, &less);
    }

    /// Takes the top away, after its reader came to its end.
    pub(super) fn remove_top(&mut self, less: impl Fn(usize, usize) -> bool) {
        if !self.0.is_empty() {
            self.0.swap_remove(0);
            self.sink(0, &less);
        }
    }

    fn sink(&mut self, mut at: usize, less: &impl Fn(usize, usize) -> bool) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.0.len() && less(self.0[child], self.0[least]) {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.0.swap(at, least);
            at = least;
        }
    }
}
