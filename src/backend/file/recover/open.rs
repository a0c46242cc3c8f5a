//! Opens a store: locks it, creates it if it does not exist, and removes the remains of a crash.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::directory::{absolute, lock, read_manifest};
use super::fill::{Filled, fill};
use super::load::{Loaded, OPERATION, load_all, open_segments};
use crate::backend::file::config::FileStoreConfig;
use crate::backend::file::core::Core;
use crate::backend::file::core::access::Access;
use crate::backend::file::core::log::{Active, Log};
use crate::backend::file::core::segment::Segments;
use crate::backend::file::disk::{Disk, LockedDir};
use crate::backend::file::errors::{REPAIR, corrupt, io_error};
use crate::backend::file::format::{Manifest, names};
use crate::backend::file::index::{Generations, Index};
use crate::error::Error;

/// Opens or creates the store that `config` describes.
pub(crate) fn open(disk: Arc<dyn Disk>, mut config: FileStoreConfig) -> Result<Core, Error> {
    config.check()?;
    config.dir = absolute(&config.dir, OPERATION)?;
    let dir = config.dir.as_path();
    disk.create_dir(dir).map_err(|error| io_error(OPERATION, dir, error))?;
    let lock = lock(&*disk, dir, OPERATION, true)?;
    let disk = Arc::new(LockedDir::new(disk, dir.to_owned(), lock));
    let files = disk.files(dir).map_err(|error| io_error(OPERATION, dir, error))?;
    let Some(manifest) = read_manifest(&*disk, dir, &files, OPERATION)? else {
        return create(disk, config, &files);
    };
    tidy(&*disk, dir, &files, &manifest)?;

    let opened = open_segments(&*disk, dir, &manifest)?;
    let mut loaded = load_all(&opened, &*disk, dir, &manifest, false)?;
    let Filled { index, segments, generations, replayed } = fill(&mut loaded, &manifest)?;
    let mut log = Log {
        active: None,
        next: None,
        next_seq: manifest.next_seq.max(replayed.max_seq.saturating_add(1)),
        retired: Vec::new(),
        scratch: Vec::new(),
    };
    let mut reseal = false;
    let mut unindexed = Vec::new();
    for Loaded { opened, hints, end, sealed, seal, segment, indexed, .. } in loaded {
        reseal |= sealed != opened.entry.sealed;
        let Some(segment) = segment else { continue };
        segment.synced.store(end, Ordering::Relaxed);
        if !sealed {
            log.active = Some(Active { segment, end, file_bytes: end, zeroed: end, hints, seal });
        } else if !indexed {
            unindexed.push((segment, hints));
        }
    }
    let core =
        Core::new(Access::Locked(disk), config, &manifest, index, segments, generations, log);
    core.snapshots.store(replayed.snapshots, Ordering::Relaxed);
    for (segment, hints) in unindexed {
        core.write_hints(&segment, &hints);
    }
    if reseal || !manifest.retired.is_empty() {
        let log = core.log();
        let sealed = core.manifest(&log, &core.segments.all());
        core.commit_manifest(OPERATION, &sealed)?;
    }
    Ok(core)
}

fn create(disk: Arc<LockedDir>, config: FileStoreConfig, files: &[String]) -> Result<Core, Error> {
    if let Some(orphan) = files.iter().find(|name| names::segment_id(name).is_some()) {
        let why = format!(
            "{} is missing, but there are segments such as {orphan}: {REPAIR}",
            names::MANIFEST
        );
        return Err(corrupt(OPERATION, &config.dir, why));
    }
    let store = (u128::from(disk.random()) | u128::from(disk.random()) << 64).to_le_bytes();
    let manifest = Manifest {
        store,
        secret: [disk.random(), disk.random()],
        next_seq: 1,
        next_id: 1,
        segments: Vec::new(),
        retired: Vec::new(),
    };
    let log =
        Log { active: None, next: None, next_seq: 1, retired: Vec::new(), scratch: Vec::new() };
    let parts = (Index::new(), Segments::new(manifest.next_id), Generations::default());
    let core = Core::new(Access::Locked(disk), config, &manifest, parts.0, parts.1, parts.2, log);
    core.commit_manifest(OPERATION, &manifest)?;
    Ok(core)
}

/// Completes or removes the files that a crash left. Fails if there is a segment that is not
/// listed.
fn tidy(disk: &dyn Disk, dir: &Path, files: &[String], manifest: &Manifest) -> Result<(), Error> {
    let listed = |id: u32| manifest.segments.binary_search_by_key(&id, |entry| entry.id).is_ok();
    let failed = |name: &str| {
        let path = dir.join(name);
        move |error| io_error(OPERATION, &path, error)
    };
    let mut changed = false;
    for name in files {
        let finished = name.strip_suffix(names::TEMPORARY);
        let id = finished.and_then(names::segment_id).filter(|id| listed(*id));
        if let (Some(finished), Some(_)) = (finished, id) {
            // A crash happened after the segment was listed and before it was renamed.
            if !files.iter().any(|name| name == finished) {
                disk.rename(&dir.join(name), &dir.join(finished)).map_err(failed(name))?;
                changed = true;
                continue;
            }
        }
        let retired = names::segment_id(name).or(names::hints_id(name)).is_some_and(|id| {
            manifest.retired.contains(&id) || (!listed(id) && names::hints_id(name).is_some())
        });
        if names::is_temporary(name) || retired {
            disk.remove(&dir.join(name)).map_err(failed(name))?;
            changed = true;
        } else if names::segment_id(name).is_some_and(|id| !listed(id)) {
            let why = format!(
                "{name} is not listed in {}: move it elsewhere, or run FileStore::repair()",
                names::MANIFEST
            );
            return Err(corrupt(OPERATION, dir, why));
        }
    }
    if changed {
        disk.sync_dir(dir).map_err(failed(""))?;
    }
    Ok(())
}
