//! Services that speak S3, started for a test on a free port of 127.0.0.1 and in a folder of their own.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::program;

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
const ASKED: usize = 600;
const PAUSE: Duration = Duration::from_millis(200);

/// A program that speaks S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The crate `s3s-fs`: checks signatures; keeps files in a folder.
    S3sFs,
    /// The Python package `moto`: takes any signature; keeps everything in memory.
    Moto,
    /// OpenStack Swift: lets two writers create one name. For tests of that alone.
    Swift,
}

impl Service {
    /// Those that hold a repository, if only one writer at a time creates something there.
    pub const ALL: [Self; 2] = [Self::S3sFs, Self::Moto];

    /// The variable that names the program.
    pub fn variable(self) -> &'static str {
        match self {
            Self::S3sFs => "KEEPSUM_S3S_FS",
            Self::Moto => "KEEPSUM_MOTO",
            Self::Swift => "KEEPSUM_SWIFT",
        }
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

/// Makes a key and a certificate of 127.0.0.1 that nobody vouches for.
const CERTIFY: &str = r#"
import datetime, ipaddress, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "keepsum test")])
now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
made = made.not_valid_before(now - day).not_valid_after(now + day).add_extension(address, False)
made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
pem = serialization.Encoding.PEM
with open("cert.pem", "wb") as file:
    file.write(made.sign(key, hashes.SHA256()).public_bytes(pem))
with open("key.pem", "wb") as file:
    none = serialization.NoEncryption()
    file.write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none))
"#;

/// moto over TLS, without a bucket, with a certificate of its own; nothing where moto is not installed.
///
/// # Panics
/// As for [`Service::start`].
pub fn start_tls() -> Option<TlsServer> {
    let program = program::named(Service::Moto.variable())?;
    let mut tried = Vec::new();
    for _ in 0..STARTS {
        match TlsServer::start(&program) {
            Ok(server) => return Some(server),
            Err(error) => tried.push(error.to_string()),
        }
    }
    panic!("moto does not start with TLS: {tried:?}");
}

/// A service over TLS that runs until this is dropped.
#[derive(Debug)]
pub struct TlsServer {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl TlsServer {
    fn start(program: &Path) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut python = Command::new(program.with_file_name("python"));
        let certified = python.args(["-c", CERTIFY]).current_dir(folder.path()).status()?;
        if !certified.success() {
            return Err(io::Error::other("no certificate"));
        }
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        command.args(["--ssl-cert", "cert.pem", "--ssl-key", "key.pem"]).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Self { child: command.spawn()?, address, folder };
        wait(&mut server.child, || TcpStream::connect(address).is_ok())?;
        Ok(server)
    }

    /// Its address, as a URL.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The file of its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        stop(&mut self.child);
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
    fn start(service: Service, program: &Path) -> io::Result<Self> {
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
            Service::Swift => {
                command.args(["--host", "127.0.0.1", "--port", &port, "--bucket", BUCKET]);
                command.args(["--access-key", KEY_ID, "--secret-key", SECRET]);
                command.arg(folder.path().join("swift"));
            }
        }
        let log = folder.path().join("log");
        let output = File::create(&log)?;
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let mut server = Self { child: command.spawn()?, address, _folder: folder };
        let answers = || ask(address, "GET /").is_ok_and(|answer| answer.starts_with("HTTP/1.1 "));
        // Swift says so once it has its bucket.
        let says_so = || fs::read_to_string(&log).is_ok_and(|text| text.contains("ready"));
        match service {
            Service::Swift => wait(&mut server.child, says_so)?,
            _ => wait(&mut server.child, answers)?,
        }
        if service == Service::Moto {
            let made = ask(address, &format!("PUT /{BUCKET}"))?;
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
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
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
