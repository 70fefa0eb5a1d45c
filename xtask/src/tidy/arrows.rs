//! Which crate may depend on which: the arrows of ARCHITECTURE.md.

use super::Finding;
use crate::workspace::{Dependency, Kind, Package, room};

/// A room, and the rooms its arrows point to. What those point to may be named as well: an arrow
/// stands for all that lies below it.
const ARROWS: &[(&str, &[&str])] = &[
    ("lthash", &[]),
    ("backup-core", &["lthash"]),
    ("archive", &["backup-core"]),
    ("layers", &["backup-core"]),
    ("backend-memory", &["backup-core"]),
    ("backend-rocksdb", &["backup-core"]),
    ("backend-sqlite", &["backup-core"]),
    ("backend-scylla", &["backup-core"]),
    ("backend-files", &["backup-core"]),
    ("remote", &["archive"]),
    (
        "keepsum",
        &[
            "remote",
            "layers",
            "backend-memory",
            "backend-rocksdb",
            "backend-sqlite",
            "backend-scylla",
            "backend-files",
        ],
    ),
    ("testkit", &["backup-core"]),
    ("xtask", &[]),
];

/// What any crate's tests may use: the suites, and the store that is their oracle.
const FOR_TESTS: [&str; 2] = ["testkit", "backend-memory"];

/// Crates of other people that only the named crates may use.
const CONFINED: &[(&str, &[&str])] = &[
    ("clap", &["keepsum", "xtask"]),
    ("anyhow", &["keepsum", "xtask"]),
    ("object_store", &["remote", "keepsum", "testkit"]),
];

/// Crates of other people that a library's user must be able to leave out.
const OPTIONAL_IN_LIBRARIES: [&str; 2] = ["clap", "anyhow"];

pub(crate) fn check(packages: &[Package]) -> Vec<Finding> {
    packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<Finding> {
    let Some(below) = rooms_below(room(&package.name)) else {
        let what =
            "is in no room: give it its arrows in xtask/src/tidy/arrows.rs and ARCHITECTURE.md";
        return vec![Finding::new(&package.name, what)];
    };
    let wrong = |dependency: &&Dependency| {
        let name = room(&dependency.name);
        let for_tests = dependency.kind == Kind::Dev && FOR_TESTS.contains(&name);
        dependency.local && name != room(&package.name) && !below.contains(&name) && !for_tests
    };
    let mut findings: Vec<_> = package
        .dependencies
        .iter()
        .filter(wrong)
        .map(|dependency| {
            let name = room(&dependency.name);
            let what = format!("must not depend on {name}: no arrow leads there");
            Finding::new(&package.name, what)
        })
        .collect();
    findings
        .extend(package.dependencies.iter().filter_map(|dependency| outside(package, dependency)));
    findings
}

/// A rule about a crate of other people that `dependency` breaks.
fn outside(package: &Package, dependency: &Dependency) -> Option<Finding> {
    let name = dependency.name.as_str();
    let (_, allowed) = CONFINED.iter().find(|(confined, _)| *confined == name)?;
    if !allowed.contains(&room(&package.name)) {
        let what = format!("must not depend on {name}: only {} may", allowed.join(", "));
        return Some(Finding::new(&package.name, what));
    }
    let forced = !dependency.optional && dependency.kind == Kind::Normal && package.publishable;
    if forced && OPTIONAL_IN_LIBRARIES.contains(&name) {
        let what = format!("must make {name} optional: a user of the library has no use for it");
        return Some(Finding::new(&package.name, what));
    }
    None
}

/// All rooms that can be reached from one, or `None` for a room that is not known.
fn rooms_below(name: &str) -> Option<Vec<&'static str>> {
    let direct = |name: &str| ARROWS.iter().find(|(room, _)| *room == name).map(|(_, to)| *to);
    let mut reached = direct(name)?.to_vec();
    let mut next = 0;
    while let Some(room) = reached.get(next).copied() {
        let further = direct(room).unwrap_or_default();
        let new: Vec<_> = further.iter().filter(|room| !reached.contains(room)).copied().collect();
        reached.extend(new);
        next += 1;
    }
    Some(reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Kind, bool)]) -> Package {
        let dependency = |&(name, kind, local): &(&str, Kind, bool)| Dependency {
            name: name.to_owned(),
            kind,
            optional: false,
            local,
        };
        Package {
            name: name.to_owned(),
            publishable: true,
            dependencies: dependencies.iter().map(dependency).collect(),
            ..Package::default()
        }
    }

    fn found(name: &str, dependencies: &[(&str, Kind, bool)]) -> Vec<String> {
        check(&[package(name, dependencies)]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_may_be_followed_but_not_turned() {
        use Kind::{Dev, Normal};
        let remote = [("archive", Normal, true), ("lthash", Normal, true), ("testkit", Dev, true)];
        assert_eq!(found("remote", &remote), Vec::<String>::new());
        for (from, to) in [
            ("backend-rocksdb", "backend-memory"),
            ("backend-rocksdb", "remote"),
            ("backend-files", "archive"),
            ("backup-core", "archive"),
            ("archive", "testkit"),
            ("xtask", "lthash"),
        ] {
            let findings = found(from, &[(to, Normal, true)]);
            let expected = format!("{from}: must not depend on {to}: no arrow leads there");
            assert_eq!(findings, [expected]);
        }
    }

    #[test]
    fn tests_may_use_the_suites_and_the_oracle_and_no_other_backend() {
        assert!(found("backend-files", &[("backend-memory", Kind::Dev, true)]).is_empty());
        assert_eq!(found("backend-files", &[("backend-rocksdb", Kind::Dev, true)]).len(), 1);
    }

    #[test]
    fn outside_crates_stay_where_they_belong() {
        for name in ["clap", "anyhow", "object_store"] {
            assert_eq!(found("backup-core", &[(name, Kind::Normal, false)]).len(), 1, "{name}");
        }
        assert_eq!(
            found("keepsum", &[("clap", Kind::Normal, false)]),
            ["keepsum: must make clap optional: a user of the library has no use for it"]
        );
        assert!(found("remote", &[("object_store", Kind::Normal, false)]).is_empty());
    }

    #[test]
    fn a_new_crate_needs_a_room() {
        assert_eq!(found("backend-leveldb", &[]).len(), 1);
    }
}
