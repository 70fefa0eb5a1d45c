//! Statements of a schema, looked at before SQLite is given them: each must be what it says it is.

use backup_core::{Error, Result};

/// What a statement makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    VirtualTable,
    Index,
    /// An index that a table makes by itself, which has no statement.
    OwnIndex,
    View,
    Trigger,
}

impl Kind {
    /// The word for it in messages.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::VirtualTable => "virtual table",
            Self::Index | Self::OwnIndex => "index",
            Self::View => "view",
            Self::Trigger => "trigger",
        }
    }
}

/// Checks that a statement begins as the one that makes `name` does. SQLite keeps statements without a
/// database's name and without IF NOT EXISTS, so nothing else is one of its own.
///
/// That there is no second statement behind it is for SQLite's own parser to say.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn check(kind: Kind, name: &str, sql: &str) -> Result<()> {
    let mut rest = Tokens { rest: sql };
    if !sql.contains('\0') && rest.begins(kind) && rest.next() == Some(Token::Name(name.into())) {
        let behind = rest.next();
        let fits = match kind {
            // Not AS, which would run a query.
            Kind::Table => behind == Some(Token::Other('(')),
            Kind::VirtualTable => is_word(behind.as_ref(), "using"),
            Kind::Index => is_word(behind.as_ref(), "on"),
            Kind::View => behind == Some(Token::Other('(')) || is_word(behind.as_ref(), "as"),
            Kind::Trigger => behind.is_some(),
            Kind::OwnIndex => false,
        };
        if fits {
            return Ok(());
        }
    }
    let what = format!("the statement of {} {name:?}", kind.word());
    Err(Error::invalid(what, format!("it is not the one that makes it: {:?}", beginning(sql))))
}

/// The name of the table that a statement makes.
pub(super) fn table_name(sql: &str) -> Option<String> {
    match (Tokens { rest: sql }).name(Kind::Table)? {
        Token::Name(name) => Some(name),
        Token::Other(_) => None,
    }
}

/// The statement of an index without the word UNIQUE.
pub(super) fn without_unique(sql: &str) -> String {
    let mut rest = Tokens { rest: sql };
    rest.next();
    let before = sql.len() - rest.rest.len();
    if is_word(rest.next().as_ref(), "unique") {
        let (create, behind) = (sql.get(..before).unwrap_or_default(), rest.rest);
        return format!("{create} {behind}");
    }
    sql.to_owned()
}

/// The module of the virtual table that a statement makes.
pub(crate) fn module(sql: &str) -> Option<String> {
    let mut rest = Tokens { rest: sql };
    rest.name(Kind::VirtualTable)?;
    rest.next()?;
    match rest.next()? {
        Token::Name(module) => Some(module),
        Token::Other(_) => None,
    }
}

/// The beginning of a statement, for a message.
fn beginning(sql: &str) -> String {
    const SHOWN: usize = 80;
    sql.chars().take(SHOWN).collect()
}

/// As much of SQL's words as the beginning of a CREATE statement has.
struct Tokens<'a> {
    rest: &'a str,
}

#[derive(Debug, PartialEq)]
enum Token {
    /// A word or a quoted name.
    Name(String),
    /// Anything else.
    Other(char),
}

fn is_word(token: Option<&Token>, word: &str) -> bool {
    matches!(token, Some(Token::Name(name)) if name.eq_ignore_ascii_case(word))
}

impl Tokens<'_> {
    /// Takes the words before the name.
    fn begins(&mut self, kind: Kind) -> bool {
        let words: &[&str] = match kind {
            Kind::Table => &["create", "table"],
            Kind::VirtualTable => &["create", "virtual", "table"],
            Kind::Index | Kind::OwnIndex => &["create", "index"],
            Kind::View => &["create", "view"],
            Kind::Trigger => &["create", "trigger"],
        };
        words.iter().all(|word| {
            let mut token = self.next();
            if kind == Kind::Index && is_word(token.as_ref(), "unique") {
                token = self.next();
            }
            is_word(token.as_ref(), word)
        })
    }

    /// Takes what is before the name of a table, and the name.
    fn name(&mut self, kind: Kind) -> Option<Token> {
        if !self.begins(kind) {
            return None;
        }
        let here = self.rest;
        if !self.next_words(&["if", "not", "exists"]) {
            self.rest = here;
        }
        self.next()
    }

    /// Whether these words come next; some may be taken even where they do not.
    fn next_words(&mut self, words: &[&str]) -> bool {
        words.iter().all(|word| is_word(self.next().as_ref(), word))
    }

    fn next(&mut self) -> Option<Token> {
        self.skip_blanks();
        let first = self.rest.chars().next()?;
        let closing = match first {
            '"' | '\'' | '`' => first,
            '[' => ']',
            _ if is_of_word(first) => {
                let end = self.rest.find(|next| !is_of_word(next)).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                return Some(Token::Name(word.to_owned()));
            }
            _ => {
                self.rest = self.rest.get(first.len_utf8()..)?;
                return Some(Token::Other(first));
            }
        };
        self.rest = self.rest.get(1..)?;
        self.quoted(closing)
    }

    /// The rest of a quoted name; a quote in it is written twice, but for `]`.
    fn quoted(&mut self, closing: char) -> Option<Token> {
        let mut name = String::new();
        loop {
            let end = self.rest.find(closing)?;
            name.push_str(self.rest.get(..end)?);
            self.rest = self.rest.get(end + 1..)?;
            if closing == ']' || !self.rest.starts_with(closing) {
                return Some(Token::Name(name));
            }
            name.push(closing);
            self.rest = self.rest.get(1..)?;
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
            let end = if self.rest.starts_with("--") {
                self.rest.find('\n').map(|end| end + 1)
            } else if self.rest.starts_with("/*") {
                self.rest.get(2..).and_then(|rest| rest.find("*/")).map(|end| end + 4)
            } else {
                return;
            };
            self.rest = end.and_then(|end| self.rest.get(end..)).unwrap_or_default();
        }
    }
}

fn is_of_word(found: char) -> bool {
    found.is_ascii_alphanumeric() || found == '_' || found == '$' || !found.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_what_it_says() {
        let taken = [
            (Kind::Table, "t", "CREATE TABLE t(a)"),
            (Kind::Table, "a b", "CREATE TABLE \"a b\" (a)"),
            (Kind::Table, "a]", "create /* AS */ table -- t\n 'a]'(a)"),
            (Kind::Table, "q\"q", "CREATE TABLE \"q\"\"q\"\n(a)"),
            (Kind::Table, "b", "CREATE TABLE [b](a)"),
            (Kind::Table, "ü", "CREATE TABLE ü(a)"),
            (Kind::Index, "i", "CREATE UNIQUE INDEX i ON t(a)"),
            (Kind::View, "v", "CREATE VIEW v AS SELECT 1"),
            (Kind::View, "v", "CREATE VIEW v(a) AS SELECT 1"),
            (Kind::Trigger, "r", "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END"),
            (Kind::VirtualTable, "f", "CREATE VIRTUAL TABLE f USING fts5(a)"),
        ];
        for (kind, name, sql) in taken {
            check(kind, name, sql).unwrap();
        }
        assert_eq!(module("CREATE VIRTUAL TABLE \"a b\" USING \"my mod\"(a)").unwrap(), "my mod");
        assert_eq!(module("CREATE VIRTUAL TABLE IF NOT EXISTS f USING fts5(a)").unwrap(), "fts5");
        assert_eq!(module("CREATE VIRTUAL TABLE \"if\" USING rtree(a)").unwrap(), "rtree");
        assert_eq!(without_unique("CREATE UNIQUE INDEX i ON t(a)"), "CREATE  INDEX i ON t(a)");
        assert_eq!(
            without_unique("create /* unique */ index i ON t(a)"),
            "create /* unique */ index i ON t(a)"
        );
    }

    #[test]
    fn anything_else_is_refused() {
        let refused = [
            (Kind::Table, "t", ""),
            (Kind::Table, "t", "CREATE TABLE"),
            (Kind::Table, "t", "CREATE TABLE u(a)"),
            (Kind::Table, "t", "CREATE TABLE main.t(a)"),
            (Kind::Table, "t", "CREATE TEMP TABLE t(a)"),
            (Kind::Table, "t", "CREATE TABLE IF NOT EXISTS t(a)"),
            (Kind::Table, "t", "CREATE TABLE t AS SELECT load_extension('x')"),
            (Kind::Table, "t", "ATTACH '/etc/passwd' AS t"),
            (Kind::Table, "t", "PRAGMA writable_schema=ON"),
            (Kind::Table, "t", "CREATE TABLE \"t"),
            (Kind::Table, "t", "CREATE TABLE t(a)\0"),
            (Kind::Table, "t", "CREATE VIRTUAL TABLE t USING fts5(a)"),
            (Kind::Table, "t", "CREATE VIEW t AS SELECT 1"),
            (Kind::Index, "t", "CREATE TABLE t(a)"),
            (Kind::VirtualTable, "t", "CREATE TABLE t(a)"),
            (Kind::View, "t", "CREATE TRIGGER t AFTER INSERT ON t BEGIN SELECT 1; END"),
        ];
        for (kind, name, sql) in refused {
            let answer = check(kind, name, sql);
            assert!(matches!(answer, Err(Error::Invalid { .. })), "{sql:?}: {answer:?}");
        }
    }
}
