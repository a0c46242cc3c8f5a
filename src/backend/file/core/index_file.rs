//! Writes the index file of a segment, which makes opening faster.

use super::Core;
use super::segment::Segment;
use crate::backend::file::disk::write_file;
use crate::backend::file::format::hints::Hints;
use crate::backend::file::format::names;

impl Core {
    /// Writes the index file of a segment. Errors are ignored, because a missing index file is
    /// rebuilt from the segment.
    pub(crate) fn write_hints(&self, segment: &Segment, hints: &Hints) {
        let name = names::hints(segment.id);
        let temporary = self.path(&names::temporary(&name));
        let bytes = hints.to_bytes(segment.salt, self.secret);
        let written = write_file(&*self.disk, &temporary, &bytes)
            .and_then(|()| self.disk.rename(&temporary, &self.path(&name)));
        if written.is_err() {
            let _ = self.disk.remove(&temporary);
        }
    }
}
