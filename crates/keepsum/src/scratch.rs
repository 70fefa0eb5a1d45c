//! A files snapshot in a scratch folder, so that its engine can read its records.

use std::path::{Path, PathBuf};

use archive::manifest::{Manifest, Shape};
use backup_core::Source;
use backup_core::check::CheckLevel;
use backup_core::progress::Context;
use backup_core::target::{Content, Existing, Origin, RestorePlan};
use futures_util::TryStreamExt;
use remote::Repository;
use remote::tree::{file_contents, files_of};

use crate::{Engines, Error, Result};

/// What the names of scratch folders begin with.
const PREFIX: &str = ".keepsum-scratch-";

/// A store that is removed when dropped, and swept by the next one after a crash.
pub(crate) struct Scratch {
    source: Box<dyn Source>,
    _folder: backup_core::scratch::Scratch,
}

impl Scratch {
    /// Places a snapshot's files in a folder below `beside`, or below the system's temporary folder.
    pub(crate) async fn fill(
        repository: &Repository,
        manifest: &Manifest,
        engines: &Engines,
        beside: Option<&Path>,
        context: &Context,
    ) -> Result<Self> {
        let Shape::Files { tree, bytes, .. } = &manifest.shape else {
            let what = format!("snapshot {} holds no files", manifest.id);
            return Err(Error::Refused { what, instead: "read its records instead".into() });
        };
        let engine = &manifest.source.engine;
        let Some(opens) = engines.find(engine) else {
            return Err(Error::Refused {
                what: format!("the records in the files of a {engine} store cannot be read"),
                instead: format!("restore snapshot {} into {engine}:PATH", manifest.id),
            });
        };
        let parent = match beside {
            Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
            Some(folder) => folder.to_owned(),
            None => std::env::temp_dir(),
        };
        let folder = backup_core::scratch::Scratch::create(&parent, PREFIX.as_ref())?;
        let store = folder.folder().join("store");
        let files = files_of(repository.objects(), &manifest.shape).await?;
        let plan = RestorePlan {
            content: Content::Files { engine: engine.clone(), files },
            existing: Existing::Refuse,
            // It is read at once, by more than a check looks at.
            check: Some(CheckLevel::None),
            origin: Origin {
                snapshot: manifest.id.to_string(),
                position: manifest.position.to_string(),
                taken: String::new(),
                salvaged: false,
                // Nobody else reads it.
                ownership: None,
            },
        };
        let mut restore = opens.target(&store)?.begin(plan, context).await?;
        context.phase("fetching files", Some(*bytes));
        if let Some(tree) = tree {
            let mut contents = file_contents(repository.objects(), tree, None);
            while let Some(content) = contents.try_next().await? {
                context.check()?;
                context.advance(content.bytes.len() as u64, 0);
                restore.place(content.file, content.offset, content.bytes).await?;
            }
        }
        restore.complete().await?.publish().await?;
        Ok(Self { source: opens.source(&store)?, _folder: folder })
    }

    /// The store.
    pub(crate) fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }
}
