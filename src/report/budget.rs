//! The budget: a report that does not fit is told with less detail, never cut.

/// How much a report tells, in the order in which it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Detail {
    Whole,
    /// Without the manifests of new objects.
    NoManifests,
    /// And without differences.
    NoDiffs,
    /// And what stays as it is only counted.
    NoUnchanged,
    /// One line for each pipeline.
    OneLine,
    /// Only counts.
    Counts,
}

impl Detail {
    const ALL: [Self; 6] = [
        Self::Whole,
        Self::NoManifests,
        Self::NoDiffs,
        Self::NoUnchanged,
        Self::OneLine,
        Self::Counts,
    ];

    /// Whether a report of this detail still tells what `other` is the last one to tell.
    pub(super) fn tells(self, other: Self) -> bool {
        self <= other
    }
}

/// What a comment may take, in bytes: GitHub counts 65,536 characters, the hidden marker
/// among them, and no way of counting finds more characters than bytes.
pub(super) const LIMIT: usize = 65_000;

/// A report while it is written: blocks with a blank line between them.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    limit: usize,
    is_over: bool,
}

impl Page {
    fn new(limit: usize) -> Self {
        Self {
            text: String::new(),
            limit,
            is_over: false,
        }
    }

    /// Adds a block of whole Markdown; an empty one is nothing.
    pub(super) fn push(&mut self, block: &str) {
        if self.is_over || block.is_empty() {
            return;
        }
        if !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
        self.text.push_str(block);
        self.is_over = self.text.len() > self.limit;
    }

    /// Whether it no longer fits, so that writing on is of no use.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }
}

/// The most detailed report that fits.
pub(super) fn fit(limit: usize, mut write: impl FnMut(Detail, &mut Page)) -> String {
    for detail in Detail::ALL {
        let mut page = Page::new(limit);
        write(detail, &mut page);
        if !page.is_over() {
            return page.text;
        }
    }
    // Every writer keeps its counts within bounds; should one ever not, this is whole.
    "This report does not fit into a comment.".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detail_is_given_up_in_order_and_blocks_are_never_cut() {
        let write = |detail: Detail, page: &mut Page| {
            page.push("head");
            if detail.tells(Detail::Whole) {
                page.push(&"m".repeat(100));
            }
            if detail.tells(Detail::OneLine) {
                page.push(&"d".repeat(20));
            }
        };
        assert_eq!(fit(1000, write).len(), 4 + 102 + 22);
        assert_eq!(fit(50, write).len(), 4 + 22);
        assert_eq!(fit(10, write), "head");
        assert!(fit(2, write).contains("does not fit"));
    }
}
