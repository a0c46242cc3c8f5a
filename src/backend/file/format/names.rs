//! The names of the store's files.

/// Locked while the store is open. Contains the process id.
pub(crate) const LOCK: &str = "LOCK";
/// Lists the segments of the store.
pub(crate) const MANIFEST: &str = "MANIFEST";
/// Occupies space that is freed when the disk is full.
pub(crate) const RESERVE: &str = "RESERVE";
/// The suffix of a file that is unfinished or not yet listed in the manifest.
pub(crate) const TEMPORARY: &str = ".tmp";
/// The suffix of a segment that a repair has replaced.
pub(crate) const DAMAGED: &str = ".damaged";

pub(crate) fn segment(id: u32) -> String {
    format!("{id:08}.seg")
}

pub(crate) fn hints(id: u32) -> String {
    format!("{id:08}.idx")
}

pub(crate) fn temporary(name: &str) -> String {
    format!("{name}{TEMPORARY}")
}

/// Returns the number of the segment with this file name.
pub(crate) fn segment_id(name: &str) -> Option<u32> {
    numbered(name, ".seg")
}

/// Returns the number of the segment whose index file has this name.
pub(crate) fn hints_id(name: &str) -> Option<u32> {
    numbered(name, ".idx")
}

/// Returns whether this is the name of an unfinished file of the store.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.strip_suffix(TEMPORARY).is_some_and(|name| {
        name == MANIFEST || segment_id(name).is_some() || hints_id(name).is_some()
    })
}

fn numbered(name: &str, extension: &str) -> Option<u32> {
    let digits = name.strip_suffix(extension)?;
    // The highest number is never assigned, so that the next number is always higher by one.
    let id = digits.parse().ok().filter(|id| *id != u32::MAX)?;
    // Only the spelling that the store itself uses is accepted.
    (format!("{id:08}") == digits).then_some(id)
}
