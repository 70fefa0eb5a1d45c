//! Other people's programs, which tests find by the variables that `cargo xtask services` prints.

use std::path::PathBuf;

/// The program that `variable` names; nothing where it names none, which is said.
///
/// # Panics
/// Where it names none, and `KEEPSUM_TEST_ALL` says that everything must be there.
pub fn named(variable: &str) -> Option<PathBuf> {
    let program = std::env::var_os(variable).map(PathBuf::from);
    if program.is_none() {
        let all = std::env::var_os("KEEPSUM_TEST_ALL").is_some();
        assert!(!all, "{variable} is not set, and KEEPSUM_TEST_ALL is");
        eprintln!("skipped: {variable} is not set; `cargo xtask services list` says more");
    }
    program
}
