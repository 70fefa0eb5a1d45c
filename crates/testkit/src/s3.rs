//! Services that speak S3, started for a test on a free port of 127.0.0.1 and in a folder of their own.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::program;
use crate::proxy::Proxy;

mod tls;

pub use tls::{TlsServer, start_tls};

/// The bucket that each of them has.
pub const BUCKET: &str = "keepsum-test";

/// The key that they are asked with. moto takes any; Swift's name an account, too.
pub const KEY_ID: &str = "keepsum:test-id";

/// The secret of the key.
pub const SECRET: &str = "keepsum-test-secret/+=";

/// How often a start is tried: another process may take the port first.
const STARTS: usize = 5;

/// How often a service is asked whether it is up, and how long to wait before the next time: a busy
/// machine may need a minute.
const ASKED: usize = 2400;
const PAUSE: Duration = Duration::from_millis(50);

/// The ports that services get: blocks of so many, the first of which begins here. They end below 32768.
const FIRST_PORT: u16 = 12_000;
const BLOCK: u16 = 20;
const BLOCKS: u32 = 1000;

/// A program that speaks S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// SeaweedFS: checks signatures, creates atomically, and keeps what it has where it starts again.
    SeaweedFs,
    /// The Python package `moto`: takes any signature; keeps everything in memory.
    Moto,
    /// The crate `s3s-fs`: checks signatures; keeps files in a folder; lets two writers create one name. For
    /// tests of what it alone does.
    S3sFs,
    /// OpenStack Swift: lets two writers create one name. For tests of that alone.
    Swift,
}

impl Service {
    /// Those that hold a repository.
    pub const ALL: [Self; 2] = [Self::SeaweedFs, Self::Moto];

    /// The variable that names the program.
    pub fn variable(self) -> &'static str {
        match self {
            Self::SeaweedFs => "KEEPSUM_SEAWEEDFS",
            Self::Moto => "KEEPSUM_MOTO",
            Self::S3sFs => "KEEPSUM_S3S_FS",
            Self::Swift => "KEEPSUM_SWIFT",
        }
    }

    /// A proxy before a server of this service, with a gate where the service needs one.
    ///
    /// # Panics
    /// Where no port is free.
    pub fn proxy(self, server: &Server) -> Proxy {
        let proxy = match self {
            // It creates atomically, and yet answers 500 to a listing while something is written.
            Self::Moto => Proxy::gated(server.address),
            _ => Proxy::new(server.address),
        };
        proxy.unwrap_or_else(|error| panic!("no proxy before {self:?}: {error}"))
    }

    /// Starts it; nothing where its program is not installed, which is said.
    ///
    /// # Panics
    /// Where it is not installed and `KEEPSUM_TEST_ALL` says that it must be, and where it does not
    /// start.
    pub fn start(self) -> Option<Server> {
        let program = program::named(self.variable())?;
        let mut tried = Vec::new();
        for _ in 0..STARTS {
            match Server::start(self, &program) {
                Ok(server) => return Some(server),
                Err(error) => tried.push(error.to_string()),
            }
        }
        panic!("{self:?} does not start: {tried:?}");
    }
}

/// A service that runs until this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    service: Service,
    program: PathBuf,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(service: Service, program: &Path) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        if service == Service::S3sFs {
            fs::create_dir_all(folder.path().join("root").join(BUCKET))?;
        }
        let address = free_address()?;
        let child = spawn(service, program, address, folder.path())?;
        let mut server = Self { child, service, program: program.to_owned(), address, folder };
        server.wait()?;
        if service == Service::Moto {
            let made = ask(address, &format!("PUT /{BUCKET}"))?;
            if !made.starts_with("HTTP/1.1 200") {
                return Err(io::Error::other(format!("no bucket: {made}")));
            }
        }
        Ok(server)
    }

    /// Waits until it answers and has its bucket.
    fn wait(&mut self) -> io::Result<()> {
        let (address, log) = (self.address, log(self.folder.path()));
        let answers = || ask(address, "GET /").is_ok_and(|answer| answer.starts_with("HTTP/1.1 "));
        // Programs of ours say so once they have their bucket.
        let says_so =
            || fs::read_to_string(&log).is_ok_and(|text| text.lines().any(|line| line == "ready"));
        match self.service {
            Service::Swift | Service::SeaweedFs => wait(&mut self.child, says_so),
            Service::S3sFs | Service::Moto => wait(&mut self.child, answers),
        }
    }

    /// Ends it as a power cut ends a process: at once, in the middle of whatever it does.
    pub fn kill(&mut self) {
        stop(&mut self.child);
    }

    /// Starts it once more where it was, over what it kept, and waits until it answers.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start_again(&mut self) {
        let mut tried = Vec::new();
        for _ in 0..STARTS {
            let started = spawn(self.service, &self.program, self.address, self.folder.path());
            let answers = started.and_then(|child| {
                self.child = child;
                self.wait()
            });
            match answers {
                Ok(()) => return,
                Err(error) => tried.push(error.to_string()),
            }
            self.kill();
        }
        panic!("{:?} does not start again: {tried:?}", self.service);
    }

    /// How many bytes the files have that it keeps.
    pub fn kept(&self) -> u64 {
        bytes_below(self.folder.path())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// Files come and go while this looks: those that are gone have no bytes.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

/// Where what a server says goes.
fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn spawn(
    service: Service,
    program: &Path,
    address: SocketAddr,
    folder: &Path,
) -> io::Result<Child> {
    let mut command = Command::new(program);
    let port = address.port().to_string();
    match service {
        Service::S3sFs => {
            command.args(["--host", "127.0.0.1", "--port", &port]);
            command.args(["--access-key", KEY_ID, "--secret-key", SECRET]).arg(folder.join("root"));
        }
        Service::Moto => {
            command.args(["-H", "127.0.0.1", "-p", &port]);
        }
        Service::Swift | Service::SeaweedFs => {
            command.args(["--host", "127.0.0.1", "--port", &port, "--bucket", BUCKET]);
            command.args(["--access-key", KEY_ID, "--secret-key", SECRET]);
            command.arg(folder.join("served"));
        }
    }
    let output = File::create(log(folder))?;
    command.current_dir(folder).stdin(Stdio::null());
    command.stdout(output.try_clone()?).stderr(output);
    command.spawn()
}

/// An address of 127.0.0.1 whose port is free. The ports that outgoing connections take are higher, so that
/// it stays free, and most likely also those after it, of which some services need several.
fn free_address() -> io::Result<SocketAddr> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // Processes that run side by side begin far from each other.
    let begin = std::process::id().wrapping_mul(61);
    for _ in 0..BLOCKS {
        let block = begin.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)) % BLOCKS;
        let port = FIRST_PORT + BLOCK * u16::try_from(block).map_err(io::Error::other)?;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr();
        }
    }
    Err(io::Error::other("no port is free"))
}

/// Waits until a server is up.
fn wait(child: &mut Child, is_up: impl Fn() -> bool) -> io::Result<()> {
    for _ in 0..ASKED {
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("it ended with {status}")));
        }
        if is_up() {
            return Ok(());
        }
        sleep(PAUSE);
    }
    Err(io::Error::other("it does not answer"))
}

/// Ends a server by its process id; it may have ended by itself.
fn stop(child: &mut Child) {
    drop(child.kill());
    drop(child.wait());
}

fn ask(address: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let head = format!("{request} HTTP/1.1\r\nHost: {address}\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"Content-Length: 0\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The variables with which a client asks a service at `url`.
pub fn variables(url: &str) -> [(&'static str, String); 4] {
    [
        ("AWS_ENDPOINT_URL", url.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ]
}
