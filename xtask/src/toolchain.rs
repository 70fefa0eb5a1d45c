//! What must be on the machine to compile RocksDB and its bindings: a C++ compiler and libclang.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Folders that distributions put libclang into; `*` stands for a version.
const USUAL_FOLDERS: &[&str] = &[
    "/usr/lib/llvm-*/lib",
    "/usr/lib/llvm/*/lib64",
    "/usr/lib64/llvm*/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/opt/homebrew/opt/llvm/lib",
    "/usr/local/opt/llvm/lib",
    "/Library/Developer/CommandLineTools/usr/lib",
];

/// What was found.
pub(crate) struct Toolchain {
    /// The folder that holds libclang.
    pub(crate) libclang: PathBuf,
    /// The C++ compiler, with what it says of its version.
    pub(crate) compiler: String,
}

impl Toolchain {
    /// Finds what is needed, installing it where this user may.
    pub(crate) fn prepare() -> Result<Self> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        install(&missing_packages()).with_context(|| advice(&missing_packages()))?;
        Self::find().with_context(|| advice(&missing_packages()))
    }

    fn find() -> Option<Self> {
        Some(Self { compiler: compiler()?, libclang: libclang_folder()? })
    }
}

/// The Debian packages of what is not here.
fn missing_packages() -> Vec<&'static str> {
    let mut packages = Vec::new();
    if compiler().is_none() {
        packages.push("g++");
    }
    if libclang_folder().is_none() {
        // `clang` brings the headers that libclang reads beside a C library's own.
        packages.extend(["libclang-dev", "clang"]);
    }
    packages
}

fn compiler() -> Option<String> {
    let chosen = std::env::var("CXX").ok();
    let names = chosen.iter().map(String::as_str).chain(["c++", "g++", "clang++"]);
    names.into_iter().find_map(|name| {
        let version = process::probe(name, &["--version"])?;
        Some(format!("{name}: {}", version.lines().next().unwrap_or_default()))
    })
}

/// Where the bindings' generator will find libclang: its own variable, what the tools say, then the
/// usual folders.
fn libclang_folder() -> Option<PathBuf> {
    let chosen = std::env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    let told = process::probe("llvm-config", &["--libdir"]).map(PathBuf::from);
    let beside = process::probe("clang", &["--print-file-name=libclang.so"])
        .and_then(|file| Path::new(&file).parent().map(Path::to_path_buf));
    let usual = USUAL_FOLDERS.iter().flat_map(|pattern| expand(Path::new(pattern)));
    chosen.into_iter().chain(told).chain(beside).chain(usual).find_map(|place| folder_of(&place))
}

/// The folder to name, where `place` is libclang itself or a folder that holds it.
fn folder_of(place: &Path) -> Option<PathBuf> {
    if place.is_file() {
        return is_libclang(place).then(|| place.parent().map(Path::to_path_buf))?;
    }
    // A link that leads nowhere is left behind where the library was removed.
    let is_here = |path: PathBuf| is_libclang(&path) && path.is_file();
    let holds = fs::read_dir(place).ok()?.flatten().any(|entry| is_here(entry.path()));
    holds.then(|| place.to_path_buf())
}

/// `libclang.so`, `libclang.so.1`, `libclang-14.so.1`, `libclang.dylib`, but not `libclang-cpp.so`
/// nor a static library, which the generator cannot load.
fn is_libclang(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(rest) = name.strip_prefix("libclang") else { return false };
    let rest = rest.trim_start_matches(|c: char| c == '-' || c == '.' || c.is_ascii_digit());
    rest == "so" || rest.starts_with("so.") || rest == "dylib"
}

/// The existing folders of a pattern with at most one `*` a component, the highest name first: the
/// newest version, as far as names tell.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let name = component.as_os_str().to_string_lossy();
        let Some((prefix, suffix)) = name.split_once('*') else {
            for path in &mut found {
                path.push(component);
            }
            continue;
        };
        let matches = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.len() >= prefix.len() + suffix.len()
                && name.starts_with(prefix)
                && name.ends_with(suffix)
        };
        found = found
            .iter()
            .filter_map(|path| fs::read_dir(path).ok())
            .flat_map(|entries| entries.flatten().filter(matches).map(|entry| entry.path()))
            .collect();
    }
    found.retain(|path| path.is_dir());
    found.sort_by(|a, b| b.cmp(a));
    found
}

/// Installs Debian packages where this is Debian and this user is root; else says what to install.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let root = process::probe("id", &["-u"]).as_deref() == Some("0");
    let debian = Path::new("/etc/debian_version").exists();
    if !(root && debian && process::probe("apt-get", &["--version"]).is_some()) {
        let all = packages.join(" ");
        bail!("install {all} as root, with `apt-get install {all}` or as this system does it");
    }
    eprintln!("installing {}", packages.join(" "));
    let apt = |args: &[&str]| {
        // To the error output: what this process prints may be for a shell to evaluate.
        let mut command = Command::new("apt-get");
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdout(io::stderr());
        process::run(&mut command)
    };
    apt(&["update", "-q"])?;
    apt(&[&["install", "-q", "-y", "--no-install-recommends"], packages].concat())
}

fn advice(packages: &[&str]) -> String {
    let all = packages.join(" ");
    format!(
        "missing: {all}; install it with `sudo apt-get install {all}`, `sudo dnf install gcc-c++ \
         clang-devel`, or `xcode-select --install`, or set CXX and LIBCLANG_PATH to what you have"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn only_a_library_that_can_be_loaded_is_libclang() {
        for name in ["libclang.so", "libclang.so.1", "libclang-14.so.1", "libclang.dylib"] {
            assert!(is_libclang(Path::new(name)), "{name}");
        }
        for name in ["libclang-cpp.so.14", "libclang.a", "libclangAST.a", "libLLVM.so", "clang"] {
            assert!(!is_libclang(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn a_pattern_finds_the_newest_folder_first_and_a_file_counts_for_its_folder() {
        let scratch = Scratch::new("toolchain");
        for version in ["llvm-14", "llvm-15", "other-16"] {
            scratch.write(&format!("{version}/lib/libLLVM.so"), "");
        }
        scratch.write("llvm-14/lib/libclang.so.1", "");
        let found = expand(&scratch.path("llvm-*/lib"));
        let chosen = found.iter().find_map(|folder| folder_of(folder));
        let by_file = folder_of(&scratch.path("llvm-14/lib/libclang.so.1"));
        assert_eq!(found, [scratch.path("llvm-15/lib"), scratch.path("llvm-14/lib")]);
        assert_eq!(chosen, Some(scratch.path("llvm-14/lib")));
        assert_eq!(by_file, Some(scratch.path("llvm-14/lib")));
    }

    #[test]
    fn what_is_missing_is_said_in_one_line() {
        let advice = advice(&["g++"]);
        assert!(advice.contains("apt-get install g++") && !advice.contains('\n'), "{advice}");
    }
}
