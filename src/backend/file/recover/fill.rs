//! [`fill`]: the index of a store, from its loaded segments.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::load::{Loaded, OPERATION, Opened};
use super::replay::{Replayed, replay};
use crate::backend::file::core::segment::{Segment, Segments};
use crate::backend::file::format::Manifest;
use crate::backend::file::index::{Generations, Index};
use crate::error::{Error, ErrorKind};

/// What an open store has in memory.
pub(super) struct Filled {
    pub(super) index: Index,
    pub(super) segments: Segments,
    pub(super) generations: Generations,
    pub(super) replayed: Replayed,
}

/// Fills an index with the content of the segments, and gives each of them a slot.
pub(super) fn fill(loaded: &mut [Loaded<'_>], manifest: &Manifest) -> Result<Filled, Error> {
    let index = Index::new();
    let (segments, generations) = (Segments::new(manifest.next_id), Generations::default());
    for loaded in &mut *loaded {
        let Opened { entry, file } = &loaded.opened;
        let made = segments.add(|slot| Segment::new(entry.id, slot, entry.salt, Arc::clone(file)));
        let segment = made.ok_or_else(|| {
            let message =
                "the store has more segments than this release supports: upgrade snapfold";
            Error::new(ErrorKind::OutOfSpace, OPERATION, message)
        })?;
        segment.bytes.store(loaded.end, Ordering::Relaxed);
        segment.sealed.store(loaded.sealed, Ordering::Relaxed);
        loaded.segment = Some(segment);
    }
    index.expect_many();
    let replayed = replay(loaded, &index, &segments, &generations)?;
    index.settle();
    Ok(Filled { index, segments, generations, replayed })
}
