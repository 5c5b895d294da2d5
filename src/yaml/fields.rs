//! A map that is being read: keys are taken one by one, and what is left is unknown.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Span, rule};
use crate::name::excerpt;

use super::reader::{EXCERPT, Reader};
use super::{Key, Node};

/// A map whose keys are being taken one by one; what is left at the end is unknown.
pub struct Fields<'n> {
    pub(super) pointer: String,
    pub(super) span: Span,
    pub(super) entries: BTreeMap<&'n str, (&'n Key, &'n Node)>,
    pub(super) known: BTreeSet<&'static str>,
}

/// A value with the JSON pointer of its key.
#[derive(Clone)]
pub struct Field<'n> {
    pub node: &'n Node,
    pub pointer: String,
    /// Where the key stands; the value itself for an item of a list and for the root.
    pub place: Span,
}

impl<'n> Fields<'n> {
    /// Takes a key that may be absent.
    pub fn take(&mut self, key: &'static str) -> Option<Field<'n>> {
        self.known.insert(key);
        let (found, node) = self.entries.remove(key)?;
        Some(Field {
            node,
            pointer: child(&self.pointer, key),
            place: found.span,
        })
    }

    /// Takes a key that must be there.
    pub fn require(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Field<'n>> {
        let field = self.take(key);
        if field.is_none() {
            reader.deny(
                rule::MISSING_KEY,
                Some(self.span),
                format!("the required key `{key}` is missing"),
            );
        }
        field
    }

    /// Takes every remaining key: for maps whose keys are names.
    pub fn rest(&mut self) -> Vec<(&'n Key, Field<'n>)> {
        let pointer = self.pointer.clone();
        std::mem::take(&mut self.entries)
            .into_values()
            .map(|(key, node)| {
                (
                    key,
                    Field {
                        node,
                        pointer: child(&pointer, &key.text),
                        place: key.span,
                    },
                )
            })
            .collect()
    }
}

impl<'n> Field<'n> {
    pub(super) fn root(node: &'n Node) -> Self {
        Self {
            node,
            pointer: String::new(),
            place: node.span,
        }
    }

    /// An item of this list.
    pub(super) fn item(&self, index: usize, node: &'n Node) -> Self {
        Self {
            node,
            pointer: format!("{}/{index}", self.pointer),
            place: node.span,
        }
    }

    /// The key's name as a message says it: without the pointer's escapes, lists without their index.
    pub fn name(&self) -> String {
        let path = self.pointer.trim_start_matches('/').replace('/', ".");
        excerpt(&path.replace("~1", "/").replace("~0", "~"), EXCERPT)
    }

    pub fn span(&self) -> Span {
        self.node.span
    }
}

/// The JSON pointer (RFC 6901) of `key` under `pointer`.
pub fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
