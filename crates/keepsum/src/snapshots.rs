//! `snapshots` and `show`, and how a snapshot is named.

use std::fmt;
use std::str::FromStr;

use archive::catalog::{SnapshotEntry, State};
use archive::manifest::{Manifest, ProvedFrom, Shape, SnapshotId};
use backup_core::progress::Context;
use backup_core::source::Layout;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use remote::Repository;

use crate::report::{DatabaseReport, ShowReport, SnapshotReport, global_word, proof_word};
use crate::{Error, Result, time};

/// How many manifests are read at the same time.
const MANIFESTS_AT_ONCE: usize = 8;

/// How a snapshot is named: an id or its unique prefix, `latest`, or `@TIME`.
///
/// ```
/// use keepsum::SnapshotSpec;
/// assert!("latest".parse::<SnapshotSpec>().is_ok());
/// assert!("@2026-11-21T12:00".parse::<SnapshotSpec>().is_ok());
/// assert!("no such thing".parse::<SnapshotSpec>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotSpec {
    /// The newest.
    Latest,
    /// The newest that is not younger, in milliseconds of Unix time.
    At(u64),
    /// The one whose id begins so.
    Prefix(String),
}

impl FromStr for SnapshotSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |detail: &str| Error::Usage {
            what: format!("the snapshot {text:?}"),
            detail: detail.into(),
        };
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if let Some(when) = text.strip_prefix('@') {
            let at = time::parse(when);
            return at
                .map(Self::At)
                .ok_or_else(|| wrong("write @YYYY-MM-DD or @YYYY-MM-DDTHH:MM:SSZ"));
        }
        let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.is_empty() || text.len() > 32 || !hex {
            return Err(wrong("write an id or its beginning, latest, or @TIME"));
        }
        Ok(Self::Prefix(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for SnapshotSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::At(at) => write!(f, "@{}", time::rfc3339(*at)),
            Self::Prefix(prefix) => f.write_str(prefix),
        }
    }
}

/// The live snapshots, oldest first. One whose manifest is damaged is listed with what the catalog knows.
pub async fn list(repository: &Repository, context: &Context) -> Result<Vec<SnapshotReport>> {
    let head = repository.head().await?;
    let mut entries: Vec<SnapshotEntry> = head.state.snapshots.values().cloned().collect();
    entries.sort_by_key(|entry| (entry.entry, entry.id));
    stream::iter(entries)
        .map(async |entry: SnapshotEntry| {
            context.check()?;
            match manifest(repository, &entry).await {
                Ok(manifest) => Ok(summary(&manifest)),
                Err(Error::Remote(error)) if error.is_damage() => {
                    context.note(format!("the manifest of snapshot {}: {error}", entry.id));
                    Ok(unreadable(&entry))
                }
                Err(error) => Err(error),
            }
        })
        .buffered(MANIFESTS_AT_ONCE)
        .try_collect()
        .await
}

/// One snapshot in full.
pub async fn show(
    repository: &Repository,
    spec: &SnapshotSpec,
    _context: &Context,
) -> Result<ShowReport> {
    let manifest = find(repository, spec).await?;
    Ok(details(&manifest))
}

/// The manifest of the snapshot that `spec` names.
pub(crate) async fn find(repository: &Repository, spec: &SnapshotSpec) -> Result<Manifest> {
    let head = repository.head().await?;
    let entry = resolve(&head.state, spec)?;
    manifest(repository, &entry).await
}

fn resolve(state: &State, spec: &SnapshotSpec) -> Result<SnapshotEntry> {
    let mut live: Vec<&SnapshotEntry> = state.snapshots.values().collect();
    live.sort_by_key(|entry| (entry.entry, entry.id));
    let found = match spec {
        SnapshotSpec::Latest => live.last().copied(),
        SnapshotSpec::At(at) => live.iter().rev().find(|entry| entry.created_ms <= *at).copied(),
        SnapshotSpec::Prefix(prefix) => {
            let mut with = live.iter().filter(|entry| entry.id.to_string().starts_with(prefix));
            let first = with.next().copied();
            let others = with.count();
            if others > 0 {
                let prefix = prefix.clone();
                return Err(Error::AmbiguousSnapshot { prefix, count: others + 1 });
            }
            first
        }
    };
    found.cloned().ok_or_else(|| Error::NoSnapshot { spec: spec.to_string() })
}

async fn manifest(repository: &Repository, entry: &SnapshotEntry) -> Result<Manifest> {
    let read = repository.manifest_of(entry).await;
    explained(repository, entry.id, read.map_err(Error::from)).await
}

/// What came of reading a snapshot, where damage may mean that it was removed meanwhile.
pub(crate) async fn explained<T>(
    repository: &Repository,
    snapshot: SnapshotId,
    read: Result<T>,
) -> Result<T> {
    match read {
        Err(Error::Remote(error)) => Err(repository.explain(snapshot, error).await.into()),
        read => read,
    }
}

fn summary(manifest: &Manifest) -> SnapshotReport {
    SnapshotReport {
        snapshot: manifest.id.to_string(),
        created: time::rfc3339(manifest.created_ms),
        source: manifest.source.location.clone(),
        shape: manifest.shape.word(),
        databases: DatabaseReport::of_manifest(manifest),
        host: manifest.host.clone(),
        label: manifest.label.clone(),
    }
}

/// What the catalog says of a snapshot whose manifest cannot be read.
fn unreadable(entry: &SnapshotEntry) -> SnapshotReport {
    SnapshotReport {
        snapshot: entry.id.to_string(),
        created: time::rfc3339(entry.created_ms),
        source: entry.source.location.clone(),
        shape: "damaged",
        databases: Vec::new(),
        host: entry.source.host.clone(),
        label: entry.label.clone(),
    }
}

/// A manifest as `show` prints it.
pub(crate) fn details(manifest: &Manifest) -> ShowReport {
    let (files, files_bytes) = match manifest.shape {
        Shape::Records => (None, None),
        Shape::Files { count, bytes, .. } => (Some(count), Some(bytes)),
    };
    ShowReport {
        summary: summary(manifest),
        description: manifest.description.clone(),
        position: manifest.position.to_string(),
        consistency: manifest.consistency.to_string(),
        layout: match manifest.layout {
            Layout::Plain => "plain",
            Layout::Partitioned => "partitioned",
        },
        proof: proof_word(manifest),
        proved_from: manifest.proved_from.map(ProvedFrom::word),
        global_lthash: global_word(manifest.proved_from.and_then(|_| manifest.global())),
        files,
        files_bytes,
        notes: manifest.notes.clone(),
        unusual: manifest.unusual.clone(),
    }
}
