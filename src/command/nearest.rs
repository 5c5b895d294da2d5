//! Which known word somebody may have meant.

/// The candidate that takes the fewest slips to become `word`, if no more than `most`: a
/// letter too many, one missing, a wrong one, or two changed places. The first one of equals.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
    most: usize,
) -> Option<&'c str> {
    let word: Vec<char> = word.chars().take(LONGEST + 1).collect();
    if word.len() > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= most)
        .map(|candidate| (slips(&word, candidate), candidate))
        .filter(|(slips, _)| *slips <= most)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Characters of a word that is compared at all: every name here is shorter, and the work
/// grows with the square.
const LONGEST: usize = 64;

fn slips(from: &[char], to: &str) -> usize {
    // Each row is one more character of `to`; each column one more of `from`.
    let mut row: Vec<usize> = (0..=from.len()).collect();
    let mut above: Option<(Vec<usize>, char)> = None;
    for c in to.chars() {
        let first = row.first().map_or(0, |slips| slips + 1);
        let mut next = vec![first];
        let mut left = first;
        for (column, (window, &here)) in row.windows(2).zip(from).enumerate() {
            let &[diagonal, up] = window else { continue };
            let mut best = (diagonal + usize::from(here != c)).min(up.min(left) + 1);
            let swapped = above.as_ref().and_then(|(above, before)| {
                let last = from.get(column.checked_sub(1)?)?;
                (here == *before && *last == c).then_some(above.get(column - 1)? + 1)
            });
            best = swapped.map_or(best, |swapped| best.min(swapped));
            next.push(best);
            left = best;
        }
        above = Some((std::mem::replace(&mut row, next), c));
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (from, to, expected) in [
            ("plan", "plan", 0),
            ("pln", "plan", 1),
            ("plann", "plan", 1),
            ("paln", "plan", 1),
            ("aplpy", "apply", 1),
            ("run", "rerun", 2),
            ("hold", "help", 2),
            ("", "help", 4),
            ("abcd", "dcba", 3),
        ] {
            let from: Vec<char> = from.chars().collect();
            assert_eq!(slips(&from, to), expected, "{from:?} {to}");
        }
        assert_eq!(nearest("ordres", ["other", "orders"], 2), Some("orders"));
        assert_eq!(nearest("billing", ["orders"], 2), None);
    }
}
