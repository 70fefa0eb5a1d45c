//! Why a command failed, and how that is said.

use std::error::Error;
use std::io;

use keepsum::ExitCode;
use serde::Serialize;

use crate::flags;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The arguments do not go together; the sentence says what would.
    #[error("{0}")]
    Usage(&'static str),
    /// The engine failed or refused.
    #[error("{0}{add}", add = flags::to_add(.0))]
    Engine(#[from] keepsum::Error),
    /// The result could not be printed.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// No runtime.
    #[error("cannot start the threads and signal handlers of the program")]
    Runtime(#[source] io::Error),
}

impl Failure {
    /// The exit code that tells a script what happened.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::Usage,
            Self::Engine(error) => error.exit_code(),
            Self::Output(_) | Self::Runtime(_) => ExitCode::Failed,
        }
    }

    /// What went wrong, outermost first.
    pub(crate) fn account(&self) -> Account {
        Account::of(self, self.exit_code())
    }
}

/// An error as it is told: the JSON document has the same parts as the line.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Account {
    message: String,
    causes: Vec<String>,
    exit_code: u8,
}

impl Account {
    /// A message without causes.
    pub(crate) fn new(message: &str, exit_code: ExitCode) -> Self {
        Self { message: one_line(message), causes: Vec::new(), exit_code: exit_code as u8 }
    }

    /// An error with its causes. What an outer one says already is not said again.
    fn of(error: &dyn Error, exit_code: ExitCode) -> Self {
        let mut account = Self::new(&error.to_string(), exit_code);
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = one_line(&error.to_string());
            let told = account.message.contains(&text)
                || account.causes.iter().any(|cause| cause.contains(&text));
            if !text.is_empty() && !told {
                account.causes.push(text);
            }
            cause = error.source();
        }
        account
    }

    /// `message: cause: cause`.
    pub(crate) fn line(&self) -> String {
        let mut line = self.message.clone();
        for cause in &self.causes {
            line.push_str(": ");
            line.push_str(cause);
        }
        line
    }
}

/// A text on one line, with the flags that it does not name, and nothing in it that would steer a terminal.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    crate::page::text::printable(&flags::named(&words.join(" "))).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (&text, rest) = texts.split_first().expect("a text");
        Layer { text, source: (!rest.is_empty()).then(|| Box::new(layers(rest))) }
    }

    #[test]
    fn causes_follow_on_one_line_and_none_is_said_twice() {
        let error = layers(&["cannot open /db", "cannot open /db", "no\n  space", "space"]);
        let account = Account::of(&error, ExitCode::Failed);
        assert_eq!(account.line(), "cannot open /db: no space");
        assert_eq!(account.causes, ["no space"]);
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let account = Account::new("no \u{1b}[31msnapshot\n here", ExitCode::Nothing);
        assert_eq!(account.line(), r"no \u{1b}[31msnapshot here");
    }

    #[test]
    fn usage_and_output_have_their_exit_codes() {
        assert_eq!(Failure::Usage("x").exit_code(), ExitCode::Usage);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(Failure::Output(full).exit_code(), ExitCode::Failed);
    }
}
