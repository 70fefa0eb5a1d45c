//! Stores of three files or of one, as a restore publishes them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_core::Result;
use backup_core::disk::{Access, Disk, LocalDisk};
use backup_core::ownership::{Account, Owner, Ownership};
use backup_core::staging::{Form, SIDECAR, Staging};
use backup_core::target::{Existing, Origin};
use testkit::crash::Tree;
use testkit::faults::{FaultyDisk, Trigger, in_memory};

pub(crate) const OLD: &str = "the old store";
pub(crate) const NEW: &str = "the new store";

/// Whose the old store is, and whose the source of the new one was; without root all is one user's.
const OLD_ACCESS: Expected = Expected { folder: 0o750, file: 0o640, owner: 1001 };
const NEW_ACCESS: Expected = Expected { folder: 0o700, file: 0o600, owner: 2001 };

/// What the folder and the files of a store must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expected {
    folder: u32,
    file: u32,
    owner: u32,
}

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
        let restored = staging.publish(&Origin {
            snapshot: "abc".into(),
            position: "sequence 1".into(),
            taken: "then".into(),
            salvaged: false,
            ownership: Some(Ownership {
                owner: Owner { user: number(NEW_ACCESS.owner), group: number(NEW_ACCESS.owner) },
                mode: if let Form::File { .. } = self.form { 0o600 } else { NEW_ACCESS.folder },
                files_mode: matches!(self.form, Form::Folder { .. }).then_some(NEW_ACCESS.file),
            }),
        })?;
        Ok(restored.kept_aside)
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

    /// What the new store must have in the end: that of what it replaces, else that of its source.
    fn expected(&self) -> Expected {
        if self.old { OLD_ACCESS } else { NEW_ACCESS }
    }

    /// Whether beside a file there is what is its own: the logs of the old store beside the old one, none
    /// beside the new one. While the old one is moved, some may still be where it was.
    fn has_its_own(&self, path: &Path, content: Option<&str>) -> bool {
        let Form::File { companions, .. } = self.form else { return true };
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

fn number(number: u32) -> Account {
    Account { number, name: None }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}

fn set(path: &Path, mode: u32, owner: u32) {
    let owner = is_root().then_some((owner, owner));
    LocalDisk.set_access(path, Access { mode, owner }).unwrap();
}

/// Who may do what with a path.
fn access(path: &Path) -> (u32, u32, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.mode() & 0o777, found.uid(), found.gid())
}

#[track_caller]
fn assert_access(path: &Path, mode: u32, owner: u32, what: &str) {
    let found = access(path);
    let (_, user, group) = found;
    let expected = if is_root() { (mode, owner, owner) } else { (mode, user, group) };
    assert_eq!(found, expected, "{what}: {} has {found:?} in octal {:o}", path.display(), found.0);
}

/// All files below a folder, each with what the folders from there on leave others of its bits.
fn reachable(folder: &Path, reach: u32, files: &mut Vec<(PathBuf, u32)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (mode, ..) = access(&path);
        if path.is_dir() {
            reachable(&path, reach & ((mode & 0o111) * 7), files);
        } else {
            files.push((path, mode & reach));
        }
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
            set(mounted, 0o755, 0);
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
                fs::write(&path, OLD).unwrap();
                set(&path, OLD_ACCESS.file, OLD_ACCESS.owner);
                if !name.is_empty() {
                    set(path.parent().unwrap(), OLD_ACCESS.folder, OLD_ACCESS.owner);
                }
            }
            if let Form::Folder { .. } = case.form {
                set(&place.target(), OLD_ACCESS.folder, OLD_ACCESS.owner);
            }
        }
        if let (Form::File { companions, .. }, true) = (case.form, case.old || case.orphans) {
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

    /// A store has the owner and the permission bits that it is to have as soon as it has its name, and what
    /// is built may be read by nobody who could not read it in the end.
    #[track_caller]
    pub(crate) fn assert_access(&self, case: &Case, what: &str) {
        let (target, expected) = (self.target(), case.expected());
        let of = |store: &Path, expected: Expected| {
            for name in case.files() {
                let path = if name.is_empty() { store.to_owned() } else { store.join(name) };
                assert_access(&path, expected.file, expected.owner, what);
            }
            if let Form::Folder { .. } = case.form {
                assert_access(store, expected.folder, expected.owner, what);
                assert_access(&store.join("deep"), expected.folder, expected.owner, what);
            }
        };
        match self.found(case) {
            Some(OLD) => of(&target, OLD_ACCESS),
            Some(NEW) => {
                of(&target, expected);
                let sidecar = self.sidecar_path(case);
                assert_access(&sidecar, expected.file & 0o666, expected.owner, what);
            }
            _ => {}
        }
        for name in self.names().into_iter().filter(|name| name.starts_with("store.keepsum-old")) {
            let aside = self.home.join(name);
            if case.at(&aside).as_deref() == Some(OLD) {
                of(&aside, OLD_ACCESS);
            }
        }
        let mut files = Vec::new();
        reachable(&self.home, 0o777, &mut files);
        for (path, reach) in files {
            let is_new = fs::read(&path).is_ok_and(|content| content == NEW.as_bytes());
            let open = reach & 0o077 & !expected.file;
            assert!(
                !is_new || open == 0,
                "{what}: {} is open to others: {reach:o}",
                path.display()
            );
        }
    }

    /// The old store, the new one, or nothing with the old one aside.
    #[track_caller]
    pub(crate) fn assert_possible(&self, case: &Case, what: &str) {
        self.assert_access(case, what);
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

    fn sidecar_path(&self, case: &Case) -> PathBuf {
        match case.form {
            Form::File { .. } => self.home.join("store.keepsum"),
            Form::Folder { .. } => self.target().join(SIDECAR),
        }
    }

    fn sidecar(&self, case: &Case) -> Option<String> {
        fs::read_to_string(self.sidecar_path(case))
            .ok()
            .filter(|text| text.ends_with("taken then\n"))
    }
}

fn is_companion(case: &Case, name: &str) -> bool {
    let Form::File { companions, .. } = case.form else { return false };
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
