//! A command line that was not understood, in one line.

use std::io::{self, Write};

use clap::CommandFactory;
use clap::error::ErrorKind;
use keepsum::ExitCode;

use crate::args::Cli;
use crate::failure::Account;
use crate::output::Output;

/// Prints what the parser says: help and version as they are, an error as one line.
pub(crate) fn answer(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Help that nobody reads to its end is no failure.
            let _ = error.print();
            ExitCode::Done
        }
        ErrorKind::MissingSubcommand if !json() => {
            let _ = write!(io::stderr(), "{}", Cli::command().render_help());
            ExitCode::Usage
        }
        _ => {
            let line = one_line(&error.render().to_string());
            Output::new(json()).account(&Account::new(&line, ExitCode::Usage));
            ExitCode::Usage
        }
    }
}

/// Whether a document was asked for; the parser does not say once it has failed.
fn json() -> bool {
    std::env::args_os().any(|argument| argument == "--json")
}

/// The parser's paragraphs as clauses: what is wrong, its tips, how it is written.
fn one_line(rendered: &str) -> String {
    let mut clauses: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in rendered.lines().map(str::trim) {
        if line.is_empty() || line.starts_with("For more information") {
            goes_on = false;
            continue;
        }
        let clause = line.strip_prefix("error: ").unwrap_or(line);
        match clauses.last_mut().filter(|_| goes_on) {
            Some(last) => {
                last.push(' ');
                last.push_str(clause);
            }
            None => clauses.push(clause.replacen("Usage: ", "usage: ", 1)),
        }
        goes_on = true;
    }
    clauses.join("; ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::one_line;
    use crate::args::Cli;

    fn said(arguments: &[&str]) -> String {
        let error = Cli::try_parse_from(arguments).expect_err("a wrong command line");
        one_line(&error.render().to_string())
    }

    #[test]
    fn a_missing_argument_is_named_with_the_usage() {
        let said = said(&["keepsum", "restore", "latest"]);
        assert!(
            said.starts_with(
                "the following required arguments were not provided: <TARGET>; usage:"
            ),
            "{said}"
        );
    }

    #[test]
    fn an_unknown_option_is_one_line_with_a_tip() {
        let said = said(&["keepsum", "backup", "memory:x.bcs", "--recrods"]);
        assert!(said.starts_with("unexpected argument '--recrods' found; tip:"), "{said}");
        assert!(said.contains("'--records'"), "{said}");
    }
}
