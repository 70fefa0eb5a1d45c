//! Certificates as people make them with `openssl`: those that curl takes are taken, and of the others it
//! is said what is wrong.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backup_core::progress::Context;
use remote::s3::Settings;
use remote::{Repository, RepositoryLocation};
use testkit::s3::variables;

use crate::ground::{Ground, host, told};

/// A server that speaks TLS and knows nothing of S3.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs `openssl` in `folder`; false where there is none, which is said.
fn openssl(folder: &Path, args: &[&str]) -> bool {
    let mut command = Command::new("openssl");
    command.args(args).current_dir(folder).stdin(Stdio::null());
    match command.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) => {
            assert!(status.success(), "openssl {args:?}");
            true
        }
        Err(error) => {
            assert!(std::env::var_os("KEEPSUM_TEST_ALL").is_none(), "openssl: {error}");
            println!("skipped: there is no openssl ({error})");
            false
        }
    }
}

fn serve(folder: &Path) -> (Server, SocketAddr) {
    let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-www", "-quiet", "-accept", &address.to_string()]);
    command.args(["-cert", "cert.pem", "-key", "key.pem"]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(command.spawn().unwrap());
    for _ in 0..600 {
        if TcpStream::connect(address).is_ok() {
            return (server, address);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("openssl s_server does not answer");
}

/// What is said to who opens a repository at `endpoint`, trusting the certificates of `bundle`.
async fn said(endpoint: &str, bundle: Option<&Path>) -> String {
    let bundle = bundle.map(|path| ("AWS_CA_BUNDLE", path.to_str().unwrap().to_owned()));
    let settings = Settings::new(variables(endpoint).into_iter().chain(bundle));
    let location = RepositoryLocation::s3("s3://some-bucket/x", settings).unwrap();
    let error = Repository::open(&location, &host(), &Context::default()).await.unwrap_err();
    told(&error).lines().next().unwrap().to_owned()
}

const KEY: [&str; 8] =
    ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out"];

/// One certificate: how it is made, whether it is trusted when named, and what is said.
async fn check(more: &[&str], trusted: bool, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let args: Vec<_> =
        KEY.iter().chain(&["cert.pem", "-subj", "/CN=127.0.0.1"]).chain(more).collect();
    let args: Vec<&str> = args.into_iter().copied().collect();
    if !openssl(folder.path(), &args) {
        return;
    }
    let (_server, address) = serve(folder.path());
    let endpoint = format!("https://{address}");
    let line = said(&endpoint, None).await;
    assert!(line.contains("the certificate of") && line.contains(&endpoint), "{line}");
    let line = said(&endpoint, Some(&folder.path().join("cert.pem"))).await;
    // It was spoken to, and is no service.
    assert_eq!(!line.contains("the certificate of"), trusted, "{more:?}: {line}");
    assert!(words.iter().all(|word| line.contains(word)), "{more:?}: {line}");
}

/// Plain `openssl req -x509` marks what it makes as an authority: it was refused, and curl takes it.
#[tokio::test]
async fn the_very_certificate_that_is_named_is_trusted() {
    let address = ["-addext", "subjectAltName=IP:127.0.0.1"];
    check(&address, true, &[]).await;
    let host = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"];
    check(&host, true, &[]).await;
}

#[tokio::test]
async fn another_host_s_certificate_says_whose_it_is() {
    let another = ["-addext", "subjectAltName=DNS:minio.example.org,IP:10.1.2.3"];
    let words = ["for another host: minio.example.org, 10.1.2.3", "AWS_ENDPOINT_URL"];
    check(&another, false, &words).await;
}

/// The name in the subject counts for nobody any more.
#[tokio::test]
async fn a_certificate_without_names_says_which_extension_is_missing() {
    check(&[], false, &["no extension subjectAltName", "-addext subjectAltName="]).await;
}

#[tokio::test]
async fn a_certificate_of_version_1_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let request = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out"];
    let request: Vec<_> =
        request.iter().chain(&["r.pem", "-subj", "/CN=127.0.0.1"]).copied().collect();
    if !openssl(folder.path(), &request) {
        return;
    }
    let sign = ["x509", "-req", "-in", "r.pem", "-signkey", "key.pem", "-out", "cert.pem"];
    openssl(folder.path(), &sign);
    let (_server, address) = serve(folder.path());
    let line = said(&format!("https://{address}"), Some(&folder.path().join("cert.pem"))).await;
    assert!(line.contains("is of version 1") && line.contains("-addext"), "{line}");
}

#[tokio::test]
async fn a_certificate_whose_time_is_over_is_not_trusted() {
    let over = ["-addext", "subjectAltName=IP:127.0.0.1", "-days", "-1"];
    // Newer versions of the program refuse to make it.
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("openssl");
    command.args(KEY).args(["cert.pem", "-subj", "/CN=x", "-days", "-1"]);
    command.current_dir(folder.path()).stdin(Stdio::null());
    let made = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if made.is_ok_and(|status| status.success()) {
        check(&over, false, &["no longer valid", "clock"]).await;
    }
}

/// "Cannot be reached" was said of a service that answered at once.
#[tokio::test]
async fn a_plain_service_that_is_asked_in_tls_is_named() {
    let Some(ground) = Ground::all().next() else { return };
    let endpoint = ground.server.url().replace("http://", "https://");
    let line = said(&endpoint, None).await;
    assert!(line.contains(&endpoint) && line.contains("does not speak TLS"), "{line}");
    assert!(line.contains("write http:// in AWS_ENDPOINT_URL"), "{line}");
}
