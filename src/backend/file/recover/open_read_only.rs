//! Opens a store for reading only, beside a process that may be writing to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::directory::absolute;
use super::fill::{Filled, fill};
use super::load::{OPERATION, Opened, check_head, load_all, refusal};
use super::view::view;
use crate::backend::file::config::FileStoreConfig;
use crate::backend::file::core::Core;
use crate::backend::file::core::access::Access;
use crate::backend::file::core::log::Log;
use crate::backend::file::core::tail::OpenTail;
use crate::backend::file::disk::{Disk, ReadOnlyDisk};
use crate::backend::file::errors::{REPAIR, corrupt};
use crate::backend::file::format::names;
use crate::error::Error;

/// Opens the store that `config` describes, without its lock. Changes nothing on the disk.
pub(crate) fn open_read_only(
    disk: Arc<dyn Disk>,
    mut config: FileStoreConfig,
) -> Result<Core, Error> {
    config.check()?;
    config.dir = absolute(&config.dir, OPERATION)?;
    let dir = config.dir.clone();
    let disk = Arc::new(ReadOnlyDisk::new(disk));
    let view = view(&*disk, &dir, OPERATION)?.ok_or_else(|| {
        corrupt(OPERATION, &dir, "the directory does not contain a store: check the path")
    })?;
    if let Some(name) = view.strangers.first() {
        let manifest = names::MANIFEST;
        let why = format!("{name} is not listed in {manifest}: move it elsewhere, or {REPAIR}");
        return Err(corrupt(OPERATION, &dir, why));
    }
    let mut opened = Vec::with_capacity(view.segments.len());
    for (entry, file) in view.segments {
        let path = dir.join(names::segment(entry.id));
        let file = file.ok_or_else(|| refusal(&path, "the file is missing"))?;
        check_head(&*file, &view.manifest, &entry, &path)?;
        opened.push(Opened { entry, file });
    }
    let mut loaded = load_all(&opened, &*disk, &dir, &view.manifest, true)?;
    let Filled { index, segments, generations, replayed } = fill(&mut loaded, &view.manifest)?;
    let mut tail = OpenTail::default();
    for loaded in loaded {
        if let (Some(segment), false) = (loaded.segment, loaded.unproven.is_empty()) {
            tail = OpenTail { slot: segment.slot, salt: segment.salt, frames: loaded.unproven };
        }
    }
    let log =
        Log { active: None, next: None, next_seq: 1, retired: Vec::new(), scratch: Vec::new() };
    let access = Access::ReadOnly(disk);
    let mut core = Core::new(access, config, &view.manifest, index, segments, generations, log);
    core.tail = Some(tail);
    core.snapshots.store(replayed.snapshots, Ordering::Relaxed);
    Ok(core)
}
