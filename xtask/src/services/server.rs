//! Running a server for a person: to try things out against S3 without S3.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The servers among the services.
pub(super) const NAMES: [&str; 4] = ["s3s-fs", "moto", "seaweedfs", "swift"];

/// The bucket that it has from the start.
const BUCKET: &str = "backups";
/// Swift's keys name an account, too.
const KEY: &str = "test:test";
const SECRET: &str = "test-secret";

/// How often it is asked whether it is up.
const ASKED: u32 = 300;
const PAUSE: Duration = Duration::from_millis(200);

/// Runs the server until it ends, which Ctrl-C makes it do. Its files stay in the folder that is
/// printed.
pub(super) fn run(name: &str, program: &Path) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("keepsum-{name}-{}", std::process::id()));
    fs::create_dir_all(folder.join(BUCKET))
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let address = TcpListener::bind(("127.0.0.1", 0)).and_then(|found| found.local_addr());
    let address = address.context("no port of 127.0.0.1 is free")?;
    let mut server = command(name, program, address, &folder)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if let Err(error) = greet(&mut server, name, address) {
        // It may have ended by itself.
        server.kill().ok();
        return Err(error);
    }
    println!("export AWS_ENDPOINT_URL=http://{address} AWS_REGION=us-east-1");
    println!("export AWS_ACCESS_KEY_ID={KEY} AWS_SECRET_ACCESS_KEY={SECRET}");
    println!("export KEEPSUM_REPO=s3://{BUCKET}/try");
    eprintln!("{name} runs in {} until Ctrl-C", folder.display());
    let status = server.wait().with_context(|| format!("cannot wait for {name}"))?;
    eprintln!("{name} ended with {status}");
    Ok(())
}

fn command(name: &str, program: &Path, address: SocketAddr, folder: &Path) -> Command {
    let mut command = Command::new(program);
    let port = address.port().to_string();
    match name {
        "moto" => command.args(["-H", "127.0.0.1", "-p", &port]),
        "swift" | "seaweedfs" => command
            .args(["--host", "127.0.0.1", "--port", &port, "--bucket", BUCKET])
            .args(["--access-key", KEY, "--secret-key", SECRET])
            .arg(folder.join(name)),
        _ => command
            .args(["--host", "127.0.0.1", "--port", &port])
            .args(["--access-key", KEY, "--secret-key", SECRET])
            .arg(folder),
    };
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Waits until it answers, and makes the bucket where that is not a folder.
fn greet(server: &mut Child, name: &str, address: SocketAddr) -> Result<()> {
    let request = if name == "moto" { format!("PUT /{BUCKET}") } else { "GET /".to_owned() };
    for _ in 0..ASKED {
        if let Some(status) = server.try_wait().context("cannot look at the server")? {
            bail!("it ended with {status}");
        }
        if ask(&request, address).is_ok_and(|answer| answer.starts_with("HTTP/1.1 ")) {
            return Ok(());
        }
        sleep(PAUSE);
    }
    bail!("it does not answer at {address}")
}

fn ask(request: &str, address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let head = format!("{request} HTTP/1.1\r\nHost: {address}\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"Content-Length: 0\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
