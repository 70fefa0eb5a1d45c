//! Trees of files.

use std::sync::{Arc, Mutex};

use archive::leaf::{LeafBuilder, LeafRecord, LeafValue};
use archive::manifest::{FileMeta, Shape, SnapshotId};
use archive::node::{Child, Tree};
use archive::object::Kind;
use backup_core::progress::Context;
use backup_core::source::FileNature::{Changing, Immutable};
use futures_util::TryStreamExt;
use remote::tree::{
    Checkpoints, FileContent, FilesWritten, SoFar, Unsaved, file_contents, list_files, write_files,
};
use remote::verify::{Level, verify};
use remote::{Repository, Root, Session};

use crate::listed::{Described, ListedFiles, manifest, repository, source, stored_objects};

async fn store(
    repository: &Repository,
    files: &ListedFiles,
    parent: Option<&(SnapshotId, FilesWritten)>,
) -> (SnapshotId, FilesWritten) {
    let head = repository.head().await.unwrap();
    let roots: Vec<Root> = parent.iter().map(|(id, _)| Root::Snapshot(*id)).collect();
    let session = Session::begin(repository, &head, &source(), &roots).await.unwrap();
    let trees: Vec<Tree> = parent.iter().filter_map(|(_, files)| files.tree.clone()).collect();
    let written =
        write_files(&session, files, &trees, &Unsaved, &Context::default()).await.unwrap();
    let (count, bytes) = (written.count, written.bytes);
    let mut manifest = manifest(Shape::Files { tree: written.tree.clone(), count, bytes });
    manifest.id = SnapshotId(repository.host().random().unwrap());
    (session.commit(&manifest).await.unwrap().snapshot, written)
}

async fn check(repository: &Repository, files: &ListedFiles, written: &FilesWritten) {
    let tree = written.tree.as_ref().unwrap();
    let listed = list_files(repository.objects(), tree).await.unwrap();
    assert_eq!(listed, files.infos);
    let mut found = vec![Vec::new(); listed.len()];
    let mut contents = file_contents(repository.objects(), tree, None);
    while let Some(FileContent { file, offset, bytes, .. }) = contents.try_next().await.unwrap() {
        assert_eq!(offset, found[file].len() as u64, "content comes in order, without gaps");
        found[file].extend_from_slice(&bytes);
    }
    for (file, content) in found.iter().enumerate() {
        assert!(*content == files.contents[file], "{}", listed[file].path);
    }
}

fn sample() -> Vec<Described> {
    vec![
        ("CURRENT", Changing, None, b"MANIFEST-000005\n".to_vec()),
        ("empty", Changing, None, Vec::new()),
        ("000011.sst", Immutable, Some(b"one"), testkit::noise(1, 20 << 20)),
        ("deep/er/log", Changing, None, testkit::noise(2, (3 << 20) + 17)),
        ("small.sst", Immutable, Some(b"two"), testkit::noise(3, 100)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_back_byte_for_byte() {
    let repository = repository().await;
    let files = ListedFiles::new(sample());
    let (_, written) = store(&repository, &files, None).await;
    check(&repository, &files, &written).await;
}

/// A file that the parent has by the engine's own word is neither read nor sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_known_is_not_read() {
    let repository = repository().await;
    let parent = store(&repository, &ListedFiles::new(sample()), None).await;
    let objects = stored_objects(&repository).await;
    let again = ListedFiles::new(sample());
    let (_, written) = store(&repository, &again, Some(&parent)).await;
    assert_eq!(written.tree, parent.1.tree);
    assert_eq!(stored_objects(&repository).await - objects, 1, "the manifest alone");
    let unnamed: u64 =
        again.infos.iter().filter(|i| i.identity.is_none()).map(|info| info.bytes).sum();
    assert_eq!(again.bytes_read(), unnamed);
    check(&repository, &again, &written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_file_that_changed_the_pieces_that_changed_are_stored() {
    let repository = repository().await;
    let parent = store(&repository, &ListedFiles::new(sample()), None).await;
    let mut files = sample();
    // The same name and length, another identity: nothing may be taken over unread.
    files[2].2 = Some(b"three");
    files[2].3[0] ^= 1;
    // A log that grew.
    files[3].3.extend_from_slice(b"more");
    let files = ListedFiles::new(files);
    let objects = stored_objects(&repository).await;
    let (_, written) = store(&repository, &files, Some(&parent)).await;
    check(&repository, &files, &written).await;
    // One piece of the table, the last of the log, a leaf or more, the root, the manifest.
    let more = stored_objects(&repository).await - objects;
    assert!(more <= 2 + 3 + 1 + 1, "{more} objects were stored");
}

/// Keeps the first checkpoint, and cancels the rest.
struct First(Mutex<Option<FilesWritten>>, Context);

#[async_trait::async_trait]
impl Checkpoints for First {
    fn is_due(&self) -> bool {
        !self.1.is_cancelled()
    }

    fn is_worth_it(&self) -> bool {
        false
    }

    async fn save(&self, so_far: SoFar) -> remote::Result<()> {
        if let SoFar::Files(files) = so_far {
            *self.0.lock().unwrap() = Some(files);
        }
        self.1.cancel();
        Ok(())
    }
}

/// A checkpoint within a file keeps its beginning. Nothing takes that for the file: not `verify`, where a
/// snapshot has it, nor whoever lists or reads files, nor the next backup.
#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_of_a_file_is_never_taken_for_the_file() {
    let repository = repository().await;
    let head = repository.head().await.unwrap();
    let described = || vec![("big", Changing, Some(&b"same"[..]), testkit::noise(7, 12 << 20))];
    let files = ListedFiles::new(described());
    let session = Session::begin(&repository, &head, &source(), &[]).await.unwrap();
    let first = First(Mutex::new(None), Context::default());
    let cut = write_files(&session, &files, &[], &first, &first.1).await;
    assert!(matches!(cut, Err(remote::Error::Core(backup_core::Error::Cancelled))), "{cut:?}");
    let begun = first.0.into_inner().unwrap().unwrap();
    assert_eq!(begun.count, 1);
    assert!(0 < begun.bytes && begun.bytes < 12 << 20, "{}", begun.bytes);
    let shape = Shape::Files { tree: begun.tree.clone(), count: 1, bytes: begun.bytes };
    let mut manifest = manifest(shape);
    (manifest.proved_from, manifest.sum) = (None, None);

    // The pin of an unfinished backup is sound.
    session.checkpoint(&manifest).await.unwrap();
    let found = verify(&repository, Level::Full, &Context::default()).await.unwrap();
    assert_eq!(found.findings, []);
    let tree = begun.tree.clone().unwrap();
    let listed = list_files(repository.objects(), &tree).await;
    assert!(matches!(listed, Err(remote::Error::Damaged { .. })), "{listed:?}");
    let read: Result<Vec<_>, _> =
        file_contents(repository.objects(), &tree, None).try_collect().await;
    assert!(matches!(read, Err(remote::Error::Damaged { .. })));

    // The next backup takes the beginning unread, by the file's identity, and reads and sends the rest.
    let again = ListedFiles::new(described());
    let head = repository.head().await.unwrap();
    let pins: Vec<Root> = head.state.pins.keys().map(|pin| Root::Pin(*pin)).collect();
    let next = Session::begin(&repository, &head, &source(), &pins).await.unwrap();
    let trees = [tree];
    let written = write_files(&next, &again, &trees, &Unsaved, &Context::default()).await.unwrap();
    assert_eq!(again.bytes_read(), (12 << 20) - begun.bytes);
    assert!(next.uploaded_bytes() < (12 << 20) - begun.bytes + (1 << 20));
    check(&repository, &again, &written).await;

    // A snapshot that has only the beginning is damaged.
    session.commit(&manifest).await.unwrap();
    let found = verify(&repository, Level::List, &Context::default()).await.unwrap();
    assert_eq!(found.findings.len(), 1, "{:?}", found.findings);
}

/// What an earlier attempt left is taken only where it is what was stored.
#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_left_over_only_sound_pieces_are_taken() {
    let repository = repository().await;
    let files = ListedFiles::new(sample());
    let (_, written) = store(&repository, &files, None).await;
    let tree = written.tree.unwrap();
    let mut left = sample();
    // The second of the three pieces has another bit; of the log the last bytes are missing.
    left[2].3[9 << 20] ^= 1;
    left[3].3.truncate(3 << 20);
    let mut left = ListedFiles::new(left);
    // What is shorter than it says to be cannot be read.
    left.infos[4].bytes += 1;
    let left = Arc::new(left);
    let contents = file_contents(repository.objects(), &tree, Some(Arc::clone(&left) as _));
    let contents: Vec<FileContent> = contents.try_collect().await.unwrap();
    let mut found = vec![Vec::new(); files.infos.len()];
    let mut there = Vec::new();
    for content in contents {
        found[content.file].extend_from_slice(&content.bytes);
        there.push((
            files.infos[content.file].path.as_str(),
            content.offset >> 20,
            content.was_there,
        ));
    }
    assert!(found == files.contents, "what comes is what was stored, whatever was left");
    let of_table = |mib, was_there| ("000011.sst", mib, was_there);
    let of_log = |mib, was_there| ("deep/er/log", mib, was_there);
    for expected in [
        of_table(0, true),
        of_table(8, false),
        of_table(16, true),
        of_log(0, true),
        of_log(1, true),
        of_log(2, true),
        of_log(3, false),
        // Short files come with the tree.
        ("CURRENT", 0, false),
    ] {
        assert!(there.contains(&expected), "{expected:?} of {there:?}");
    }
    assert_eq!(left.bytes_read(), (20 << 20) + (3 << 20));
}

/// Records of a tree of files: path, key, value.
type Lie<'a> = Vec<(&'a [u8], &'a [u8], Vec<u8>)>;

/// What a hostile or damaged repository might say of files, each refused before a byte is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_lies_about_its_files_is_refused() {
    let repository = repository().await;
    let head = repository.head().await.unwrap();
    let session = Session::begin(&repository, &head, &source(), &[]).await.unwrap();
    let meta = |bytes| {
        let meta = FileMeta { bytes, mode: 0o644, nature: Changing, identity: None, owner: None };
        meta.encode().unwrap()
    };
    let content = b"content".to_vec();
    let first = 0_u64.to_be_bytes();
    let second = 8_u64.to_be_bytes();
    let lies: [(&str, Lie<'_>); 8] = [
        ("a path out of the folder", vec![(b"../passwd", b"", meta(0))]),
        ("an absolute path", vec![(b"/etc/passwd", b"", meta(0))]),
        ("a path with a NUL", vec![(b"a\0b", b"", meta(0))]),
        ("a path that is not UTF-8", vec![(b"\xff", b"", meta(0))]),
        ("content without a description", vec![(b"a", &first, content.clone())]),
        ("less than described", vec![(b"a", b"", meta(8)), (b"a", &first, content.clone())]),
        ("more than described", vec![(b"a", b"", meta(6)), (b"a", &first, content.clone())]),
        (
            "a gap",
            vec![(b"a", b"", meta(15)), (b"a", &first, content.clone()), (b"a", &second, content)],
        ),
    ];
    for (lie, records) in lies {
        let mut builder = LeafBuilder::new();
        for (root_key, key, value) in &records {
            let value = LeafValue::Inline(value);
            builder.push(&LeafRecord { root_key, key, value }).unwrap();
        }
        let leaf = builder.finish(None);
        let stored = session.put(Kind::Leaf, leaf.content.clone(), None).await.unwrap();
        let tree = Tree { levels: 0, root: Child::of_leaf(stored.reference, &leaf, None) };
        let listed = list_files(repository.objects(), &tree).await;
        assert!(matches!(listed, Err(remote::Error::Damaged { .. })), "{lie}: {listed:?}");
    }
}
