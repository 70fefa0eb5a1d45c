//! A program that has a RocksDB open backs it up, restores it elsewhere, and proves it.
//!
//! ```sh
//! cargo run --example in_process -- /tmp/repository          # or s3://bucket/prefix
//! ```

use std::sync::Arc;

use keepsum::rocksdb::{RocksSource, RocksTarget, rocksdb::DB};
use keepsum::{
    BackupOptions, Context, Engines, Host, Repository, RestoreOptions, backup, prove, restore,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let db = Arc::new(DB::open_default(folder.path().join("accounts"))?);
    db.put(b"alice", b"10")?;

    let place = std::env::args().nth(1).ok_or("name a folder or a bucket for the repository")?;
    let (host, context) = (Host::system("app-1"), Context::default());
    let repository = Repository::init(&place.parse()?, &host, &context).await?;
    let done = backup(&repository, &RocksSource::open_db(db)?, &BackupOptions::default()).await?;
    let snapshot = done.snapshot.parse()?;
    let copy = RocksTarget::path(folder.path().join("copy"))?;
    let restored = restore(&repository, &snapshot, &copy, &RestoreOptions::default()).await?;
    println!("restored {} bytes, proved {:?}", restored.bytes, restored.proved);
    let shown = prove(&repository, &snapshot, &Engines::default()).await?;
    println!("the records have the LtHash {:?}", shown.global_lthash);
    Ok(())
}
