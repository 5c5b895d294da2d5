//! Where the refs of a server point now, asked for by name.
//!
//! libgit2 speaks protocol version 0 only, which sends every ref of the repository before
//! anything else; on GitHub that includes each pull request there ever was. Version 2 sends
//! only the refs one asks for. So the refs are listed here, and libgit2 is handed an
//! advertisement of just those, as if the server had no others.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use git2::Oid;
use reqwest::blocking::Response;

use super::error::GitError;
use super::http::Session;

/// More than the list of a million refs.
const LISTING_LIMIT: u64 = 128 << 20;

/// What a server of version 2 is known to do in version 0 as well.
const USUAL: &str = "multi_ack_detailed side-band-64k ofs-delta thin-pack";

/// Of what a version 0 server offers, what libgit2 makes use of. Anything with a value is
/// left out: libgit2 reads past the end of some of them.
const USEFUL: [&str; 6] = [
    "multi_ack_detailed",
    "multi_ack",
    "side-band-64k",
    "side-band",
    "ofs-delta",
    "thin-pack",
];

/// Some refs of a server and what it can do.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) tips: BTreeMap<String, Oid>,
    capabilities: String,
}

impl Listing {
    /// Asks where `refs` point. Those that the server does not have are left out.
    pub(super) fn ask(session: &Session, refs: &[String]) -> Result<Self, GitError> {
        let attempt = "asking for its refs";
        let wanted: BTreeSet<&str> = refs.iter().map(String::as_str).collect();
        let broken = |problem| GitError::Protocol {
            host: session.endpoint.to_string(),
            attempt: attempt.to_owned(),
            problem,
        };

        let greeting = read(session, session.advertisement(attempt)?, attempt)?;
        let mut lines = Lines(&greeting);
        let mut first = lines.next_data().map_err(broken)?;
        if first.is_some_and(|line| line.starts_with(b"# service=")) {
            // That line is a list of its own.
            lines.next_data().map_err(broken)?;
            first = lines.next_data().map_err(broken)?;
        }
        if first != Some(b"version 2") {
            return Self::of_version_0(first, lines, &wanted).map_err(broken);
        }

        let mut can_list = false;
        while let Some(line) = lines.next_data().map_err(broken)? {
            can_list |= line == b"ls-refs" || line.starts_with(b"ls-refs=");
        }
        if !can_list {
            return Err(broken("it can not list refs"));
        }
        let mut command = Vec::new();
        push_line(&mut command, b"command=ls-refs\n");
        command.extend_from_slice(b"0001");
        for name in &wanted {
            push_line(&mut command, format!("ref-prefix {name}\n").as_bytes());
        }
        command.extend_from_slice(b"0000");
        let answer = read(session, session.command(command, attempt)?, attempt)?;
        let mut lines = Lines(&answer);
        let mut tips = BTreeMap::new();
        while let Some(line) = lines.next_data().map_err(broken)? {
            note_tip(&mut tips, &wanted, line).map_err(broken)?;
        }
        Ok(Self {
            tips,
            capabilities: USUAL.to_owned(),
        })
    }

    fn of_version_0(
        first: Option<&[u8]>,
        mut lines: Lines<'_>,
        wanted: &BTreeSet<&str>,
    ) -> Result<Self, &'static str> {
        let mut tips = BTreeMap::new();
        let mut capabilities = String::new();
        let mut next = first;
        while let Some(line) = next {
            let (tip, offered) = match line.iter().position(|&byte| byte == 0) {
                Some(at) => line.split_at(at),
                None => (line, &b""[..]),
            };
            for offer in offered.split(|&byte| byte == 0 || byte == b' ') {
                if let Some(useful) = USEFUL.iter().find(|useful| useful.as_bytes() == offer) {
                    capabilities.push_str(if capabilities.is_empty() { "" } else { " " });
                    capabilities.push_str(useful);
                }
            }
            note_tip(&mut tips, wanted, tip)?;
            next = lines.next_data()?;
        }
        Ok(Self { tips, capabilities })
    }

    /// The greeting of a version 0 server that has the refs in `tips` only.
    pub(super) fn advertisement(&self, tips: &BTreeMap<String, Oid>) -> Vec<u8> {
        let mut out = Vec::new();
        push_line(&mut out, b"# service=git-upload-pack\n");
        out.extend_from_slice(b"0000");
        let mut capabilities = Some(&self.capabilities);
        for (name, oid) in tips {
            let line = match capabilities.take() {
                Some(capabilities) => format!("{oid} {name}\0{capabilities}\n"),
                None => format!("{oid} {name}\n"),
            };
            push_line(&mut out, line.as_bytes());
        }
        out.extend_from_slice(b"0000");
        out
    }
}

/// Reads `<oid> <name>` with possible attributes after it, and keeps it if it was asked for.
fn note_tip(
    tips: &mut BTreeMap<String, Oid>,
    wanted: &BTreeSet<&str>,
    line: &[u8],
) -> Result<(), &'static str> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(oid), Some(name)) = (parts.next(), parts.next()) else {
        return Err("a ref without a name");
    };
    // Names that are not UTF-8 are nobody's wish: what is wanted is.
    let Some(name) = std::str::from_utf8(name)
        .ok()
        .filter(|name| wanted.contains(name))
    else {
        return Ok(());
    };
    let oid = std::str::from_utf8(oid)
        .ok()
        .filter(|oid| oid.len() == 40)
        .and_then(|oid| Oid::from_str(oid).ok())
        .ok_or("a ref without a SHA-1")?;
    tips.insert(name.to_owned(), oid);
    Ok(())
}

fn read(session: &Session, response: Response, attempt: &str) -> Result<Vec<u8>, GitError> {
    let mut body = Vec::new();
    let read = response.take(LISTING_LIMIT).read_to_end(&mut body);
    read.map_err(|error| GitError::Interrupted {
        host: session.endpoint.to_string(),
        attempt: attempt.to_owned(),
        source: error.into(),
    })?;
    Ok(body)
}

fn push_line(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(format!("{:04x}", line.len() + 4).as_bytes());
    out.extend_from_slice(line);
}

/// The lines of Git's wire format: four hexadecimal digits of length, then the rest.
struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    /// The next line with something in it, without its line feed; `None` at the end of the
    /// list (a flush).
    fn next_data(&mut self) -> Result<Option<&'a [u8]>, &'static str> {
        let Some((digits, rest)) = self.0.split_at_checked(4) else {
            return Err("the list breaks off");
        };
        let length = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| usize::from_str_radix(digits, 16).ok())
            .ok_or("a line without its length")?;
        match length.checked_sub(4) {
            Some(length) => {
                let (line, rest) = rest.split_at_checked(length).ok_or("a line breaks off")?;
                self.0 = rest;
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                if line.starts_with(b"ERR ") {
                    return Err("it answered with an error");
                }
                Ok(Some(line))
            }
            None => {
                self.0 = rest;
                Ok(None)
            }
        }
    }
}
