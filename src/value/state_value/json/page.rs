//! [`JsonPage`]: JSON that is being written, with its maps still open.

use std::borrow::Cow;

use super::canonical;
use crate::walker::Name;

/// JSON that is being written. The entries of a map are sorted when it ends.
pub(super) struct JsonPage {
    pub(super) text: Vec<u8>,
    /// The entries of the maps that have not ended, outer maps first.
    entries: Vec<JsonEntry>,
}

/// Where the entry `"name":value` of a map is. It ends before the comma of the next one.
struct JsonEntry {
    start: usize,
    /// The index of the closing quote of the name.
    quote: usize,
}

impl JsonPage {
    pub(super) const fn new(text: Vec<u8>) -> Self {
        Self { text, entries: Vec::new() }
    }

    /// What is written so far, for [`back_to`](Self::back_to).
    pub(super) const fn mark(&self) -> (usize, usize) {
        (self.text.len(), self.entries.len())
    }

    /// Removes what was written after a mark.
    pub(super) fn back_to(&mut self, (text, entries): (usize, usize)) {
        self.text.truncate(text);
        self.entries.truncate(entries);
    }

    /// Writes a comma unless a part is the first one. No part ends with an opening bracket.
    pub(super) fn separate(&mut self) {
        if !matches!(self.text.last(), Some(b'[' | b'{')) {
            self.text.push(b',');
        }
    }

    /// Writes the name of a field or a variant.
    pub(super) fn name(&mut self, name: Name) {
        canonical::string(name, &mut self.text);
        self.text.push(b':');
    }

    /// Begins an entry, and returns where it starts. `dropped` is where an entry starts that has only
    /// a key, which the next one replaces.
    pub(super) fn begin_entry(&mut self, dropped: Option<usize>) -> usize {
        if dropped.is_none() {
            self.separate();
        }
        self.text.len()
    }

    /// Removes a replaced key, and returns where the entry at `start` starts then.
    pub(super) fn replace(&mut self, dropped: Option<usize>, start: usize) -> usize {
        let Some(dropped) = dropped else { return start };
        self.text.drain(dropped..start);
        dropped
    }

    /// Makes a name of the key at `start`. Returns false if the key must be written by its
    /// [`canonical::name`]: it is no scalar, or its string has escapes. Names escape less than
    /// values that are characters.
    pub(super) fn end_key(&mut self, start: usize) -> bool {
        match self.text.get(start..).unwrap_or_default() {
            [b'"', rest @ ..] => !rest.contains(&b'\\'),
            [b'[' | b'{', ..] => false,
            _ => {
                self.text.insert(start, b'"');
                self.text.push(b'"');
                true
            }
        }
    }

    /// Begins the value of the entry at `start`, after its name.
    pub(super) fn begin_value(&mut self, start: usize) {
        self.entries.push(JsonEntry { start, quote: self.text.len().saturating_sub(1) });
        self.text.push(b':');
    }

    /// Ends the map that has the entries from `first` on, and perhaps a key without a value, which
    /// is dropped.
    pub(super) fn end_map(&mut self, first: usize, pending: Option<usize>) {
        if let Some(start) = pending {
            self.text.truncate(start);
            self.text.pop_if(|last| *last == b',');
        }
        if let Some(sorted) = self.sorted(first) {
            let start = self.entries.get(first).map_or(0, |entry| entry.start);
            self.text.truncate(start);
            self.text.extend_from_slice(&sorted);
        }
        self.entries.truncate(first);
        self.text.push(b'}');
    }

    /// The entries from `first` on in the order of their names, unless they have it.
    fn sorted(&self, first: usize) -> Option<Vec<u8>> {
        let text = |start, end| self.text.get(start..end).unwrap_or_default();
        let escaped = |entry: &JsonEntry| text(entry.start + 1, entry.quote);
        let entries = self.entries.get(first..).unwrap_or_default();
        let has_escapes = entries.iter().any(|entry| escaped(entry).contains(&b'\\'));
        if !has_escapes && entries.is_sorted_by_key(escaped) {
            return None;
        }
        let ends = entries.iter().skip(1).map(|next| next.start - 1).chain([self.text.len()]);
        let named = entries.iter().zip(ends);
        let named = named.map(|(entry, end)| (unescaped(escaped(entry)), text(entry.start, end)));
        let mut named: Vec<(Cow<'_, [u8]>, &[u8])> = named.collect();
        // Entries of one name keep their order.
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut sorted = Vec::with_capacity(self.text.len());
        for (_, entry) in named {
            if !sorted.is_empty() {
                sorted.push(b',');
            }
            sorted.extend_from_slice(entry);
        }
        Some(sorted)
    }
}

/// The bytes that order a name.
fn unescaped(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'\\') {
        return name.into();
    }
    let quoted = [b"\"", name, b"\""].concat();
    // It is a JSON string.
    serde_json::from_slice(&quoted).map_or(name.into(), |name: String| name.into_bytes().into())
}
