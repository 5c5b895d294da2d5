//! Rules about every text file, whatever its language.

/// Put together here, so that this file does not break its own rules.
const UNFINISHED: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
const ELSEWHERE: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/tm", "p"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
];

/// File, what a line that may say so contains, and why.
pub const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Line and what is wrong with it.
pub fn violations(path: &str, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let excepted = EXCEPTIONS
            .iter()
            .any(|(file, needle, _)| *file == path && line.contains(needle));
        if excepted {
            continue;
        }
        for word in UNFINISHED.iter().filter(|word| has_word(line, word)) {
            found.push((
                number,
                format!("{word}: what is left out belongs in an issue or a module's first lines"),
            ));
        }
        for place in ELSEWHERE.iter().filter(|place| has_path(line, place)) {
            found.push((
                number,
                format!("{place}: such a path is true on one machine only"),
            ));
        }
    }
    found
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric())
        .any(|it| it == word)
}

/// Whether `place` begins an absolute path, not a part of a URL or of a longer path.
fn has_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + place.len()..].chars().next();
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && !"._-/}*~".contains(c));
        let ends = place.ends_with('/') || after.is_none_or(|c| !c.is_alphanumeric() && c != '-');
        starts && ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_and_local_text_is_found() {
        let [todo, fixme] = UNFINISHED;
        let [work, tmp, ..] = ELSEWHERE;
        let bad = format!(
            "# {todo}: later\n{fixme}\nMASTODON{todo}S\ncp {work}main .\nhttps://example.com{work}x\n\"{tmp}\"\n{tmp}/x\nsrc{tmp}/x\n{tmp}late\n"
        );
        let lines: Vec<_> = violations("README.md", &bad)
            .into_iter()
            .map(|(line, _)| line)
            .collect();
        assert_eq!(lines, [1, 2, 4, 6, 7]);
    }
}
