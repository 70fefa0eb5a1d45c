//! A store that is complete in its hidden folder.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::Staging;
use crate::check::CheckReport;
use crate::progress::Context;
use crate::source::Snapshot;
use crate::target::{Built, NotCarried, Origin, Restored};
use crate::{Result, thread};

/// Reads what was built.
type Reader = Arc<dyn Fn() -> Result<Box<dyn Snapshot>> + Send + Sync>;

/// What an engine still does with its store before it is put in place.
type Last = Box<dyn FnOnce(&Staging) -> Result<()> + Send + Sync>;

/// A store that is complete in its hidden folder, to be read there and then published.
pub struct BuiltStore {
    origin: Origin,
    context: Context,
    notes: Vec<String>,
    check: CheckReport,
    not_carried: Vec<NotCarried>,
    reader: Option<Reader>,
    last: Option<Last>,
    // What reads the folder goes before it is swept: fields drop in this order.
    staging: Staging,
}

impl BuiltStore {
    /// The store in the hidden folder of `staging`, which comes from `origin`.
    pub fn new(staging: Staging, origin: Origin, context: &Context) -> Self {
        Self {
            origin,
            context: context.clone(),
            notes: Vec::new(),
            check: CheckReport::default(),
            not_carried: Vec::new(),
            reader: None,
            last: None,
            staging,
        }
    }

    /// With sentences that a person should read.
    #[must_use]
    pub fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }

    /// With what the engine says of it.
    #[must_use]
    pub fn checked(mut self, check: CheckReport) -> Self {
        self.check = check;
        self
    }

    /// With what of the plan could not be made.
    #[must_use]
    pub fn without(mut self, not_carried: Vec<NotCarried>) -> Self {
        self.not_carried = not_carried;
        self
    }

    /// Of records, which `read` reads from what was built. It may block.
    #[must_use]
    pub fn read_by(
        mut self,
        read: impl Fn() -> Result<Box<dyn Snapshot>> + Send + Sync + 'static,
    ) -> Self {
        self.reader = Some(Arc::new(read));
        self
    }

    /// With what the engine still does before the store is put in its place. It may block.
    #[must_use]
    pub fn before_publishing(
        mut self,
        last: impl FnOnce(&Staging) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.last = Some(Box::new(last));
        self
    }
}

#[async_trait]
impl Built for BuiltStore {
    async fn records(&self) -> Result<Option<Box<dyn Snapshot>>> {
        self.context.check()?;
        match self.reader.clone() {
            Some(read) => Ok(Some(thread::call("read-built", move || read()).await?)),
            None => Ok(None),
        }
    }

    fn not_carried(&self) -> &[NotCarried] {
        &self.not_carried
    }

    async fn publish(self: Box<Self>) -> Result<Restored> {
        let publish = move || {
            let Self { origin, context, notes, check, last, staging, .. } = *self;
            context.check()?;
            last.map_or(Ok(()), |last| last(&staging))?;
            let mut restored = staging.publish(&origin)?;
            restored.notes.extend(notes);
            Ok(Restored { check, ..restored })
        };
        thread::call("publish-store", publish).await
    }
}

impl fmt::Debug for BuiltStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, notes, not_carried, staging, .. } = self;
        f.debug_struct("BuiltStore")
            .field("origin", origin)
            .field("notes", notes)
            .field("not_carried", not_carried)
            .field("staging", staging)
            .finish_non_exhaustive()
    }
}
