//! Hostile trees of files.

use archive::manifest::{FileMeta, Shape};
use archive::node::Tree;
use archive::object::Kind;
use backup_core::source::FileNature;

use crate::Hostile;
use crate::forge::{Forge, ForgedLeaf};

/// The description of a file of `bytes` bytes.
fn described(bytes: u64) -> Vec<u8> {
    let nature = FileNature::Changing;
    FileMeta { bytes, mode: 0o644, nature, identity: None, owner: None }.encode().unwrap()
}

/// Adds a whole file.
fn file(leaf: &mut ForgedLeaf, path: &[u8], content: &[u8]) {
    leaf.push(path, b"", &described(content.len() as u64));
    if !content.is_empty() {
        leaf.push(path, &0_u64.to_be_bytes(), content);
    }
}

/// Adds a snapshot of the files in one leaf.
async fn add(all: &mut Vec<Hostile>, name: &'static str, leaf: ForgedLeaf, count: u64, bytes: u64) {
    let forge = Forge::new("files").await;
    let mut manifest = forge.manifest();
    let root = forge.leaf(&leaf);
    manifest.shape = Shape::Files { tree: Some(Tree { levels: 0, root }), count, bytes };
    let shows = manifest.encode().is_ok();
    forge.commit(&manifest).await;
    all.push(Hostile { name, forge, shows });
}

async fn path(all: &mut Vec<Hostile>, name: &'static str, path: &[u8]) {
    let mut leaf = ForgedLeaf::default();
    file(&mut leaf, path, b"evil");
    add(all, name, leaf, 1, 4).await;
}

pub(crate) async fn all() -> Vec<Hostile> {
    let mut all = Vec::new();
    path(&mut all, "a path out of the target", b"../escaped").await;
    path(&mut all, "a path out and in again", b"a/../../store/escaped").await;
    path(&mut all, "an absolute path", b"/tmp/keepsum-escaped").await;
    path(&mut all, "a device", b"/dev/null").await;
    path(&mut all, "the folder itself", b".").await;
    path(&mut all, "an empty part", b"a//b").await;
    path(&mut all, "a path with NUL", b"a\0b").await;
    path(&mut all, "a path with a backslash", b"..\\escaped").await;
    path(&mut all, "a drive", b"C:\\escaped").await;
    path(&mut all, "a path that is not UTF-8", b"a\xff").await;
    path(&mut all, "a name of 256 bytes", &[b'n'; 256]).await;
    path(&mut all, "a path of a megabyte", &b"folder/".repeat(140_000)).await;
    path(&mut all, "keepsum's own mark", b"KEEPSUM_RESTORED").await;
    path(&mut all, "an empty path", b"").await;

    let mut below = ForgedLeaf::default();
    for name in [b"a".as_slice(), b"a!", b"a/b"] {
        file(&mut below, name, b"evil");
    }
    add(&mut all, "a file below a file", below, 3, 12).await;
    let mut long = ForgedLeaf::default();
    long.push(b"a", b"", &described(1 << 60));
    long.push(b"a", &0_u64.to_be_bytes(), b"short");
    add(&mut all, "a file of 2^60 bytes", long, 1, 4).await;
    let mut short = ForgedLeaf::default();
    short.push(b"a", b"", &described(2));
    short.push(b"a", &0_u64.to_be_bytes(), b"longer");
    add(&mut all, "content that is longer than its file", short, 1, 2).await;
    let mut gap = ForgedLeaf::default();
    gap.push(b"a", b"", &described(8));
    gap.push(b"a", &4_u64.to_be_bytes(), b"late");
    add(&mut all, "content with a gap", gap, 1, 8).await;
    let mut orphan = ForgedLeaf::default();
    orphan.push(b"a", &0_u64.to_be_bytes(), b"content");
    add(&mut all, "content without a file", orphan, 1, 7).await;
    let mut garbage = ForgedLeaf::default();
    garbage.push(b"a", b"", &[0xff; 40]);
    add(&mut all, "a description that is none", garbage, 1, 0).await;
    let mut one = ForgedLeaf::default();
    file(&mut one, b"a", b"fine");
    file(&mut one, b"b", b"fine");
    add(&mut all, "fewer files than there are", one, 1, 4).await;

    let forge = Forge::new("files").await;
    let mut manifest = forge.manifest();
    let piece = forge.object(Kind::Piece, &vec![0; 32 << 20]);
    let mut leaf = ForgedLeaf::default();
    leaf.push(b"a", b"", &described(8 * (32 << 20)));
    leaf.push_pieces(b"a", &0_u64.to_be_bytes(), 9 * (32 << 20), &[piece; 9]);
    let root = forge.leaf(&leaf);
    let tree = Some(Tree { levels: 0, root });
    manifest.shape = Shape::Files { tree, count: 1, bytes: 8 * (32 << 20) };
    forge.commit(&manifest).await;
    all.push(Hostile { name: "a file of one piece again and again", forge, shows: true });
    all
}
