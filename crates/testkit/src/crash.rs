//! What a power cut leaves of a folder.
//!
//! A [`Volume`] is a folder as its processes see it, with the knowledge of what of it is durable. It
//! follows a run operation by operation ([`Op`]); after each, [`Volume::after_crash`] says what a disk
//! would hold if the machine stopped there. The rules are those of journaling file systems at their
//! worst:
//!
//! - a file's content is durable up to its last sync; a file never synced comes back empty;
//! - a name is durable once the folder that has it was synced; a rename is one step, durable once
//!   either of its folders was synced;
//! - of what was not synced, any part may be there nevertheless, in any order, a write torn;
//! - what a failed sync should have made durable is lost, even if a later sync succeeds.

mod journal;
mod op;
mod tree;
mod volume;

pub(crate) use journal::{parse, starts_fault};
pub use op::Op;
pub use tree::{Leaf, Tree};
pub use volume::{Survival, Volume};
pub(crate) use volume::{access_of, below};
