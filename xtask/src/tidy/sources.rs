//! Source files: their length, and words that must not be left in them.

use super::Finding;
use super::tree::{TextFile, Tree};

/// Lines of a file, its inline tests not counted.
const LINES: usize = 600;

/// Words that must not stand in any file, each with what to do instead. They are put together here,
/// so that this file does not hold them.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("/ro", "ot/"), "names a folder of one machine"),
    (concat!("/ho", "me/"), "names a folder of one machine"),
    (concat!("/wo", "rk/"), "names a folder of one machine"),
    (concat!("/Us", "ers/"), "names a folder of one machine"),
    (concat!("dbg", "!("), "prints for debugging"),
    (concat!("#[igno", "re]"), "skips a test without a reason: write `#[ignore = \"why\"]`"),
];
/// Words that need the number of an issue behind them, as in `WORD(#12)`.
const WITH_ISSUE: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let lengths = tree.ending(".rs").filter_map(length);
    lengths.chain(tree.files().iter().flat_map(words)).collect()
}

fn length(file: &TextFile) -> Option<Finding> {
    // Tests in files of their own may be as long as their list of cases.
    let only_tests = file.path.contains("/tests/") || file.path.ends_with("tests.rs");
    let lines = without_tests(&file.text).lines().count();
    (lines > LINES && !only_tests).then(|| {
        let what =
            format!("has {lines} lines without tests, more than {LINES}: split it by concept");
        Finding::new(&file.path, what)
    })
}

/// A source file up to its inline test module, which stands last.
pub(crate) fn without_tests(text: &str) -> &str {
    let end = text.match_indices("#[cfg(test)]\n").find(|(at, mark)| {
        text[at + mark.len()..].starts_with("mod ") && opens(&text[at + mark.len()..])
    });
    end.map_or(text, |(at, _)| &text[..at])
}

/// Whether the first line opens a block, rather than name a module in another file.
fn opens(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.trim_end().ends_with('{'))
}

fn words(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let place = || format!("{}:{}", file.path, index + 1);
        for (word, why) in FORBIDDEN.iter().filter(|(word, _)| holds(line, word)) {
            findings.push(Finding::new(place(), format!("`{word}` {why}")));
        }
        for word in WITH_ISSUE.iter().filter(|word| lacks_issue(line, word)) {
            findings
                .push(Finding::new(place(), format!("`{word}` needs its issue: `{word}(#12)`")));
        }
    }
    findings
}

/// Whether `word` stands in `line` at the start of a word: `x/…` is a part of another path, not a
/// folder at the top.
fn holds(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !ends_in_word(&line[..at]))
}

fn lacks_issue(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let rest = &line[at + word.len()..];
        let whole = !ends_in_word(&line[..at])
            && !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let numbered = rest
            .strip_prefix("(#")
            .is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()));
        whole && !numbered
    })
}

fn ends_in_word(text: &str) -> bool {
    text.ends_with(|c: char| c.is_alphanumeric() || "_-.~$}".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn long_files_are_found_and_tests_do_not_count() {
        let code = "fn f() {}\n".repeat(LINES);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert!(found("a.rs", &format!("{code}{tests}")).is_empty());
        assert_eq!(
            found("a.rs", &format!("{code}fn g() {{}}\n{tests}")),
            ["a.rs: has 601 lines without tests, more than 600: split it by concept"]
        );
        assert!(found("crates/a/tests/all.rs", &code.repeat(2)).is_empty());
        assert!(found("page.md", &code.repeat(2)).is_empty());
    }

    #[test]
    fn a_test_module_in_another_file_does_not_end_a_file() {
        let text = "#[cfg(test)]\nmod tests;\nfn f() {}\n";
        assert_eq!(without_tests(text), text);
        assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {\n}\n"), "a\n");
    }

    #[test]
    fn folders_of_a_machine_are_found_at_the_start_of_a_path_only() {
        for (word, _) in FORBIDDEN.iter().filter(|(word, _)| word.starts_with('/')) {
            assert_eq!(found("a.md", &format!("see {word}x")).len(), 1, "{word}");
            assert!(found("a.md", &format!("see crates{word}x")).is_empty(), "{word}");
            assert!(found("a.md", &format!("see ${{HOME}}{word}x")).is_empty(), "{word}");
        }
    }

    #[test]
    fn leftovers_are_found_with_their_line() {
        let [open, _, _] = WITH_ISSUE;
        assert_eq!(found("a.rs", &format!("\n// {open}: later")).len(), 1);
        assert!(found("a.rs", &format!("\n// {open}: later"))[0].starts_with("a.rs:2: "));
        assert!(found("a.rs", &format!("// {open}(#7): later")).is_empty());
        assert!(found("a.rs", &format!("const A{open}S: u8 = 1;")).is_empty());
        assert_eq!(found("a.rs", concat!("dbg", "!(x)")).len(), 1);
        assert_eq!(found("a.rs", concat!("#[igno", "re]")).len(), 1);
        assert!(found("a.rs", "#[ignore = \"takes an hour\"]").is_empty());
    }
}
