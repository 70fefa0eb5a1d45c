//! A program restores its SQLite database where that is missing, and then opens it.
//!
//! ```sh
//! cargo run --example at_start -- /tmp/repository /var/lib/app/app.db
//! ```

use std::sync::Arc;

use keepsum::sqlite::SqliteTarget;
use keepsum::{Host, RestoreManager};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [place, database] = arguments.as_slice() else {
        return Err("name the repository and the database".into());
    };
    let target = Arc::new(SqliteTarget::path(database)?);
    let manager = RestoreManager::new(place.parse()?, target, Host::system("app-1"));
    // An error is never taken for "there is no backup": the program does not start with an empty database then.
    let is_there = manager.restore().await?;
    println!("{}", if is_there { "the database is there" } else { "there is no backup yet" });
    Ok(())
}
