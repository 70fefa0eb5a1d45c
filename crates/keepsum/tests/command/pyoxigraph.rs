//! A RocksDB directory that another program wrote, with its own RocksDB: twelve column families of
//! `pyoxigraph`. Restored in both shapes, that program opens it and finds every quad.
//!
//! Needs a Python with pyoxigraph, named by `KEEPSUM_PYTHON` (`cargo xtask services` installs one).

use std::process::Command;

use crate::place::{Place, skip};

const WRITE: &str = r#"
import sys
from pyoxigraph import Literal, NamedNode, Quad, Store
def name(kind, number):
    return NamedNode(f"http://example.org/{kind}/{number}")
def quad(number):
    text = Literal(f"value {number} " + "x" * (number % 300))
    return Quad(name("s", number % 997), name("p", number % 7), text, name("g", number % 3))
store = Store(sys.argv[1])
store.bulk_extend(quad(number) for number in range(4000))
store.flush()
for number in range(4000, 4500):  # these stay in the log
    store.add(quad(number))
"#;

const READ: &str = r#"
import hashlib, sys
from pyoxigraph import Store
quads = sorted(str(quad) for quad in Store(sys.argv[1]))
print(len(quads), hashlib.sha256("\n".join(quads).encode()).hexdigest())
"#;

#[test]
fn a_store_of_pyoxigraph_comes_back_in_both_shapes() {
    let Some(python) = std::env::var_os("KEEPSUM_PYTHON") else {
        return skip("KEEPSUM_PYTHON is not set");
    };
    let place = Place::new();
    let run = |script: &str, store: &str| {
        let mut command = Command::new(&python);
        let output = command.args(["-c", script]).arg(place.path(store)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(WRITE, "graph");
    let source = format!("rocksdb:{}", place.text("graph"));
    let records = place.json(["backup", &source, "--records"]);
    let files = place.json(["backup", &source, "--files", "--proof", "logical"]);
    assert_eq!(files["databases"], records["databases"]);
    assert!(records["databases"].as_array().unwrap().len() >= 11, "{records}");
    for (shape, made) in [("records", &records), ("files", &files)] {
        let id = made["snapshot"].as_str().unwrap();
        let target = format!("rocksdb:{}", place.text(shape));
        let done = place.json(["restore", id, &target]);
        assert_eq!(done["shape"], shape);
        let hash = place.json(["hash", &target]);
        assert_eq!(hash["databases"], records["databases"], "{shape}");
        assert_eq!(place.json(["diff", id, &source])["equal"], true, "{shape}");
    }
    // The program opens its store last: from then on it is its own again.
    let written = run(READ, "graph");
    assert!(written.starts_with("4500 "), "{written}");
    for shape in ["records", "files"] {
        assert_eq!(run(READ, shape), written, "{shape}");
    }
}
