//! Which snapshot is meant, from the words on the command line and from the environment.

use keepsum::{Selector, SnapshotSpec, Which};

use crate::args::Within;
use crate::failure::Failure;

const NAME: &str = "KEEPSUM_NAME";

/// The snapshot that `text` names, within what the options say.
pub(crate) fn snapshot(text: &str, within: &Within) -> Result<SnapshotSpec, Failure> {
    let spec: SnapshotSpec = text.parse()?;
    Ok(spec.within(within.selector()?))
}

/// The same for a restore, where the environment names the source if the options do not. An id is what it
/// is, wherever it is restored.
pub(crate) fn to_restore(text: &str, within: &Within) -> Result<SnapshotSpec, Failure> {
    let spec = snapshot(text, within)?;
    if matches!(spec.which(), Which::Prefix(_)) {
        return Ok(spec);
    }
    let mut selector = spec.selector().clone();
    selector.name = selector.name.or_else(name_of_environment);
    Ok(spec.within(selector))
}

/// The name of the source in the environment, which counts where the command line has none.
pub(crate) fn name_of_environment() -> Option<String> {
    named(std::env::var(NAME).ok())
}

fn named(value: Option<String>) -> Option<String> {
    value.filter(|name| !name.is_empty())
}

impl Within {
    /// What a snapshot must have.
    pub(crate) fn selector(&self) -> Result<Selector, Failure> {
        let Self { name, host, source, label } = self.clone();
        if [&name, &host, &source, &label].into_iter().flatten().any(String::is_empty) {
            return Err(Failure::Usage("--name, --host, --source and --label take a word each"));
        }
        Ok(Selector { name, host, source, label })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_no_name() {
        assert_eq!(named(None), None);
        assert_eq!(named(Some(String::new())), None);
        assert_eq!(named(Some("app".into())), Some("app".into()));
    }

    #[test]
    fn an_option_without_a_word_is_wrong() {
        let within = Within { host: Some(String::new()), ..Within::default() };
        assert!(matches!(snapshot("latest", &within), Err(Failure::Usage(_))));
        let spec = snapshot("latest", &Within { name: Some("app".into()), ..Within::default() });
        assert_eq!(spec.unwrap().to_string(), "latest of \"app\"");
    }
}
