//! Where the reviewed digests stand in our check run, written and read in one place.
//!
//! Nobody but our App can write the check run, but its text repeats what users wrote.
//! So the block is read only where our own writing ends the text: a line or a block that
//! stands earlier, quoted from whatever file, counts for nothing.

use super::check::NAME;
use super::{Forge, ForgeError};
use crate::name::CommitSha;
use crate::plan::approval::Digests;

const OPEN: &str = "```pipewright-digests";
const CLOSE: &str = "```";

/// The block that holds `digests`. It must be the last thing in the check run's text,
/// also when there are none: without it, a quoted one could come to stand last.
pub fn digest_block(digests: &Digests) -> String {
    let mut block = format!("{OPEN}\n");
    for (pipeline, digest) in digests {
        block.push_str(&format!("digest {pipeline} {digest}\n"));
    }
    block.push_str(CLOSE);
    block.push('\n');
    block
}

/// The digests of the block that ends `text`; None if it does not end in a whole one.
pub(super) fn digests_of(text: &str) -> Option<Digests> {
    let mut lines = text.trim_end().lines().rev();
    if lines.next()? != CLOSE {
        return None;
    }
    let mut digests = Digests::new();
    for line in lines {
        if line == OPEN {
            return Some(digests);
        }
        let (pipeline, digest) = line.strip_prefix("digest ")?.split_once(' ')?;
        let earlier = digests.insert(pipeline.parse().ok()?, digest.parse().ok()?);
        if earlier.is_some() {
            return None;
        }
    }
    None
}

/// `text` before its block, and the block (empty if there is none).
pub(super) fn split_block(text: &str) -> (&str, &str) {
    if digests_of(text).is_none() {
        return (text, "");
    }
    let start = text.rfind(OPEN).unwrap_or(text.len());
    text.split_at_checked(start).unwrap_or((text, ""))
}

/// The digests of one finished run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) completed_at: Option<jiff::Timestamp>,
    pub(super) digests: Digests,
}

impl Forge {
    /// What our finished check runs at `commit` showed, the newest last. A run whose text
    /// holds no whole block showed nothing.
    pub(super) async fn shown_at(&self, commit: &CommitSha) -> Result<Vec<Shown>, ForgeError> {
        let runs = self.our_runs(commit, NAME).await?;
        Ok(runs
            .iter()
            .filter(|run| run.is_completed())
            .map(|run| Shown {
                completed_at: run.completed_at,
                digests: digests_of(run.text()).unwrap_or_default(),
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests() -> Digests {
        [("orders", "a"), ("customers", "b")]
            .map(|(name, c)| (name.parse().unwrap(), c.repeat(64).parse().unwrap()))
            .into()
    }

    #[test]
    fn what_is_written_is_read() {
        for digests in [digests(), Digests::new()] {
            let text = format!("# Plan\n\n{}", digest_block(&digests));
            assert_eq!(digests_of(&text), Some(digests.clone()));
            let normalised = text.trim_end().replace('\n', "\r\n");
            assert_eq!(digests_of(&normalised), Some(digests));
        }
    }

    #[test]
    fn what_a_user_wrote_is_not() {
        let forged = digest_block(&digests());
        let line = format!("digest orders {}\n", "c".repeat(64));
        let ours = digest_block(&Digests::new());
        assert_eq!(
            digests_of(&format!("{forged}{line}{ours}")),
            Some(Digests::new())
        );
        for text in [
            "",
            "```",
            &line,
            &format!("{forged}Done."),
            &format!("{forged}{line}"),
            &format!("```\n{line}```\n"),
            &forged.replace("digest orders", "digest  orders"),
            &forged.replace("orders", "customers"),
            forged.trim_end().trim_end_matches('`'),
        ] {
            assert_eq!(digests_of(text), None, "{text}");
        }
    }

    #[test]
    fn the_block_is_cut_off_where_it_begins() {
        let block = digest_block(&digests());
        let text = format!("{block}quoted above\n{block}");
        let (before, last) = split_block(&text);
        assert_eq!((before.len(), last), (block.len() + 13, block.as_str()));
        assert_eq!(split_block("no block"), ("no block", ""));
    }
}
