//! moto over TLS.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{STARTS, Service, free_address, stop, wait};
use crate::program;

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
        let address = free_address()?;
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
