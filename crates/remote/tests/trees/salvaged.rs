//! What is left of a tree of files of which objects are gone: every byte that can be reached comes, and every
//! other is listed as lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use archive::leaf::{LeafBuilder, LeafRecord, LeafValue};
use archive::manifest::FileMeta;
use archive::node::{Child, NodeBuilder, Tree};
use archive::object::Kind;
use backup_core::progress::Context;
use backup_core::source::FileNature::Changing;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use remote::tree::{FileSurvey, Loss, SurveyedFile, left_contents, survey_files};
use remote::{Host, Repository, Session, Store};
use testkit::seed;

use crate::listed::source;

const MODE: u32 = 0o640;

/// Choices from a seed.
struct Dice(std::vec::IntoIter<u8>);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(testkit::noise(seed, 1 << 16).into_iter())
    }

    /// A number below `sides`, which are at most 256.
    fn throw(&mut self, sides: usize) -> usize {
        usize::from(self.0.next().unwrap()) % sides
    }
}

/// A file of the tree, and what each part of it needs to be read.
#[derive(Default)]
struct Original {
    content: Vec<u8>,
    /// The objects that the description needs.
    described: BTreeSet<String>,
    /// Where each part begins, and the objects that it needs.
    parts: Vec<(usize, BTreeSet<String>)>,
}

impl Original {
    /// Which bytes can be reached without these objects.
    fn left(&self, gone: &BTreeSet<String>) -> Vec<bool> {
        let mut left = vec![false; self.content.len()];
        let ends = self.parts.iter().skip(1).map(|(start, _)| *start).chain([self.content.len()]);
        for ((start, needs), end) in self.parts.iter().zip(ends) {
            left[*start..end].fill(needs.is_disjoint(gone));
        }
        left
    }
}

/// A part of the tree on its way into it: what is below, and whose parts need it.
struct Below {
    child: Child,
    /// Files by path, each with the numbers of its parts; none for a description.
    parts: Vec<(String, Option<usize>)>,
}

/// A tree in a repository of its own, cut into leaves and nodes by dice.
struct Ground {
    inner: Arc<InMemory>,
    repository: Repository,
    files: BTreeMap<String, Original>,
    tree: Tree,
}

impl Ground {
    async fn new(dice: &mut Dice) -> Self {
        let inner = Arc::new(InMemory::new());
        let (host, context) = (Host::system("test"), Context::default());
        let store =
            Store::new(Arc::clone(&inner) as Arc<dyn ObjectStore>, "memory:", &host, &context);
        let repository = Repository::init_in(store).await.unwrap();
        let head = repository.head().await.unwrap();
        let session = Session::begin(&repository, &head, &source(), &[]).await.unwrap();
        let mut files = BTreeMap::new();
        let mut level = leaves(&session, dice, &mut files).await;
        let levels = 2;
        for number in 1..=levels {
            level = nodes(&session, dice, &mut files, level, number, number == levels).await;
        }
        let tree = Tree { levels, root: level.remove(0).child };
        drop(session);
        Self { inner, repository, files, tree }
    }

    /// The objects of the tree.
    fn objects(&self) -> Vec<String> {
        let parts = self.files.values().flat_map(|file| {
            file.parts.iter().map(|(_, needs)| needs).chain([&file.described]).flatten()
        });
        parts.cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Surveys and reads what is left without some objects, and puts them back.
    async fn without(&self, gone: &BTreeSet<String>) -> (FileSurvey, Vec<Vec<(u64, Vec<u8>)>>) {
        let mut kept = Vec::new();
        for path in gone {
            let path = object_store::path::Path::from(path.as_str());
            kept.push((path.clone(), self.inner.get(&path).await.unwrap().bytes().await.unwrap()));
            self.inner.delete(&path).await.unwrap();
        }
        let objects = self.repository.objects();
        let survey = survey_files(objects, &self.tree, &Context::default()).await.unwrap();
        let mut found = vec![Vec::new(); survey.files.len()];
        // The survey is compared afterwards, so what reads gets one of its own.
        let again = survey_files(objects, &self.tree, &Context::default()).await.unwrap();
        let mut contents = left_contents(objects, &self.tree, again.files);
        while let Some((file, offset, bytes)) = contents.try_next().await.unwrap() {
            found[file].push((offset, bytes.to_vec()));
        }
        for (path, bytes) in kept {
            self.inner.put(&path, bytes.into()).await.unwrap();
        }
        (survey, found)
    }
}

/// Stores some files in leaves.
async fn leaves(
    session: &Session,
    dice: &mut Dice,
    files: &mut BTreeMap<String, Original>,
) -> Vec<Below> {
    let mut builder = LeafBuilder::new();
    let (mut done, mut parts) = (Vec::new(), Vec::new());
    let names = ["a", "b/c", "b/d", "e", "f", "g", "h"];
    for (at, name) in names.iter().enumerate() {
        let step = [700, 20_000][dice.throw(2)];
        let length = step * dice.throw(7) + dice.throw(2) * 13;
        let content = testkit::noise(at as u64 + 1, length);
        let mut original = Original { content, ..Original::default() };
        let bytes = length as u64;
        let meta = FileMeta { bytes, mode: MODE, nature: Changing, identity: None, owner: None };
        let described = meta.encode().unwrap();
        let mut records = vec![(Vec::new(), LeafValue::Inline(&described), None)];
        for (number, chunk) in original.content.chunks(step).enumerate() {
            let key = ((number * step) as u64).to_be_bytes().to_vec();
            let mut needs = BTreeSet::new();
            let value = if step == 700 {
                LeafValue::Inline(chunk)
            } else {
                let stored = session.put(Kind::Piece, chunk.to_vec().into(), None).await.unwrap();
                needs.insert(stored.reference.name.path());
                LeafValue::Pieces { total: chunk.len() as u64, pieces: vec![stored.reference] }
            };
            original.parts.push((number * step, needs));
            records.push((key, value, Some(number)));
        }
        for (key, value, number) in records {
            let record = LeafRecord { root_key: name.as_bytes(), key: &key, value };
            builder.push(&record).unwrap();
            parts.push(((*name).to_owned(), number));
            if dice.throw(3) == 0 || (at + 1 == names.len() && number.is_none()) {
                done.push(leaf(session, &mut builder, &mut parts).await);
            }
        }
        files.insert((*name).to_owned(), original);
    }
    if !builder.is_empty() {
        done.push(leaf(session, &mut builder, &mut parts).await);
    }
    for below in &done {
        need(files, below, &below.child.object.name.path());
    }
    done
}

async fn leaf(
    session: &Session,
    builder: &mut LeafBuilder,
    parts: &mut Vec<(String, Option<usize>)>,
) -> Below {
    let leaf = builder.finish(None);
    let stored = session.put(Kind::Leaf, leaf.content.clone(), None).await.unwrap();
    Below { child: Child::of_leaf(stored.reference, &leaf, None), parts: std::mem::take(parts) }
}

/// Stores the nodes over a level.
async fn nodes(
    session: &Session,
    dice: &mut Dice,
    files: &mut BTreeMap<String, Original>,
    level: Vec<Below>,
    number: u8,
    is_root: bool,
) -> Vec<Below> {
    let mut groups: Vec<Vec<Below>> = vec![Vec::new()];
    for below in level {
        let enough = groups.last().unwrap().len() > 1;
        if enough && !is_root && dice.throw(3) == 0 {
            groups.push(Vec::new());
        }
        groups.last_mut().unwrap().push(below);
    }
    let stored = stream::iter(groups).then(async |group| {
        let mut builder = NodeBuilder::new(number, false);
        let mut parts = Vec::new();
        for below in group {
            assert!(builder.push(below.child, None).unwrap().is_none(), "a node by chance");
            parts.extend(below.parts);
        }
        let node = builder.take().unwrap();
        let stored = session.put(Kind::Node, node.encode().into(), None).await.unwrap();
        Below { child: Child::of_node(stored.reference, &node), parts }
    });
    let done: Vec<Below> = stored.collect().await;
    for below in &done {
        need(files, below, &below.child.object.name.path());
    }
    done
}

/// Everything below needs this object.
fn need(files: &mut BTreeMap<String, Original>, below: &Below, object: &str) {
    for (path, part) in &below.parts {
        let file = files.get_mut(path).unwrap();
        let needs = match part {
            None => &mut file.described,
            Some(number) => &mut file.parts[*number].1,
        };
        needs.insert(object.to_owned());
    }
}

/// Compares what was found without some objects with what can be reached.
fn check(
    ground: &Ground,
    gone: &BTreeSet<String>,
    what: &str,
    survey: &FileSurvey,
    found: &[Vec<(u64, Vec<u8>)>],
) {
    let paths: Vec<_> = survey.files.iter().map(|file| file.info.path.as_str()).collect();
    assert!(paths.is_sorted(), "{what}: {paths:?}");
    let covers = |loss: &Loss, path: &str| {
        (&loss.first.root_key[..]..=&loss.last.root_key[..]).contains(&path.as_bytes())
    };
    for (path, original) in &ground.files {
        let what = format!("{what}: {path}");
        let left = original.left(gone);
        let described = original.described.is_disjoint(gone);
        let listed = survey.gone.iter().any(|(named, _)| named == path)
            || survey.unnamed.iter().any(|loss| covers(loss, path));
        let number = paths.iter().position(|known| known == path);
        let Some(number) = number else {
            assert!(!left.contains(&true), "{what}: it is left and does not come");
            assert!(!(described && left.is_empty()), "{what}: an empty file does not come");
            assert!(listed, "{what}: it is lost without a word");
            continue;
        };
        check_file(original, &survey.files[number], described, &left, &what);
        let mut came = vec![false; left.len()];
        for (offset, bytes) in &found[number] {
            let range = usize::try_from(*offset).unwrap()..;
            let range = range.start..range.start + bytes.len();
            assert!(original.content[range.clone()] == bytes[..], "{what}: other bytes");
            came[range].fill(true);
        }
        assert!(came == left, "{what}: what comes is not what is left");
    }
    assert!(paths.iter().all(|path| ground.files.contains_key(*path)), "{what}: {paths:?}");
}

fn check_file(
    original: &Original,
    file: &SurveyedFile,
    described: bool,
    left: &[bool],
    what: &str,
) {
    let length = original.content.len() as u64;
    let endless = file.lost.last().is_some_and(|loss| loss.range.end == u64::MAX);
    let mut told = vec![false; left.len()];
    for loss in &file.lost {
        let clip = |at: u64| usize::try_from(at.min(length)).unwrap();
        told[clip(loss.range.start)..clip(loss.range.end)].fill(true);
        assert!(loss.why.contains("objects/"), "{what}: {}", loss.why);
    }
    let touching = |pair: &[remote::tree::FileLoss]| pair[0].range.end >= pair[1].range.start;
    assert!(!file.lost.windows(2).any(touching), "{what}: {:?}", file.lost);
    let right = told.iter().zip(left).all(|(told, left)| told != left);
    assert!(right, "{what}: what is listed as lost is not what is lost: {:?}", file.lost);
    let ours = left.iter().filter(|left| **left).count() as u64;
    assert_eq!(file.left(), ours, "{what}");
    if described {
        assert_eq!((file.info.bytes, file.info.mode, endless), (length, MODE, false), "{what}");
    } else {
        assert_eq!(file.info.mode, 0o600, "{what}");
        assert!(!file.lost.is_empty(), "{what}: its description is lost without a word");
        assert!(endless || file.info.bytes == length, "{what}: {} of {length}", file.info.bytes);
        assert!(file.info.bytes <= length, "{what}");
    }
}

/// Each object alone, and some together.
#[tokio::test(flavor = "multi_thread")]
async fn every_byte_that_can_be_reached_is_left() {
    let seed = seed::seed();
    println!("run again with {}={seed}", seed::SEED);
    let (mut tried, mut undescribed, mut endless) = (0, 0, 0);
    for round in 0..12 {
        let mut dice = Dice::new(seed.wrapping_add(round));
        let ground = Ground::new(&mut dice).await;
        let objects = ground.objects();
        let alone = objects.iter().map(|object| BTreeSet::from([object.clone()]));
        let together = (0..40).map(|_| {
            let some = 2 + dice.throw(4);
            (0..some).map(|_| objects[dice.throw(objects.len().min(256))].clone()).collect()
        });
        let together: Vec<BTreeSet<String>> = together.collect();
        for gone in [BTreeSet::new()].into_iter().chain(alone).chain(together) {
            let what = format!("{}={seed}, round {round}, without {gone:?}", seed::SEED);
            let (survey, found) = ground.without(&gone).await;
            check(&ground, &gone, &what, &survey, &found);
            let without = |file: &&SurveyedFile| file.info.mode != MODE;
            undescribed += survey.files.iter().filter(without).count();
            let losses = survey.files.iter().flat_map(|file| &file.lost);
            endless += losses.filter(|loss| loss.range.end == u64::MAX).count();
            tried += 1;
        }
    }
    println!("{tried} sets of objects removed; {undescribed} files came without a description");
    assert!(tried > 500 && undescribed > 20 && endless > 0, "{tried} {undescribed} {endless}");
}
