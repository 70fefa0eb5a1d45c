//! A proxy between a client and an HTTP server, both of them real, that breaks what passes through it.
//!
//! It takes one request a connection and says so in each answer, so that a fault hits the request it
//! was meant for. What it does with a request is up to a rule, by the request's number, method and
//! path.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a connection may be silent before the proxy gives it up, so that no thread is left.
const SILENCE: Duration = Duration::from_mins(2);

/// How long to wait before something is looked at once more.
const TURN: Duration = Duration::from_millis(10);

/// A request on its way.
#[derive(Debug, Clone)]
pub struct Call {
    /// How many came before it.
    pub number: usize,
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Whether it creates only what is absent.
    pub conditional: bool,
}

impl Call {
    fn writes(&self) -> bool {
        !["GET", "HEAD"].contains(&self.method.as_str())
    }

    fn lists(&self) -> bool {
        self.path.contains("list-type=")
    }
}

/// What the proxy does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Passes it on, and the answer back.
    None,
    /// Answers it by itself; the server does not hear of it.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Headers, each a line without its end.
        headers: Vec<String>,
        /// The body.
        body: String,
    },
    /// Ends the connection; the server does not hear of it.
    Cut,
    /// Passes on half of its body and ends both connections.
    CutRequest,
    /// Passes it on and ends the connection in place of the answer.
    LoseAnswer,
    /// Passes on the answer's head and so many bytes of its body, and ends the connection.
    CutAnswer(usize),
    /// Passes it on and never answers.
    Stall,
    /// Passes the answer on in so many pieces, each after a pause.
    Slow(usize, Duration),
    /// Passes its head on at once, and its body after a pause.
    SlowBody(Duration),
    /// Passes it on without the condition that it creates only what is absent.
    Unconditional,
    /// Passes it on without the range that it asks for.
    Unranged,
}

impl Fault {
    /// An answer as S3 gives it.
    pub fn error(status: u16, code: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
             <Message>planted</Message></Error>"
        );
        Self::Answer { status, headers: vec!["Content-Type: application/xml".into()], body }
    }
}

type Rule = dyn Fn(&Call) -> Fault + Send + Sync;

struct Shared {
    server: SocketAddr,
    rule: Mutex<Arc<Rule>>,
    calls: AtomicUsize,
    gate: Option<Mutex<()>>,
    /// Whether nobody listens.
    away: AtomicBool,
    stopped: AtomicBool,
}

/// The proxy, on a port of its own of 127.0.0.1. It ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy before `server` that breaks nothing yet.
    pub fn new(server: SocketAddr) -> io::Result<Self> {
        Self::start(server, None)
    }

    /// As [`new`](Self::new), and lets writes and listings through one at a time: for moto, which answers 500 to a
    /// listing while something is written.
    pub fn gated(server: SocketAddr) -> io::Result<Self> {
        Self::start(server, Some(Mutex::new(())))
    }

    fn start(server: SocketAddr, gate: Option<Mutex<()>>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            rule: Mutex::new(Arc::new(|_: &Call| Fault::None)),
            calls: AtomicUsize::new(0),
            gate,
            away: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let listening = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve_all(listener, address, &shared)
        });
        Ok(Self { address, shared, listening: Some(listening) })
    }

    /// Its address, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on breaks what `rule` says. Requests are counted from 0 again.
    pub fn set(&self, rule: impl Fn(&Call) -> Fault + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rule);
        self.shared.calls.store(0, Ordering::SeqCst);
    }

    /// Stops to listen, as a service does that starts again: connections are refused. What is under way
    /// goes on.
    pub fn go_away(&self) {
        self.shared.away.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        drop(TcpStream::connect(self.address));
        while TcpStream::connect(self.address).is_ok() {
            std::thread::sleep(TURN);
        }
    }

    /// Listens again.
    pub fn come_back(&self) {
        self.shared.away.store(false, Ordering::SeqCst);
    }

    /// How many requests came since the rule was set.
    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(listening) = self.listening.take() {
            drop(listening.join());
        }
    }
}

/// Serves until the proxy is dropped, but for the times when it is away.
fn serve_all(listener: TcpListener, address: SocketAddr, shared: &Arc<Shared>) {
    let mut listener = Some(listener);
    while !shared.stopped.load(Ordering::SeqCst) {
        match listener.take() {
            // Dropped when it is done: nobody listens then.
            Some(open) => listen(&open, shared),
            None if shared.away.load(Ordering::SeqCst) => std::thread::sleep(TURN),
            // Connections that are about to end may still hold the port.
            None => match TcpListener::bind(address) {
                Ok(bound) => listener = Some(bound),
                Err(_) => std::thread::sleep(TURN),
            },
        }
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) || shared.away.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        // A connection that breaks is no news to a proxy: the client tells what it made of it.
        std::thread::spawn(move || drop(serve(client, &shared)));
    }
}

/// A request as it came.
struct Request {
    head: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    fn remove(&mut self, name: &str) {
        let named = |line: &str| {
            line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
        };
        self.head.retain(|line| !named(line));
    }
}

fn serve(client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_read_timeout(Some(SILENCE))?;
    client.set_nodelay(true)?;
    let Some(mut request) = read_request(&client)? else { return Ok(()) };
    let mut words = request.head[0].split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let call = Call {
        number: shared.calls.fetch_add(1, Ordering::SeqCst),
        method: word(),
        path: word(),
        conditional: header(&request.head, "if-none-match").is_some(),
    };
    let rule = Arc::clone(&shared.rule.lock().unwrap_or_else(PoisonError::into_inner));
    let fault = rule(&call);
    match fault {
        Fault::Cut => return Ok(()),
        Fault::Answer { status, headers, body } => {
            return answer(client, status, &headers, &body, call.method == "HEAD");
        }
        Fault::CutRequest => {
            let mut server = connect(shared.server)?;
            send_head(&mut server, &request)?;
            server.write_all(&request.body[..request.body.len() / 2])?;
            return server.shutdown(Shutdown::Both);
        }
        Fault::Unconditional => request.remove("if-none-match"),
        Fault::Unranged => request.remove("range"),
        _ => {}
    }
    let pause = match fault {
        Fault::SlowBody(pause) => pause,
        _ => Duration::ZERO,
    };
    let bytes = {
        let passes_gate = call.conditional || (pause.is_zero() && (call.writes() || call.lists()));
        let gate = shared.gate.as_ref().filter(|_| passes_gate);
        let _turn = gate.map(|gate| gate.lock().unwrap_or_else(PoisonError::into_inner));
        ask(shared.server, &request, pause)?
    };
    give(client, &bytes, &fault)
}

/// Hands over the server's answer, or what the fault leaves of it.
fn give(mut client: TcpStream, bytes: &[u8], fault: &Fault) -> io::Result<()> {
    match *fault {
        Fault::LoseAnswer => Ok(()),
        Fault::Stall => {
            // Until the client gives up.
            client.read(&mut [0]).map(drop)
        }
        Fault::CutAnswer(length) => {
            let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |at| at + 4);
            client.write_all(&bytes[..bytes.len().min(head + length)])
        }
        Fault::Slow(pieces, pause) => {
            for piece in bytes.chunks(bytes.len().div_ceil(pieces.max(1)).max(1)) {
                std::thread::sleep(pause);
                client.write_all(piece)?;
            }
            Ok(())
        }
        _ => client.write_all(bytes),
    }
}

/// Reads a request, whose body has a plain length. None where the connection ends before.
fn read_request(client: &TcpStream) -> io::Result<Option<Request>> {
    let mut reader = BufReader::new(client);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    if head.is_empty() {
        return Ok(None);
    }
    let length = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { head, body }))
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let values = head.iter().skip(1).filter_map(|line| line.split_once(':'));
    let mut found = values.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.trim())
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let server = TcpStream::connect(server)?;
    server.set_read_timeout(Some(SILENCE))?;
    // A body must not wait until the head is acknowledged.
    server.set_nodelay(true)?;
    Ok(server)
}

/// The whole answer of the server to a request whose body follows its head after a pause.
fn ask(server: SocketAddr, request: &Request, pause: Duration) -> io::Result<Vec<u8>> {
    let mut server = connect(server)?;
    send_head(&mut server, request)?;
    std::thread::sleep(pause);
    server.write_all(&request.body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}

fn send_head(server: &mut TcpStream, request: &Request) -> io::Result<()> {
    let mut head = request.head[0].clone() + "\r\n";
    let kept = request.head.iter().skip(1);
    for line in kept.filter(|line| !line.to_ascii_lowercase().starts_with("connection:")) {
        head.push_str(line);
        head.push_str("\r\n");
    }
    // The server's answer then says so too, to the client.
    head.push_str("Connection: close\r\n\r\n");
    server.write_all(head.as_bytes())
}

fn answer(
    mut client: TcpStream,
    status: u16,
    headers: &[String],
    body: &str,
    head: bool,
) -> io::Result<()> {
    let mut text = format!("HTTP/1.1 {status} Planted\r\nConnection: close\r\n");
    text.push_str("Content-Length: ");
    text.push_str(&body.len().to_string());
    text.push_str("\r\n");
    for line in headers {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    if !head {
        text.push_str(body);
    }
    client.write_all(text.as_bytes())
}
