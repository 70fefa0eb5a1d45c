//! Stores of three files or of one, as a restore publishes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_core::Result;
use backup_core::disk::{Disk, LocalDisk};
use backup_core::staging::{Form, SIDECAR, Staging};
use backup_core::target::{Existing, Origin};
use testkit::crash::Tree;
use testkit::faults::{FaultyDisk, Trigger, in_memory};

pub(crate) const OLD: &str = "the old store";
pub(crate) const NEW: &str = "the new store";
const FILES: [&str; 3] = ["CURRENT", "data", "deep/er"];

/// What is published, and over what.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) old: bool,
    /// What an engine keeps beside a file is there, and the file is not.
    pub(crate) orphans: bool,
    pub(crate) exchange: bool,
    /// The target is a mount point.
    pub(crate) mounted: Option<PathBuf>,
}

/// A folder with a target in it.
pub(crate) struct Place {
    home: PathBuf,
    target: PathBuf,
    _above: Option<tempfile::TempDir>,
}

impl Case {
    pub(crate) fn disk(&self, root: &Path, trigger: Trigger) -> FaultyDisk {
        let disk = FaultyDisk::new(root, trigger);
        if self.exchange { disk } else { disk.without_exchange() }
    }

    /// The restore: builds the new store and publishes it.
    pub(crate) fn restore(&self, place: &Place, disk: Arc<dyn Disk>) -> Result<Option<PathBuf>> {
        let staging = Staging::begin(disk, &place.target(), self.form, Existing::KeepAside)?;
        let disk = Arc::clone(staging.disk());
        for name in self.files() {
            let path = match self.form {
                Form::File { .. } => staging.file(),
                Form::Folder { .. } => staging.folder().join(name),
            };
            disk.create_folder(path.parent().unwrap())?;
            disk.create_file(&path, 0o644)?.write_at(0, NEW.as_bytes())?;
        }
        staging.publish(&Origin {
            snapshot: "abc".into(),
            position: "sequence 1".into(),
            taken: "then".into(),
            salvaged: false,
        })
    }

    fn files(&self) -> &'static [&'static str] {
        match self.form {
            Form::File { .. } => &[""],
            Form::Folder { .. } => &FILES,
        }
    }

    /// The store at a path: its content, or nothing.
    fn at(&self, path: &Path) -> Option<String> {
        let files = self
            .files()
            .iter()
            .map(|name| if name.is_empty() { path.to_owned() } else { path.join(name) });
        let found: Vec<_> = files.map(|path| fs::read_to_string(path).ok()).collect();
        let first = found[0].clone();
        if self.mounted.is_some() && first.is_none() {
            // A mount point is filled entry by entry; without its first file, no engine finds a store.
            return None;
        }
        let whole = found.iter().all(|content| *content == first)
            && self.has_its_own(path, first.as_deref());
        if whole { first } else { Some(format!("between: {found:?}")) }
    }

    /// Whether beside a file there is what is its own: the logs of the old store beside the old one, none
    /// beside the new one. While the old one is moved, some may still be where it was.
    fn has_its_own(&self, path: &Path, content: Option<&str>) -> bool {
        let Form::File { companions } = self.form else { return true };
        companions.iter().all(|suffix| {
            let log = |file: &Path| fs::read_to_string(beside(file, suffix)).ok();
            match content {
                Some(OLD) => {
                    let was = path.with_file_name("store");
                    let late = if was.exists() { None } else { log(&was) };
                    log(path).or(late).as_deref() == Some(OLD)
                }
                Some(_) => log(path).is_none(),
                // Logs without a file are moved by the restore that finishes.
                None => true,
            }
        })
    }
}

/// The path of what an engine keeps beside a file.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    file.with_file_name(format!("{}{suffix}", file.file_name().unwrap().display()))
}

impl Place {
    /// With what a crash left.
    pub(crate) fn after(case: &Case, left: &Tree) -> Self {
        let place = Self::empty(case);
        left.write_to(place.home()).unwrap();
        place
    }

    fn empty(case: &Case) -> Self {
        if let Some(mounted) = &case.mounted {
            for entry in fs::read_dir(mounted).unwrap() {
                LocalDisk.remove(&entry.unwrap().path()).unwrap();
            }
            return Self { home: mounted.clone(), target: mounted.clone(), _above: None };
        }
        let above = in_memory();
        let home = above.path().join("home");
        fs::create_dir(&home).unwrap();
        let target = home.join("store");
        Self { home, target, _above: Some(above) }
    }

    /// With the store that is there before.
    pub(crate) fn with(case: &Case) -> Self {
        let place = Self::empty(case);
        if case.old {
            for name in case.files() {
                let path = if name.is_empty() { place.target() } else { place.target().join(name) };
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, OLD).unwrap();
            }
        }
        if let (Form::File { companions }, true) = (case.form, case.old || case.orphans) {
            for suffix in companions {
                fs::write(beside(&place.target(), suffix), OLD).unwrap();
            }
        }
        place
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    fn target(&self) -> PathBuf {
        self.target.clone()
    }

    /// What is at the target.
    pub(crate) fn found(&self, case: &Case) -> Option<&'static str> {
        case.at(&self.target()).map(|found| known(Some(&found)))
    }

    fn names(&self) -> Vec<String> {
        names(&self.home)
    }

    /// The whole stores that are kept aside under names that a person is told.
    pub(crate) fn kept(&self, case: &Case) -> Vec<&'static str> {
        let aside = |name: &String| name.starts_with("store.keepsum-old");
        let at = |name: String| case.at(&self.home.join(name));
        let kept: Vec<String> = self.names().into_iter().filter(aside).collect();
        let is_store = |name: &String| !name.ends_with(".keepsum") && !is_companion(case, name);
        let stores = kept.into_iter().filter(is_store);
        stores.map(|name| known(at(name).as_deref())).collect()
    }

    /// Whatever is neither the target nor kept aside nor a sidecar.
    pub(crate) fn leftovers(&self, case: &Case) -> Vec<String> {
        // Beside a new store the log of an old one is what must not be there.
        let told = |name: &String| name == "store" || name.starts_with("store.keepsum");
        let of_store = |name: &String| {
            name == SIDECAR || FILES.iter().any(|file| file.starts_with(name.as_str()))
        };
        let mut left: Vec<String> = self.names().into_iter().filter(|name| !told(name)).collect();
        if case.mounted.is_some() {
            left.retain(|name| !of_store(name));
        } else if matches!(case.form, Form::Folder { .. }) {
            left.extend(names(&self.target).into_iter().filter(|name| !of_store(name)));
        }
        left
    }

    /// The old store, the new one, or nothing with the old one aside.
    #[track_caller]
    pub(crate) fn assert_possible(&self, case: &Case, what: &str) {
        match self.found(case) {
            Some(OLD) => {
                assert!(case.old, "{what}");
                let is_file = matches!(case.form, Form::File { .. });
                let beside = is_file && self.sidecar(case).is_some();
                assert!(!beside, "{what}: the old store with the new one's sidecar");
            }
            Some(NEW) => assert!(self.sidecar(case).is_some(), "{what}: without its sidecar"),
            // The next restore puts it back together.
            None if case.mounted.is_some() => {}
            None if case.old => assert!(self.kept(case).contains(&OLD), "{what}: nothing is there"),
            None => {}
            Some(between) => panic!("{what}: {between}: {:?}", case.at(&self.target())),
        }
    }

    fn sidecar(&self, case: &Case) -> Option<String> {
        let path = match case.form {
            Form::File { .. } => self.home.join("store.keepsum"),
            Form::Folder { .. } => self.target().join(SIDECAR),
        };
        fs::read_to_string(path).ok().filter(|text| text.ends_with("taken then\n"))
    }
}

fn is_companion(case: &Case, name: &str) -> bool {
    let Form::File { companions } = case.form else { return false };
    companions.iter().any(|suffix| name.ends_with(suffix))
}

fn known(found: Option<&str>) -> &'static str {
    let known = [OLD, NEW].into_iter().find(|known| found == Some(*known));
    known.unwrap_or("between")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
