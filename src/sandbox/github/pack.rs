//! Fetching: what the client wants, what both sides have, and the pack of the difference.
//!
//! Every request stands alone: over HTTP the client repeats its wants and what was found common.

use git2::Oid;

use super::git_http::{Line, Lines, error_line};
use super::repository::Repository;

/// The most that a side-band line holds: its band, and the frame's four bytes less.
const LARGE_BAND: usize = 65_515;
const SMALL_BAND: usize = 995;

/// How acknowledgements are worded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Acknowledge {
    First,
    Each,
    Detailed,
}

/// Answers a fetch of protocol version 0.
pub(super) fn fetch_v0(git: &Repository, request: &[Line<'_>]) -> anyhow::Result<Vec<u8>> {
    let repo = git.open()?;
    let mut wants = Vec::new();
    let mut offered: Vec<&str> = Vec::new();
    let mut rest = request.iter();
    for line in rest.by_ref() {
        let Some(text) = line.text() else { break };
        let Some(want) = text.strip_prefix("want ") else {
            return Ok(error_line(&format!("upload-pack: unexpected {text}")));
        };
        let (id, capabilities) = want.split_once(' ').unwrap_or((want, ""));
        offered.extend(capabilities.split(' '));
        match Oid::from_str(id) {
            Ok(oid) if reachable(git, id) => wants.push(oid),
            _ => return Ok(error_line(&format!("upload-pack: not our ref {id}"))),
        }
    }
    if wants.is_empty() {
        return Ok(Vec::new());
    }
    let how = if offered.contains(&"multi_ack_detailed") {
        Acknowledge::Detailed
    } else if offered.contains(&"multi_ack") {
        Acknowledge::Each
    } else {
        Acknowledge::First
    };
    let mut lines = Lines::default();
    let mut common: Vec<Oid> = Vec::new();
    let mut done = false;
    let mut ready = false;
    for line in rest {
        match line {
            Line::Text("done") => {
                done = true;
                break;
            }
            Line::Text(text) => {
                let have = text.strip_prefix("have ").unwrap_or_default();
                let Ok(have) = Oid::from_str(have) else {
                    return Ok(error_line(&format!("upload-pack: unexpected {text}")));
                };
                if repo.find_commit(have).is_ok() {
                    common.push(have);
                    match how {
                        Acknowledge::Detailed => lines.line(format!("ACK {have} common\n")),
                        Acknowledge::Each => lines.line(format!("ACK {have} continue\n")),
                        Acknowledge::First if common.len() == 1 => {
                            lines.line(format!("ACK {have}\n"));
                        }
                        Acknowledge::First => {}
                    }
                }
            }
            Line::Flush | Line::Delimiter => {
                let enough = how == Acknowledge::Detailed && enough(&repo, &wants, &common);
                if let (true, false, Some(last)) = (enough, ready, common.last()) {
                    ready = true;
                    lines.line(format!("ACK {last} ready\n"));
                }
                if common.is_empty() || how != Acknowledge::First {
                    lines.line("NAK\n");
                }
                if ready && offered.contains(&"no-done") {
                    done = true;
                    break;
                }
            }
        }
    }
    if !done {
        return Ok(lines.0);
    }
    match common.last() {
        Some(last) if how != Acknowledge::First => lines.line(format!("ACK {last}\n")),
        Some(_) => {}
        None => lines.line("NAK\n"),
    }
    let pack = pack(&repo, &wants, &common)?;
    if offered.contains(&"side-band-64k") {
        band(&mut lines, &pack, LARGE_BAND);
    } else if offered.contains(&"side-band") {
        band(&mut lines, &pack, SMALL_BAND);
    } else {
        lines.0.extend_from_slice(&pack);
    }
    Ok(lines.0)
}

/// Answers a fetch of protocol version 2, which takes any object that is there as a want.
pub(super) fn fetch_v2(git: &Repository, request: &[Line<'_>]) -> anyhow::Result<Vec<u8>> {
    let repo = git.open()?;
    let (mut wants, mut common, mut done) = (Vec::new(), Vec::new(), false);
    for text in request.iter().filter_map(Line::text) {
        match text.split_once(' ') {
            Some(("want", id)) => match Oid::from_str(id) {
                Ok(oid) if repo.find_commit(oid).is_ok() => wants.push(oid),
                _ => return Ok(error_line(&format!("upload-pack: not our ref {id}"))),
            },
            Some(("have", id)) => {
                let have = Oid::from_str(id).ok();
                common.extend(have.filter(|have| repo.find_commit(*have).is_ok()));
            }
            Some((word @ ("shallow" | "deepen" | "filter" | "want-ref"), _)) => {
                return Ok(error_line(&format!("upload-pack: {word} was not offered")));
            }
            _ => done |= text == "done",
        }
    }
    let mut lines = Lines::default();
    if !done {
        lines.line("acknowledgments\n");
        if common.is_empty() {
            lines.line("NAK\n");
        }
        for have in &common {
            lines.line(format!("ACK {have}\n"));
        }
        if !enough(&repo, &wants, &common) {
            lines.flush();
            return Ok(lines.0);
        }
        lines.line("ready\n");
        lines.delimiter();
    }
    lines.line("packfile\n");
    band(&mut lines, &pack(&repo, &wants, &common)?, LARGE_BAND);
    Ok(lines.0)
}

/// Whether some ref leads to the commit.
fn reachable(git: &Repository, id: &str) -> bool {
    let tips = git.refs().unwrap_or_default();
    tips.values().any(|tip| git.contains(tip, id))
}

/// Whether each want descends from something common, so that more haves would change little.
fn enough(repo: &git2::Repository, wants: &[Oid], common: &[Oid]) -> bool {
    let known = |want: &Oid, have: &Oid| {
        want == have || repo.graph_descendant_of(*want, *have).unwrap_or(false)
    };
    !common.is_empty()
        && wants
            .iter()
            .all(|want| common.iter().any(|have| known(want, have)))
}

/// Everything that leads from `common` to `wants`.
fn pack(repo: &git2::Repository, wants: &[Oid], common: &[Oid]) -> Result<Vec<u8>, git2::Error> {
    let mut walk = repo.revwalk()?;
    for want in wants {
        walk.push(*want)?;
    }
    for have in common {
        walk.hide(*have)?;
    }
    let mut builder = repo.packbuilder()?;
    // One thread, so that the same fetch has the same bytes.
    builder.set_threads(1);
    builder.insert_walk(&mut walk)?;
    let mut buffer = git2::Buf::new();
    builder.write_buf(&mut buffer)?;
    Ok(buffer.to_vec())
}

/// Sends the pack on band 1 and ends it.
fn band(lines: &mut Lines, pack: &[u8], size: usize) {
    for part in pack.chunks(size) {
        lines.line([&[1], part].concat());
    }
    lines.flush();
}
