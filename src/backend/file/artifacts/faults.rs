//! Artifacts on a simulated disk that loses power, fails or is full at each call in turn.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::FileArtifacts;
use crate::artifact::{Artifact, ArtifactOutcome, ArtifactStore as _, in_one_piece};
use crate::backend::file::disk::Disk as _;
use crate::backend::file::disk::sim::{Call, SimDisk, Survival};
use crate::error::{Error, ErrorKind};

const DIR: &str = "/artifacts";
/// Three chunks, which are three writes, and one, with the content types.
const CONTENTS: [(usize, &str); 3] = [(600_000, "image/png"), (700, "text/plain"), (0, "x")];

fn open(disk: &SimDisk) -> Result<FileArtifacts, Error> {
    FileArtifacts::open_on(Arc::new(disk.clone()), Path::new(DIR))
}

fn content(bytes: usize) -> (Artifact, Vec<u8>) {
    let content: Vec<u8> = (0..bytes).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
    (Artifact::of(&content), content)
}

async fn put(store: &FileArtifacts, bytes: usize, content_type: &str) -> Result<(), Error> {
    let (artifact, content) = content(bytes);
    let pieces = content.chunks(50_000).map(|piece| Ok(piece.to_vec().into()));
    let pieces: Vec<Result<bytes::Bytes, Error>> = pieces.collect();
    let pieces = futures_util::StreamExt::boxed(futures_util::stream::iter(pieces));
    let outcome = store.put("t", &artifact.content_type(content_type), pieces).await?;
    assert!(outcome.is_stored(), "{outcome:?}");
    Ok(())
}

/// Returns whether an artifact is there. It must be right if it is.
async fn holds(store: &FileArtifacts, bytes: usize, content_type: &str) -> bool {
    let (artifact, content) = content(bytes);
    let found = store.get("t", &artifact.id, None).await.unwrap();
    let listed = store.list("t", None, 10).await.unwrap().items;
    assert_eq!(listed.iter().any(|item| item.id == artifact.id), found.is_some());
    let Some(found) = found else { return false };
    assert_eq!(found.artifact, artifact.content_type(content_type));
    assert_eq!(found.bytes(bytes).await.unwrap().unwrap(), content);
    true
}

fn drafts(disk: &SimDisk) -> Vec<String> {
    disk.files(&Path::new(DIR).join("tmp")).unwrap()
}

/// Puts everything, and deletes the second one. Returns which were acknowledged last: there, gone,
/// or neither.
async fn work(disk: &SimDisk) -> [Option<bool>; 3] {
    let mut told = [Some(false); 3];
    let Ok(store) = open(disk) else { return told };
    for ((bytes, content_type), told) in CONTENTS.into_iter().zip(&mut told) {
        *told = put(&store, bytes, content_type).await.ok().map(|()| true);
    }
    let deleted = store.delete("t", &content(CONTENTS[1].0).0.id).await;
    told[1] = if deleted.is_ok() { Some(false) } else { None };
    told
}

#[tokio::test]
async fn a_power_failure_at_any_call_loses_nothing_that_was_acknowledged() {
    let whole = SimDisk::new(1);
    assert_eq!(work(&whole).await, [Some(true), Some(false), Some(true)]);
    let calls = whole.calls();
    assert!(calls > 25, "{calls} calls");
    let survivals = [Survival::Nothing, Survival::Everything].into_iter();
    let survivals: Vec<_> = survivals.chain((0..6).map(Survival::Random)).collect();
    let (mut left, mut kept) = (0, 0);
    // After the last call, the power fails when everything is done.
    for at in 1..=calls + 1 {
        let disk = SimDisk::new(1);
        disk.crash_at(at);
        let told = work(&disk).await;
        assert_eq!(disk.has_crashed(), at <= calls);
        for survival in &survivals {
            let disk = disk.after_crash(*survival);
            left += drafts(&disk).len();
            let store = open(&disk).unwrap();
            assert_eq!(drafts(&disk), [""; 0], "call {at}, {survival:?}");
            for ((bytes, content_type), told) in CONTENTS.into_iter().zip(told) {
                let is_there = holds(&store, bytes, content_type).await;
                assert!(told.is_none_or(|told| told == is_there), "call {at}, {survival:?}");
                kept += usize::from(is_there);
                put(&store, bytes, content_type).await.unwrap();
                assert!(holds(&store, bytes, content_type).await);
            }
        }
    }
    assert!(left > 50 && kept > 50, "{left} drafts, {kept} artifacts");
}

#[tokio::test]
async fn a_call_that_fails_leaves_the_store_usable() {
    for call in [Call::Create, Call::Write, Call::Sync, Call::Link, Call::Remove, Call::SyncDir] {
        let disk = SimDisk::new(2);
        work(&disk).await;
        let count = disk.count(call);
        assert!(count > 0, "{call:?}");
        for nth in 1..=count {
            let disk = SimDisk::new(2);
            disk.fail(call, nth, io::ErrorKind::Other);
            let told = work(&disk).await;
            let store = open(&disk).unwrap();
            for ((bytes, content_type), told) in CONTENTS.into_iter().zip(told) {
                let is_there = holds(&store, bytes, content_type).await;
                assert!(told.is_none_or(|told| told == is_there), "{call:?} {nth}");
                put(&store, bytes, content_type).await.unwrap();
                assert!(holds(&store, bytes, content_type).await);
            }
            assert_eq!(drafts(&disk), [""; 0], "{call:?} {nth}");
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_reported_and_no_space_is_lost() {
    let disk = SimDisk::new(3);
    let store = open(&disk).unwrap();
    put(&store, 5_000, "x").await.unwrap();
    let used = disk.used();
    disk.limit_space(Some(used + 400_000));
    for bytes in [400_001, 600_000, 2_000_000] {
        let error = put(&store, bytes, "x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfSpace);
        assert!(!holds(&store, bytes, "x").await);
        assert_eq!((disk.used(), drafts(&disk).len()), (used, 0));
    }
    put(&store, 300_000, "x").await.unwrap();
    assert!(holds(&store, 300_000, "x").await && holds(&store, 5_000, "x").await);
}

#[tokio::test]
async fn what_was_stored_a_moment_ago_is_synced_before_it_is_called_existing() {
    let disk = SimDisk::new(4);
    let store = open(&disk).unwrap();
    // The name is given, and not synced yet: as if another process were just there.
    disk.fail(Call::SyncDir, disk.count(Call::SyncDir) + 1, io::ErrorKind::Other);
    put(&store, 700, "x").await.unwrap_err();
    let (artifact, bytes) = content(700);
    let outcome = store.put("t", &artifact, in_one_piece(bytes)).await.unwrap();
    assert_eq!(outcome, ArtifactOutcome::Existing);
    let disk = disk.after_crash(Survival::Nothing);
    assert!(holds(&open(&disk).unwrap(), 700, "x").await);
}
