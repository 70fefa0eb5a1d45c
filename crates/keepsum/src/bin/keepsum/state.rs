//! Where this host remembers the newest catalog entry it saw of each repository.

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use remote::Memory;

/// The memory in `$KEEPSUM_STATE`, else `$XDG_STATE_HOME/keepsum`, else `~/.local/state/keepsum`; none
/// where no variable says.
pub(crate) fn memory() -> Option<Memory> {
    chosen(|name| std::env::var_os(name)).map(Memory::new)
}

/// The memory, which may be missing: that is said once, by `note`, and the command goes on.
pub(crate) fn optional(memory: Memory, note: impl Fn(String) + Send + Sync + 'static) -> Memory {
    let said = AtomicBool::new(false);
    memory.or_without(move |error| {
        if !said.swap(true, Ordering::Relaxed) {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            note(format!(
                "what this host saw of the repository cannot be kept, so a repository that was put back to an \
                 older state may go unnoticed; set KEEPSUM_STATE to a folder that can be written \
                 ({error}{cause})"
            ));
        }
    })
}

fn chosen(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The standard says that a relative path is to be ignored.
    let shared = || path("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let own = || path("HOME").map(|home| home.join(".local/state"));
    path("KEEPSUM_STATE").or_else(|| shared().or_else(own).map(|base| base.join("keepsum")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Option<PathBuf> {
        chosen(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_most_specific_variable_wins() {
        let all = [("KEEPSUM_STATE", "/k"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(with(&all), Some("/k".into()));
        assert_eq!(with(&all[1..]), Some("/x/keepsum".into()));
        assert_eq!(with(&all[2..]), Some("/h/.local/state/keepsum".into()));
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn empty_and_relative_ones_are_passed_over() {
        let odd = [("KEEPSUM_STATE", ""), ("XDG_STATE_HOME", "x"), ("HOME", "/h")];
        assert_eq!(with(&odd), Some("/h/.local/state/keepsum".into()));
    }
}
