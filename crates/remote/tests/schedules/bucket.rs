//! A bucket in memory, whose every request waits until the schedule grants it, and then may fail in
//! each of the ways in which real ones do.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Extensions, GetOptions, GetRange, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult,
};

use crate::coverage::{Event, Seen};
use crate::random::Random;

/// What is left of a catalog entry below the floor.
pub(crate) const STUB: &[u8] = b"a stub";

/// How often requests go wrong, each in a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// It fails, and nothing is done.
    pub(crate) fail: usize,
    /// It is done, and the answer is lost.
    pub(crate) lose_answer: usize,
    /// It fails, and is done later.
    pub(crate) late: usize,
    /// A name is said to be taken that is not.
    pub(crate) false_exists: usize,
    /// A listing misses what was stored in the last steps.
    pub(crate) stale: usize,
}

/// What a process asks for.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Create { path: String, bytes: Bytes },
    Overwrite { path: String, bytes: Bytes },
    Get { path: String },
    List { folder: String, after: Option<String> },
    Delete { path: String },
}

#[derive(Debug, Clone)]
enum Answer {
    Done,
    Exists,
    Absent,
    Found(Bytes),
    Listing(Vec<(String, u64)>),
    Failed,
}

#[derive(Debug, Clone)]
struct File {
    bytes: Bytes,
    /// The step in which it was stored.
    step: u64,
}

/// A request under way.
#[derive(Debug)]
struct Waiting {
    process: usize,
    operation: Operation,
    answer: Option<Answer>,
    waker: Waker,
}

/// The files of a bucket.
pub(crate) type Files = BTreeMap<String, Bytes>;

#[derive(Debug, Default)]
struct Inside {
    files: BTreeMap<String, File>,
    waiting: BTreeMap<u64, Waiting>,
    /// Requests that were answered, or whose process is gone, and that may still be done.
    late: Vec<Operation>,
    next_ticket: u64,
    step: u64,
    /// No request waits, and none goes wrong.
    calm: bool,
    seen: Seen,
    /// A running hash of all that was granted, to compare two courses of one schedule.
    course: u64,
}

/// A bucket. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bucket(Arc<Mutex<Inside>>);

impl Bucket {
    /// A bucket that answers at once.
    pub(crate) fn calm(files: &Files) -> Self {
        let bucket = Self::holding(files);
        bucket.inside().calm = true;
        bucket
    }

    /// A bucket whose requests wait.
    pub(crate) fn holding(files: &Files) -> Self {
        let file = |bytes: &Bytes| File { bytes: bytes.clone(), step: 0 };
        let files = files.iter().map(|(path, bytes)| (path.clone(), file(bytes))).collect();
        // What is there was stored long ago.
        Self(Arc::new(Mutex::new(Inside { files, step: 1000, ..Inside::default() })))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }

    pub(crate) fn client(&self, process: usize) -> Arc<dyn ObjectStore> {
        Arc::new(Client { bucket: self.clone(), process })
    }

    pub(crate) fn files(&self) -> Files {
        self.inside().files.iter().map(|(path, file)| (path.clone(), file.bytes.clone())).collect()
    }

    pub(crate) fn note(&self, event: Event) {
        self.inside().seen.note(event);
    }

    pub(crate) fn seen(&self) -> Seen {
        self.inside().seen
    }

    pub(crate) fn step(&self) -> u64 {
        self.inside().step
    }

    pub(crate) fn course(&self) -> u64 {
        self.inside().course
    }

    /// The requests that wait to be granted, oldest first: ticket and process.
    pub(crate) fn waiting(&self, into: &mut Vec<(u64, usize)>) {
        let inside = self.inside();
        let unanswered = inside.waiting.iter().filter(|(_, waiting)| waiting.answer.is_none());
        into.clear();
        into.extend(unanswered.map(|(ticket, waiting)| (*ticket, waiting.process)));
    }

    /// How many requests may still be done late.
    pub(crate) fn late(&self) -> usize {
        self.inside().late.len()
    }

    /// Does one of the late requests.
    pub(crate) fn land(&self, number: usize) {
        let mut inside = self.inside();
        inside.step += 1;
        let operation = inside.late.swap_remove(number);
        let entry = matches!(&operation, Operation::Create { path, .. } if path.starts_with("cat"));
        inside.count(usize::MAX, &operation);
        if matches!(inside.execute(&operation, 0), Answer::Done) && entry {
            inside.seen.note(Event::LateCatalogEntryLanded);
        }
    }

    /// Grants a request, and wakes its process.
    pub(crate) fn grant(&self, ticket: u64, faults: &Faults, random: &mut Random) {
        let mut inside = self.inside();
        inside.step += 1;
        let waiting = inside.waiting.get(&ticket).expect("the ticket is of a waiting request");
        let (operation, process) = (waiting.operation.clone(), waiting.process);
        inside.count(process, &operation);
        let answer = inside.answer(operation, faults, random);
        let waiting = inside.waiting.get_mut(&ticket).expect("it is still there");
        waiting.answer = Some(answer);
        waiting.waker.wake_by_ref();
    }

    /// Makes stubs of catalog entries, in one step.
    pub(crate) fn stub(&self, paths: impl Iterator<Item = String>) {
        let mut inside = self.inside();
        let step = inside.step;
        let stub = |path| (path, File { bytes: Bytes::from_static(STUB), step });
        inside.files.extend(paths.map(stub));
    }

    /// What a process that ends in the middle leaves: requests that arrive in any case, or never.
    pub(crate) fn orphan(&self, operation: Operation) {
        if !matches!(operation, Operation::Get { .. } | Operation::List { .. }) {
            self.inside().late.push(operation);
        }
    }
}

impl Inside {
    fn count(&mut self, process: usize, operation: &Operation) {
        let path = match operation {
            Operation::Create { path, .. }
            | Operation::Overwrite { path, .. }
            | Operation::Get { path }
            | Operation::Delete { path } => path,
            Operation::List { folder, .. } => folder,
        };
        let course = self.course.rotate_left(5) ^ process as u64;
        self.course = path.bytes().fold(course, |course, byte| {
            (course ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    }

    fn answer(&mut self, operation: Operation, faults: &Faults, random: &mut Random) -> Answer {
        let reads = matches!(operation, Operation::Get { .. } | Operation::List { .. });
        let creates = matches!(operation, Operation::Create { .. });
        let entry = matches!(&operation, Operation::Create { path, .. } if path.starts_with("cat"));
        if random.chance(faults.fail) {
            self.seen.note(Event::RequestFailed);
            return Answer::Failed;
        }
        if !reads && random.chance(faults.lose_answer) {
            self.seen.note(Event::AnswerLost);
            if entry {
                self.seen.note(Event::AnswerLostOfCatalogEntry);
            }
            self.execute(&operation, 0);
            return Answer::Failed;
        }
        if !reads && random.chance(faults.late) {
            let event = if creates { Event::LatePut } else { Event::LateDelete };
            self.seen.note(event);
            self.late.push(operation);
            return Answer::Failed;
        }
        if creates && random.chance(faults.false_exists) {
            self.seen.note(Event::FalseExists);
            return Answer::Exists;
        }
        let mut hidden = 0;
        if matches!(operation, Operation::List { .. }) && random.chance(faults.stale) {
            self.seen.note(Event::StaleListing);
            hidden = random.between(1, 60) as u64;
        }
        self.execute(&operation, hidden)
    }

    /// Does what is asked for. A listing leaves out what was stored in the last `hidden` steps.
    fn execute(&mut self, operation: &Operation, hidden: u64) -> Answer {
        let step = self.step;
        match operation {
            Operation::Create { path, bytes } => {
                if let Some(there) = self.files.get(path) {
                    if path.starts_with("catalog/") && there.bytes != bytes {
                        self.seen.note(Event::RaceLost);
                    }
                    return Answer::Exists;
                }
                self.files.insert(path.clone(), File { bytes: bytes.clone(), step });
                Answer::Done
            }
            Operation::Overwrite { path, bytes } => {
                self.files.insert(path.clone(), File { bytes: bytes.clone(), step });
                Answer::Done
            }
            Operation::Get { path } => match self.files.get(path) {
                Some(file) => Answer::Found(file.bytes.clone()),
                None => Answer::Absent,
            },
            Operation::List { folder, after } => {
                let from = after.as_ref().unwrap_or(folder);
                let below = self.files.range(from.clone()..);
                let below = below.take_while(|(path, _)| path.starts_with(folder.as_str()));
                let shown = below.filter(|(path, file)| {
                    Some(*path) != after.as_ref() && file.step + hidden <= step
                });
                Answer::Listing(
                    shown.map(|(path, file)| (path.clone(), file.bytes.len() as u64)).collect(),
                )
            }
            Operation::Delete { path } => match self.files.remove(path) {
                Some(_) => Answer::Done,
                None => Answer::Absent,
            },
        }
    }
}

/// One process's connection.
struct Client {
    bucket: Bucket,
    process: usize,
}

impl Client {
    fn ask(&self, operation: Operation) -> Turn {
        Turn { bucket: self.bucket.clone(), process: self.process, state: State::New(operation) }
    }
}

/// A request and its answer.
struct Turn {
    bucket: Bucket,
    process: usize,
    state: State,
}

enum State {
    New(Operation),
    Waiting(u64),
    Done,
}

impl Future for Turn {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let turn = &mut *self;
        let mut inside = turn.bucket.inside();
        match std::mem::replace(&mut turn.state, State::Done) {
            State::New(operation) if inside.calm => {
                inside.step += 1;
                Poll::Ready(inside.execute(&operation, 0))
            }
            State::New(operation) => {
                let ticket = inside.next_ticket;
                inside.next_ticket += 1;
                let (process, waker) = (turn.process, context.waker().clone());
                inside.waiting.insert(ticket, Waiting { process, operation, answer: None, waker });
                turn.state = State::Waiting(ticket);
                Poll::Pending
            }
            State::Waiting(ticket) => {
                let waiting = inside.waiting.get(&ticket).expect("it waits until it is answered");
                if waiting.answer.is_none() {
                    turn.state = State::Waiting(ticket);
                    return Poll::Pending;
                }
                let waiting = inside.waiting.remove(&ticket).expect("it was just there");
                Poll::Ready(waiting.answer.expect("it was answered"))
            }
            State::Done => panic!("a request that was answered is polled again"),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let State::Waiting(ticket) = self.state {
            let waiting = self.bucket.inside().waiting.remove(&ticket);
            if let Some(Waiting { operation, answer: None, .. }) = waiting {
                self.bucket.orphan(operation);
            }
        }
    }
}

fn failed() -> object_store::Error {
    object_store::Error::Generic { store: "simulated", source: "no answer".into() }
}

fn absent(path: &str) -> object_store::Error {
    object_store::Error::NotFound { path: path.to_owned(), source: "absent".into() }
}

fn never<T>() -> object_store::Result<T> {
    Err(object_store::Error::NotSupported { source: "a repository has no use for it".into() })
}

#[expect(
    clippy::default_trait_access,
    reason = "the time, which nobody looks at, is of a crate that nothing here names"
)]
fn meta(path: &str, size: u64) -> ObjectMeta {
    let location = Path::from(path);
    ObjectMeta { location, last_modified: Default::default(), size, e_tag: None, version: None }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    fn listing(
        &self,
        prefix: Option<&Path>,
        after: Option<&Path>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let folder = prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let turn = self.ask(Operation::List { folder, after: after.map(ToString::to_string) });
        let listed = async move {
            let found = match turn.await {
                Answer::Listing(found) => {
                    found.iter().map(|(path, size)| Ok(meta(path, *size))).collect()
                }
                _ => vec![Err(failed())],
            };
            futures_util::stream::iter(found)
        };
        futures_util::stream::once(listed).flatten().boxed()
    }
}

#[async_trait]
impl ObjectStore for Client {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let (path, bytes) = (location.to_string(), Bytes::from(payload));
        let operation = match options.mode {
            PutMode::Create => Operation::Create { path, bytes },
            _ => Operation::Overwrite { path, bytes },
        };
        match self.ask(operation).await {
            Answer::Done => {
                Ok(PutResult { e_tag: None, version: None, extensions: Extensions::default() })
            }
            Answer::Exists => {
                let path = location.to_string();
                Err(object_store::Error::AlreadyExists { path, source: "taken".into() })
            }
            _ => Err(failed()),
        }
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        never()
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        let bytes = match self.ask(Operation::Get { path: location.to_string() }).await {
            Answer::Found(bytes) => bytes,
            Answer::Absent => return Err(absent(location.as_ref())),
            _ => return Err(failed()),
        };
        let size = bytes.len() as u64;
        let range: Range<u64> = match options.range {
            Some(GetRange::Bounded(range)) => range.start.min(size)..range.end.min(size),
            Some(_) => return never(),
            None => 0..size,
        };
        let place = |at: u64| usize::try_from(at).expect("it is within a file in memory");
        let part = bytes.slice(place(range.start)..place(range.end));
        let payload = futures_util::stream::once(async move { Ok(part) }).boxed();
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload),
            meta: meta(location.as_ref(), size),
            range,
            attributes: Attributes::default(),
            extensions: Extensions::default(),
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        let (bucket, process) = (self.bucket.clone(), self.process);
        let delete = move |location: object_store::Result<Path>| {
            let client = Self { bucket: bucket.clone(), process };
            async move {
                let location = location?;
                match client.ask(Operation::Delete { path: location.to_string() }).await {
                    Answer::Done => Ok(location),
                    Answer::Absent => Err(absent(location.as_ref())),
                    _ => Err(failed()),
                }
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.listing(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.listing(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        let found: Vec<_> = self.listing(prefix, None).collect().await;
        let mut result = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
            extensions: Extensions::default(),
        };
        for meta in found {
            let meta = meta?;
            let top = meta.location.parts().next();
            match top.filter(|top| top.as_ref() != meta.location.as_ref()) {
                Some(folder) => result.common_prefixes.push(Path::from_iter([folder])),
                None => result.objects.push(meta),
            }
        }
        result.common_prefixes.dedup();
        Ok(result)
    }

    async fn copy_opts(
        &self,
        _from: &Path,
        _to: &Path,
        _options: CopyOptions,
    ) -> object_store::Result<()> {
        never()
    }
}
