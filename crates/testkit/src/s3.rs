//! Services that speak S3, started for a test on a free port of 127.0.0.1 and in a folder of their own.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The bucket that each of them has.
pub const BUCKET: &str = "keepsum-test";

/// The key that they are asked with. moto takes any.
pub const KEY_ID: &str = "keepsum-test-id";

/// The secret of the key.
pub const SECRET: &str = "keepsum-test-secret/+=";

/// How often a start is tried: another process may take the port first.
const STARTS: usize = 5;

/// How often a service is asked whether it is up, and how long to wait before the next time: a busy
/// machine may need a minute.
const ASKED: usize = 600;
const PAUSE: Duration = Duration::from_millis(200);

/// A program that speaks S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The crate `s3s-fs`: checks signatures; keeps files in a folder.
    S3sFs,
    /// The Python package `moto`: takes any signature; keeps everything in memory.
    Moto,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::S3sFs, Self::Moto];

    /// The variable that names the program.
    pub fn variable(self) -> &'static str {
        match self {
            Self::S3sFs => "KEEPSUM_S3S_FS",
            Self::Moto => "KEEPSUM_MOTO",
        }
    }

    /// Starts it; nothing where its program is not installed, which is said.
    ///
    /// # Panics
    /// Where it is not installed and `KEEPSUM_TEST_ALL` says that it must be, and where it does not
    /// start.
    pub fn start(self) -> Option<Server> {
        let variable = self.variable();
        let Some(program) = std::env::var_os(variable) else {
            let all = std::env::var_os("KEEPSUM_TEST_ALL").is_some();
            assert!(!all, "{variable} is not set, and KEEPSUM_TEST_ALL is");
            eprintln!("skipped: {variable} is not set; `cargo xtask services list` says more");
            return None;
        };
        let mut tried = Vec::new();
        for _ in 0..STARTS {
            match Server::start(self, PathBuf::from(&program)) {
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
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(service: Service, program: PathBuf) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        // Free a moment ago, and most likely still.
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let port = address.port().to_string();
        let mut command = Command::new(program);
        match service {
            Service::S3sFs => {
                let root = folder.path().join("root");
                fs::create_dir_all(root.join(BUCKET))?;
                command.args(["--host", "127.0.0.1", "--port", &port]);
                command.args(["--access-key", KEY_ID, "--secret-key", SECRET]).arg(root);
            }
            Service::Moto => {
                command.args(["-H", "127.0.0.1", "-p", &port]);
            }
        }
        let log = folder.path().join("log");
        let output = File::create(&log)?;
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let mut server = Self { child: command.spawn()?, address, _folder: folder };
        server.wait()?;
        if service == Service::Moto {
            let made = server.ask(&format!("PUT /{BUCKET}"))?;
            if !made.starts_with("HTTP/1.1 200") {
                return Err(io::Error::other(format!("no bucket: {made}")));
            }
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until it answers.
    fn wait(&mut self) -> io::Result<()> {
        for _ in 0..ASKED {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("it ended with {status}")));
            }
            if self.ask("GET /").is_ok_and(|answer| answer.starts_with("HTTP/1.1 ")) {
                return Ok(());
            }
            sleep(PAUSE);
        }
        Err(io::Error::other("it does not answer"))
    }

    fn ask(&self, request: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let head = format!("{request} HTTP/1.1\r\nHost: {}\r\n", self.address);
        stream.write_all(head.as_bytes())?;
        stream.write_all(b"Content-Length: 0\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // By its process id; it may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
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
