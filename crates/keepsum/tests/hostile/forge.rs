//! A writer of any content under a repository's key: what it stores is hashed and committed as it must
//! be, and may say anything.

use std::fs;
use std::path::Path;

use archive::catalog::{Change, SnapshotEntry};
use archive::manifest::{Manifest, SnapshotId};
use archive::node::{Child, Node, Tree};
use archive::object::{Hashed, Kind, ObjectHash, ObjectKey, ObjectName, ObjectRef};
use archive::wire::Writer;
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::progress::Context;
use backup_core::record::{Record, RecordKey};
use backup_core::target::Existing;
use keepsum::backup::{BackupOptions, backup};
use keepsum::location::SourceOptions;
use keepsum::{Host, Repository, RepositoryLocation, StoreLocation};
use lthash::LtHash;
use remote::Decision;
use remote::tree::describe_databases;
use testkit::contents::Contents;
use testkit::transfer::transfer;

/// A repository with a sound snapshot, to which hostile ones are added.
pub(crate) struct Forge {
    folder: tempfile::TempDir,
    repository: Repository,
    /// The manifest of the sound snapshot.
    pub(crate) sound: Manifest,
}

/// A leaf under construction, of any records in any order.
#[derive(Default)]
pub(crate) struct ForgedLeaf {
    pub(crate) sum: Option<LtHash>,
    pub(crate) body: Vec<u8>,
    pub(crate) count: u32,
    pub(crate) bytes: u64,
    pub(crate) pieces: u64,
    pub(crate) first: Option<RecordKey>,
    pub(crate) last: RecordKey,
}

impl ForgedLeaf {
    /// A leaf of these records, with their sum under `tag`.
    pub(crate) fn of(tag: &[u8], records: &[(&[u8], &[u8])]) -> Self {
        let mut leaf = Self { sum: Some(LtHash::identity()), ..Self::default() };
        for (key, value) in records {
            leaf.push(b"", key, value);
            let mut summer = Summer::new(tag);
            summer.add_record(&Record::whole(b"", key, value)).unwrap();
            *leaf.sum.as_mut().unwrap() += &summer.finish().unwrap().lthash;
        }
        leaf
    }

    fn place(&mut self, root_key: &[u8], key: &[u8]) {
        self.body.put_bytes(root_key);
        self.body.put_bytes(key);
        self.last = RecordKey::new(root_key, key);
        self.first.get_or_insert_with(|| RecordKey::new(root_key, key));
        self.count += 1;
        self.bytes += (root_key.len() + key.len()) as u64;
    }

    pub(crate) fn push(&mut self, root_key: &[u8], key: &[u8], value: &[u8]) {
        self.place(root_key, key);
        self.body.put_u8(0);
        self.body.put_bytes(value);
        self.bytes += value.len() as u64;
    }

    pub(crate) fn push_pieces(
        &mut self,
        root_key: &[u8],
        key: &[u8],
        total: u64,
        of: &[ObjectRef],
    ) {
        self.place(root_key, key);
        self.body.put_u8(1);
        self.body.put_u64(total);
        self.body.put_count(of.len());
        for piece in of {
            self.body.extend_from_slice(&piece.name.hash.0);
            self.body.extend_from_slice(&piece.name.nonce);
            self.body.put_u32(piece.plain);
            self.body.put_u32(piece.stored);
        }
        self.bytes = self.bytes.saturating_add(total);
        self.pieces += of.len() as u64;
    }

    /// The content of the object.
    pub(crate) fn content(&self) -> Vec<u8> {
        let mut content = vec![1];
        match &self.sum {
            None => content.put_u8(0),
            Some(sum) => {
                content.put_u8(1);
                content.extend_from_slice(&sum.to_bytes());
            }
        }
        content.put_u64(self.bytes);
        content.put_uleb128(self.count);
        content.extend_from_slice(&self.body);
        content
    }

    /// What refers to it.
    pub(crate) fn child(&self, object: ObjectRef) -> Child {
        Child {
            object,
            first: self.first.clone().unwrap_or_default(),
            last: self.last.clone(),
            records: u64::from(self.count),
            bytes: self.bytes,
            pieces: self.pieces,
            checksum: self.sum.as_ref().map(LtHash::checksum),
        }
    }
}

/// What a directory says of the database `data`, before its content.
pub(crate) const DATA: &[u8] = b"\x04data\x00\x00";

/// The value of a directory's record of a database that has a tree.
pub(crate) fn tree_value(levels: u8, root: Child) -> Vec<u8> {
    let mut value = [DATA, &[3, levels]].concat();
    // As the only child of a node without a sum, behind version, level, form and count.
    let node = Node { level: 1, sum: None, children: vec![root] };
    value.extend_from_slice(&node.encode()[4..]);
    value
}

/// The value of a directory's record of a small database, with a checksum that it claims.
pub(crate) fn inline_value(checksum: &[u8; 32], leaf: &[u8]) -> Vec<u8> {
    let mut value = [DATA, &[2], checksum].concat();
    value.put_bytes(leaf);
    value
}

impl Forge {
    /// A repository of a small store of this engine.
    pub(crate) async fn new(engine: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("into")).unwrap();
        fs::write(at("engine"), engine).unwrap();
        let store: StoreLocation = format!("{engine}:{}", at("store").display()).parse().unwrap();
        if engine == "files" {
            fs::create_dir(at("store")).unwrap();
            fs::write(at("store/a"), b"a file").unwrap();
        } else {
            let mut contents = Contents::new();
            contents.put("data", b"", b"key", b"value".to_vec());
            transfer(&contents, store.target().unwrap().as_ref(), Existing::Refuse).await.unwrap();
        }
        let (host, context) = (Host::system("test"), Context::default());
        let location = RepositoryLocation::parse(at("repo").to_str().unwrap()).unwrap();
        let repository = Repository::init(&location, &host, &context).await.unwrap();
        let source = store.source(&SourceOptions::default()).unwrap();
        let options = BackupOptions::default();
        let taken = backup(&repository, source.as_ref(), &options).await.unwrap();
        fs::write(at("sound"), &taken.snapshot).unwrap();
        let head = repository.head().await.unwrap();
        let entry = head.state.snapshots.values().next().unwrap();
        let sound = repository.manifest_of(entry).await.unwrap();
        Self { folder, repository, sound }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stores content as an object, whatever a reader takes: keepsum's own writer refuses too much.
    pub(crate) fn object(&self, kind: Kind, content: &[u8]) -> ObjectRef {
        let key = ObjectKey::derive(&self.repository.id().0);
        let hashed = Hashed::new(kind, content, &key).unwrap();
        let name = ObjectName { hash: hashed.hash, nonce: [0; 8] };
        self.write(name, hashed.plain(), &hashed.seal(1).unwrap())
    }

    fn write(&self, name: ObjectName, plain: u32, stored: &[u8]) -> ObjectRef {
        let path = self.folder.path().join("repo").join(name.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, stored).unwrap();
        ObjectRef { name, plain, stored: u32::try_from(stored.len()).unwrap() }
    }

    pub(crate) fn leaf(&self, leaf: &ForgedLeaf) -> Child {
        leaf.child(self.object(Kind::Leaf, &leaf.content()))
    }

    /// Stores a node; what refers to it says what its children say.
    pub(crate) fn node(&self, level: u8, sum: Option<LtHash>, children: Vec<Child>) -> Child {
        let node = Node { level, sum, children };
        Child::of_node(self.object(Kind::Node, &node.encode()), &node)
    }

    /// An object whose one frame is `frame` in zstd and claims to unpack to `plain` bytes.
    pub(crate) fn bomb(&self, kind: Kind, plain: u32, frame: &[u8]) -> ObjectRef {
        let mut bytes = b"KSOB\x01".to_vec();
        bytes.extend_from_slice(&[kind as u8, 0, 0]);
        bytes.extend_from_slice(frame);
        bytes.put_u32(plain);
        bytes.put_u32(u32::try_from(frame.len()).unwrap());
        bytes.put_u8(1);
        bytes.extend_from_slice(&[7; 32]);
        bytes.put_u32(1);
        bytes.extend_from_slice(b"KSOE");
        let checksum = xxhash_rust::xxh3::xxh3_128(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let key = blake3::derive_key("keepsum object v1", &self.repository.id().0);
        let named = [&[kind as u8], plain.to_le_bytes().as_slice(), &[7; 32]].concat();
        let hash = ObjectHash(*blake3::keyed_hash(&key, &named).as_bytes());
        let name = ObjectName { hash, nonce: [0; 8] };
        self.write(name, plain, &bytes)
    }

    /// A manifest like the sound one, of another snapshot.
    pub(crate) fn manifest(&self) -> Manifest {
        let mut manifest = self.sound.clone();
        manifest.id = SnapshotId([0xee; 16]);
        manifest.created_ms += 1_000_000;
        manifest
    }

    /// A manifest of one database that has `tree`, with the sum that its root claims.
    pub(crate) fn of_tree(&self, levels: u8, root: Child, lthash: LtHash) -> Manifest {
        let sum = DatabaseSum { lthash, records: root.records, bytes: root.bytes };
        self.of_databases(&[(b"data", tree_value(levels, root))], sum)
    }

    /// A manifest of the databases that these values describe, with a sum that it claims.
    pub(crate) fn of_databases(
        &self,
        databases: &[(&[u8], Vec<u8>)],
        sum: DatabaseSum,
    ) -> Manifest {
        let mut leaf = ForgedLeaf { sum: Some(sum.lthash.clone()), ..ForgedLeaf::default() };
        for (name, value) in databases {
            leaf.push(b"", name, value);
        }
        let databases = Some(Tree { levels: 0, root: self.leaf(&leaf) });
        Manifest { databases, sum: Some(sum), ..self.manifest() }
    }

    /// Whether what a manifest says of its databases can be read.
    pub(crate) async fn shows(&self, manifest: &Manifest) -> bool {
        let (objects, sum) = (self.repository.objects(), manifest.sum.as_ref());
        manifest.encode().is_ok()
            && describe_databases(objects, manifest.directory(), sum).await.is_ok()
    }

    /// Makes a snapshot live, whatever its manifest says.
    pub(crate) async fn commit(&self, manifest: &Manifest) {
        // As `Manifest::encode` without its checks.
        let mut content = vec![1, 0];
        content.extend(bcs::to_bytes(manifest).unwrap());
        let object = self.object(Kind::Manifest, &content);
        self.commit_object(manifest, object).await;
    }

    /// Makes a snapshot live of which `object` is the manifest.
    pub(crate) async fn commit_object(&self, manifest: &Manifest, object: ObjectRef) {
        let entry = SnapshotEntry {
            id: manifest.id,
            manifest: object,
            created_ms: manifest.created_ms,
            source: manifest.source_id(),
            label: manifest.label.clone(),
            shape: manifest.shape.kind(),
            bytes: manifest.bytes(),
            added: 0,
            entry: 0,
        };
        self.commit_entry(entry).await;
    }

    pub(crate) async fn commit_entry(&self, entry: SnapshotEntry) {
        fs::write(self.folder().join("hostile"), entry.id.to_string()).unwrap();
        let head = self.repository.head().await.unwrap();
        let decide =
            move |_: &_, _: &[_]| Ok(Decision::Commit(vec![Change::Snapshot(entry.clone())]));
        self.repository.catalog().commit(&head, decide).await.unwrap();
    }

    /// Nothing was written beside or above the targets.
    pub(crate) fn assert_nothing_outside(&self, name: &str) {
        let names = |folder: &Path| {
            let found = fs::read_dir(folder).unwrap();
            let mut names: Vec<_> =
                found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let expected = ["engine", "hostile", "into", "repo", "sound", "store"];
        assert_eq!(names(self.folder()), expected, "{name}");
        let into = names(&self.folder().join("into"));
        assert!(into.is_empty(), "{name}: left {into:?}");
    }
}
