//! The page that keeps the figures: each group between two comments, which Markdown does not show.

use anyhow::{Context, Result};

/// A page with places for groups.
pub(super) struct Page(String);

impl Page {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// Puts a section into the place of a group, instead of what is there.
    pub(super) fn put(&mut self, group: &str, section: &str) -> Result<()> {
        let (begin, end) =
            (format!("<!-- bench {group} -->\n"), format!("<!-- end of {group} -->"));
        let missing = || format!("the page has no place for {group}: {begin}{end}");
        let start = self.0.find(&begin).with_context(missing)? + begin.len();
        let length = self.0[start..].find(&end).with_context(missing)?;
        self.0.replace_range(start..start + length, &format!("\n{}\n\n", section.trim_end()));
        Ok(())
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Before.\n<!-- bench a -->\nold\n<!-- end of a -->\nBetween.\n\
                        <!-- bench b -->\n<!-- end of b -->\nAfter.\n";

    #[test]
    fn a_section_replaces_that_of_its_group_alone() {
        let mut page = Page::new(TEXT.to_owned());
        page.put("a", "new\n").expect("there is a place");
        let expected = TEXT.replace("\nold\n", "\n\nnew\n\n");
        assert_eq!(page.text(), expected);
        page.put("a", "new\n").expect("the place is still there");
        assert_eq!(page.text(), expected);
        page.put("b", "other").expect("there is a place");
        assert!(page.text().contains("<!-- bench b -->\n\nother\n\n<!-- end of b -->\nAfter.\n"));
    }

    #[test]
    fn a_group_without_a_place_is_named_and_changes_nothing() {
        let mut page = Page::new(TEXT.to_owned());
        let error = page.put("c", "new").expect_err("there is no place");
        assert!(error.to_string().starts_with("the page has no place for c"), "{error}");
        assert_eq!(page.text(), TEXT);
    }
}
