//! The address of a repository: read, shown, and read again, it is the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use remote::RepositoryLocation;

fuzz_target!(|text: &str| match RepositoryLocation::parse(text) {
    Ok(location) => {
        let shown = location.to_string();
        let again = RepositoryLocation::parse(&shown).expect("what it shows can be read");
        assert_eq!(again.to_string(), shown);
    }
    Err(error) => {
        let said = error.to_string();
        assert!(!said.contains('\n'), "an error is one line: {said:?}");
        // Between the scheme and the host there may be a password.
        if let Some(secret) = secret(text) {
            assert!(!said.contains(secret), "{said:?} repeats {secret:?}");
        }
    }
});

/// What may be a password: what stands between `://…:` and `@`, if it is long enough to be found.
fn secret(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let (user, _) = rest.split('/').next()?.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    (password.len() >= 8).then_some(password)
}
