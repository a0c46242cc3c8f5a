//! The names of the store's files.

/// Held under a lock while the store is open; holds the process id.
pub(crate) const LOCK: &str = "LOCK";
/// Which segments make up the store.
pub(crate) const MANIFEST: &str = "MANIFEST";
/// Space to give up when the disk is full.
pub(crate) const RESERVE: &str = "RESERVE";
/// Ends the name of a file that is not finished, or not yet listed in the manifest.
pub(crate) const TEMPORARY: &str = ".tmp";
/// Ends the name of a segment that a repair has replaced.
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

/// The number of the segment whose file has this name.
pub(crate) fn segment_id(name: &str) -> Option<u32> {
    numbered(name, ".seg")
}

/// The number of the segment whose index file has this name.
pub(crate) fn hints_id(name: &str) -> Option<u32> {
    numbered(name, ".idx")
}

/// Whether this is an unfinished file of the store.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.strip_suffix(TEMPORARY).is_some_and(|name| {
        name == MANIFEST || segment_id(name).is_some() || hints_id(name).is_some()
    })
}

fn numbered(name: &str, extension: &str) -> Option<u32> {
    let digits = name.strip_suffix(extension)?;
    // The highest number is never given, so that the next one is always one more.
    let id = digits.parse().ok().filter(|id| *id != u32::MAX)?;
    // Only the one spelling that the store itself uses.
    (format!("{id:08}") == digits).then_some(id)
}
