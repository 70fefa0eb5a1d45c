//! Which snapshot is meant: the words that name one, and the source that it is looked for in.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use archive::catalog::{SnapshotEntry, SourceId, State};

use crate::report::SourceReport;
use crate::{Error, Result, time};

/// How a snapshot is named: which one, and within what.
///
/// An id needs nothing else. [`Which::Latest`] and [`Which::At`] choose among the snapshots of one source,
/// so what is selected must leave only one.
///
/// ```
/// use keepsum::{Selector, SnapshotSpec};
/// assert!("latest".parse::<SnapshotSpec>().is_ok());
/// assert!("@2026-11-21T12:00:00.250Z".parse::<SnapshotSpec>().is_ok());
/// assert!("no such thing".parse::<SnapshotSpec>().is_err());
/// let app = Selector { name: Some("app".into()), ..Selector::default() };
/// assert_eq!(SnapshotSpec::latest().within(app).to_string(), "latest of \"app\"");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSpec {
    which: Which,
    within: Selector,
    /// The source that is meant where nothing selects one; then no other is taken for it.
    own: Option<SourceId>,
}

/// Which of the snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The last one in the order of the catalog.
    Latest,
    /// The last one in that order that was not taken later, in milliseconds of Unix time.
    At(u64),
    /// The one whose id begins so.
    Prefix(String),
}

/// What a snapshot must have to be meant. What is not given is not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// The name of its source.
    pub name: Option<String>,
    /// The host that took it.
    pub host: Option<String>,
    /// The location that it was taken from, as `snapshots` prints it or as `backup` was given it.
    pub source: Option<String>,
    /// Its label.
    pub label: Option<String>,
}

impl SnapshotSpec {
    /// The last snapshot.
    pub fn latest() -> Self {
        Self::from(Which::Latest)
    }

    /// The last snapshot that was not taken later, in milliseconds of Unix time.
    pub fn at(milliseconds: u64) -> Self {
        Self::from(Which::At(milliseconds))
    }

    /// Within what `selector` leaves.
    #[must_use]
    pub fn within(self, selector: Selector) -> Self {
        Self { within: selector, ..self }
    }

    /// Which one is meant.
    pub fn which(&self) -> &Which {
        &self.which
    }

    /// What it is looked for in.
    pub fn selector(&self) -> &Selector {
        &self.within
    }

    /// Of `own`, and of no other source, where the selector names none.
    pub(crate) fn of_own(self, own: SourceId) -> Self {
        Self { own: Some(own), ..self }
    }
}

impl From<Which> for SnapshotSpec {
    fn from(which: Which) -> Self {
        Self { which, within: Selector::default(), own: None }
    }
}

impl FromStr for SnapshotSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |detail: &str| Error::Usage {
            what: format!("the snapshot {text:?}"),
            detail: detail.into(),
        };
        if text == "latest" {
            return Ok(Self::latest());
        }
        if let Some(when) = text.strip_prefix('@') {
            let at = time::parse(when);
            return at
                .map(Self::at)
                .ok_or_else(|| wrong("write @YYYY-MM-DD or @YYYY-MM-DDTHH:MM:SS.mmmZ"));
        }
        let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.is_empty() || text.len() > 32 || !hex {
            return Err(wrong("write an id or its beginning, latest, or @TIME"));
        }
        Ok(Which::Prefix(text.to_ascii_lowercase()).into())
    }
}

impl fmt::Display for SnapshotSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.which {
            Which::Latest => f.write_str("latest"),
            Which::At(at) => write!(f, "@{}", time::to_the_millisecond(*at)),
            Which::Prefix(prefix) => f.write_str(prefix),
        }?;
        if self.within == Selector::default() { Ok(()) } else { write!(f, " of {}", self.within) }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |word: &Option<String>| word.as_ref().map(|word| format!("{word:?}"));
        let after =
            |what: &str, word: &Option<String>| word.as_ref().map(|word| format!("{what} {word}"));
        let label = self.label.as_ref().map(|label| format!("label {label:?}"));
        let parts = [quoted(&self.name), self.source.clone(), after("host", &self.host), label];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

impl Selector {
    /// Whether it selects a source at all.
    pub(crate) fn names_source(&self) -> bool {
        self.name.is_some() || self.host.is_some() || self.source.is_some()
    }

    /// With what `other` asks for where this one asks for nothing.
    pub(crate) fn or(self, other: &Self) -> Self {
        Self {
            name: self.name.or_else(|| other.name.clone()),
            host: self.host.or_else(|| other.host.clone()),
            source: self.source.or_else(|| other.source.clone()),
            label: self.label.or_else(|| other.label.clone()),
        }
    }

    /// Whether it takes a snapshot.
    pub(crate) fn takes(&self, snapshot: &SnapshotEntry) -> bool {
        let SourceId { name, host, location, .. } = &snapshot.source;
        (self.name.is_none() || self.name == *name)
            && self.host.as_ref().is_none_or(|wanted| wanted == host)
            && self.source.as_ref().is_none_or(|wanted| is_location(wanted, location))
            && self.has_label(snapshot)
    }

    fn has_label(&self, snapshot: &SnapshotEntry) -> bool {
        self.label.is_none() || self.label == snapshot.label
    }
}

/// Whether `wanted` is this location, or a way to write it from here.
fn is_location(wanted: &str, location: &str) -> bool {
    let resolved = || {
        let (engine, path) = wanted.split_once(':')?;
        let path = std::path::absolute(path).ok()?;
        Some(without_last_slash(format!("{engine}:{}", path.display())))
    };
    wanted == location || resolved().is_some_and(|resolved| resolved == location)
}

/// A location without slashes at its end: `files:/srv/app/` is the same folder as `files:/srv/app`.
pub(crate) fn without_last_slash(mut location: String) -> String {
    while location.ends_with('/') && !location.ends_with(":/") {
        location.pop();
    }
    location
}

/// The live snapshots in the order of the catalog.
pub(crate) fn in_order(state: &State) -> Vec<&SnapshotEntry> {
    let mut live: Vec<&SnapshotEntry> = state.snapshots.values().collect();
    live.sort_by_key(|snapshot| (snapshot.entry, snapshot.id));
    live
}

/// The one snapshot that `spec` names.
pub(crate) fn resolve(state: &State, spec: &SnapshotSpec) -> Result<SnapshotEntry> {
    let live = in_order(state);
    let found = match &spec.which {
        Which::Prefix(prefix) => with_prefix(&live, prefix, &spec.within)?,
        Which::Latest => of_one_source(live, spec)?.pop(),
        Which::At(at) => {
            let mut earlier = of_one_source(live, spec)?.into_iter().rev();
            earlier.find(|snapshot| snapshot.created_ms <= *at)
        }
    };
    found.cloned().ok_or_else(|| Error::NoSnapshot { spec: spec.to_string() })
}

/// An id needs no selector. One that is given all the same must not say otherwise.
fn with_prefix<'a>(
    live: &[&'a SnapshotEntry],
    prefix: &str,
    within: &Selector,
) -> Result<Option<&'a SnapshotEntry>> {
    let named = live.iter().filter(|snapshot| snapshot.id.to_string().starts_with(prefix));
    let named: Vec<&SnapshotEntry> = named.copied().collect();
    let taken: Vec<_> = named.iter().filter(|snapshot| within.takes(snapshot)).collect();
    match (taken.as_slice(), named.as_slice()) {
        ([snapshot], _) => Ok(Some(snapshot)),
        ([], []) => Ok(None),
        ([], [other]) => {
            let label = other.label.as_ref().map_or_else(
                || "without a label".to_owned(),
                |label| format!("with the label {label:?}"),
            );
            let detail =
                format!("is of {}, {label}, and not of {within}", described(&other.source));
            Err(Error::Usage { what: format!("snapshot {}", other.id), detail })
        }
        (taken, several) => {
            let count = if taken.is_empty() { several.len() } else { taken.len() };
            Err(Error::AmbiguousSnapshot { prefix: prefix.to_owned(), count })
        }
    }
}

/// The snapshots that `spec` leaves, which are of one source or of none.
fn of_one_source<'a>(
    live: Vec<&'a SnapshotEntry>,
    spec: &SnapshotSpec,
) -> Result<Vec<&'a SnapshotEntry>> {
    let within = &spec.within;
    if let (Some(own), false) = (&spec.own, within.names_source()) {
        let is_own = |snapshot: &&SnapshotEntry| snapshot.source.is_same(own);
        if !live.is_empty() && !live.iter().any(is_own) {
            return Err(Error::OnlyOthers { own: own.to_string(), sources: sources(&live) });
        }
        let own = live.into_iter().filter(is_own);
        return Ok(own.filter(|snapshot| within.has_label(snapshot)).collect());
    }
    let left: Vec<_> = live.into_iter().filter(|snapshot| within.takes(snapshot)).collect();
    let sources = sources(&left);
    if sources.len() > 1 {
        return Err(Error::SeveralSources { spec: spec.to_string(), sources });
    }
    Ok(left)
}

/// What one source is called that another is not.
type SourceKey<'a> = (Option<&'a str>, Option<(&'a str, &'a str)>);

/// Equal where [`SourceId::is_same`] says so.
pub(crate) fn key(source: &SourceId) -> SourceKey<'_> {
    match &source.name {
        Some(name) => (Some(name), None),
        None => (None, Some((&source.host, &source.location))),
    }
}

/// The sources of snapshots that are in the order of the catalog, by name, host and location.
fn sources(snapshots: &[&SnapshotEntry]) -> Vec<SourceReport> {
    let mut sources: BTreeMap<SourceKey<'_>, SourceReport> = BTreeMap::new();
    for snapshot in snapshots {
        let SourceId { name, host, location, .. } = snapshot.source.clone();
        let newest = time::rfc3339(snapshot.created_ms);
        let found = sources.entry(key(&snapshot.source)).or_default();
        let snapshots = found.snapshots + 1;
        *found = SourceReport { name, host, source: location, snapshots, newest };
    }
    sources.into_values().collect()
}

/// `"app" (sqlite:/srv/app.db of host a)`.
fn described(source: &SourceId) -> String {
    let SourceId { name, host, location, .. } = source;
    let place = format!("{location} of host {host}");
    name.as_ref().map_or_else(|| place.clone(), |name| format!("{name:?} ({place})"))
}
