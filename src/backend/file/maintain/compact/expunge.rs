//! Rewrites the segments that contain records of an aggregate whose snapshots were deleted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::candidate;
use super::output::OPERATION;
use crate::backend::file::core::Core;
use crate::backend::file::core::segment::Segment;
use crate::backend::file::format::HEAD_BYTES;
use crate::backend::file::format::hints::What;
use crate::backend::file::format::names;
use crate::backend::file::format::tag::Tag;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;

impl Core {
    /// Rewrites each segment that contains a dead record of `key`. Returns how many. A record that
    /// is put during the call may be left.
    pub(crate) fn expunge(&self, key: &AggregateKey) -> Result<u64, Error> {
        let tag = self.tag(key);
        let _maintenance = self.maintenance.turn();
        self.health.check_writable(OPERATION)?;
        self.end_segment()?;
        let mut rewritten = 0;
        for segment in self.segments.all() {
            if segment.sealed.load(Ordering::Acquire) && self.has_records(&segment, tag)? {
                self.rewrite_segment(segment)?;
                rewritten += 1;
            }
        }
        // Their files must be gone, not only unlisted.
        let left = self.log().retired.first().copied();
        if let Some(id) = left {
            let path = self.path(&names::segment(id));
            let message = format!("{} could not be removed: remove it by hand", path.display());
            return Err(Error::new(ErrorKind::Store, "erase snapshots", message));
        }
        Ok(rewritten)
    }

    /// Returns whether a segment contains a record of this aggregate, or marks of one.
    fn has_records(&self, segment: &Segment, tag: Tag) -> Result<bool, Error> {
        let mut found = false;
        let whole = self.hints_of(segment)?.read(|hint| {
            found |= hint.tag == tag && !matches!(hint.what, What::Delete(_));
        });
        if whole.is_none() {
            return Err(self.damaged(segment, HEAD_BYTES));
        }
        Ok(found)
    }

    fn rewrite_segment(&self, segment: Arc<Segment>) -> Result<(), Error> {
        let all = self.segments.all();
        let others: Vec<_> = all
            .iter()
            .filter(|other| other.id != segment.id)
            .map(|other| candidate(other))
            .collect();
        let victims = [segment];
        let mut output = None;
        self.copy_all(&victims, &others, &mut output, &mut |_| true)?;
        self.replace(&victims, output).map(drop)
    }
}
