//! What is stored is read, in whole or in part, until it is deleted.

use std::ops::Range;

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::context::{ArtifactContext, done, holds, read, same, stored, unseen};
use crate::artifact::{ArtifactId, FoundArtifact};
use crate::conformance::case::cases;
use crate::conformance::failure::{Failure, Stop, ensure};

cases! {
    artifacts Artifacts:
    "a missing artifact is not an error", ["A-02"], missing;
    "a range is cut to the bytes that there are", ["A-21", "A-22"], ranges;
    "a deleted artifact is gone until it is stored again", ["A-02", "A-30"], deleted;
    "an artifact that is deleted while it is read ends whole or with an error", ["A-21"], underfoot;
}

async fn missing(case: &mut ArtifactContext) -> Result<(), Stop> {
    let store = &*case.node(0)?;
    let id = ArtifactId::of(b"missing");
    unseen("A-02", store, "", &id).await?;
    done("A-02", "delete a missing artifact", store.delete("", &id).await)?;
    let part = done("A-02", "get a part of nothing", store.get("", &id, Some(0..5)).await)?;
    same("A-02", "get a part of nothing", &part.map(|part| part.range), &None)?;
    let page = done("A-02", "list nothing", store.list("", Some(&id), 5).await)?;
    same("A-02", "list nothing", &(page.items, page.next), &(Vec::new(), None))
}

async fn ranges(case: &mut ArtifactContext) -> Result<(), Stop> {
    for size in [0_u64, 1, 1_000, 100_000] {
        let content = case.content(usize::try_from(size).unwrap_or(0));
        let artifact = stored(&*case.node(0)?, "t", &content).await?;
        let asked = [
            0..0,
            0..1,
            0..size,
            0..size + 1,
            0..u64::MAX,
            1..2,
            size / 2..size,
            size.saturating_sub(1)..size,
            size.saturating_sub(1)..size + 100,
            size..size,
            size..size + 1,
            size + 1..size + 5,
            u64::MAX - 1..u64::MAX,
            // Ends before it starts.
            Range { start: 5, end: 2 },
        ];
        for range in asked {
            let found = case.node(1)?.get("t", &artifact.id, Some(range.clone())).await;
            let what = format!("get the bytes {range:?} of {size}");
            let Some(found) = done("A-22", &what, found)? else {
                return Err(Failure::new("A-22", what).expected("an artifact").got("none").into());
            };
            let part = FoundArtifact::clamped(Some(range), size);
            same("A-22", &what, &found.range, &part)?;
            same("A-20", &what, &found.artifact, &artifact)?;
            let at = |place| usize::try_from(place).unwrap_or(usize::MAX);
            let expected = content.slice(at(part.start)..at(part.end));
            let bytes = done("A-22", &what, found.bytes(content.len()).await)?;
            ensure(bytes.as_ref() == Some(&expected), || {
                let got = bytes.map(|bytes| bytes.len());
                let expected = format!("these {} bytes", expected.len());
                Failure::new("A-22", what).expected(expected).got(format!("{got:?} bytes"))
            })?;
        }
    }
    Ok(())
}

async fn deleted(case: &mut ArtifactContext) -> Result<(), Stop> {
    let (content, other) = (case.content(2_000), case.content(2_000));
    let store = &*case.node(0)?;
    stored(store, "t", &other).await?;
    for round in 0..3 {
        let artifact = stored(store, "t", &content).await?;
        let node = case.node(round)?;
        done("A-30", "delete an artifact", node.delete("t", &artifact.id).await)?;
        for node in 0..3 {
            unseen("A-30", &*case.node(node)?, "t", &artifact.id).await?;
        }
        done("A-02", "delete an artifact again", node.delete("t", &artifact.id).await)?;
        holds("A-30", store, "t", &other).await?;
    }
    stored(store, "t", &content).await?;
    holds("A-30", store, "t", &content).await
}

async fn underfoot(case: &mut ArtifactContext) -> Result<(), Stop> {
    let content = case.content(100_000);
    let store = &*case.node(0)?;
    let artifact = stored(store, "t", &content).await?;
    let found = done("A-21", "get an artifact", store.get("t", &artifact.id, None).await)?;
    let Some(mut found) = found else {
        return Err(Failure::new("A-21", "get an artifact").expected("one").got("none").into());
    };
    let first = found.content.next().await;
    done("A-30", "delete an artifact", case.node(1)?.delete("t", &artifact.id).await)?;
    let (mut whole, mut failed) = (Vec::new(), false);
    let mut next = first;
    while let Some(piece) = next {
        match piece {
            Ok(piece) => whole.extend_from_slice(&piece),
            Err(_) => failed = true,
        }
        next = if failed { None } else { found.content.next().await };
    }
    let right = if failed { content.starts_with(&whole) } else { content == whole };
    same("A-21", "what is read of a deleted artifact is right", &right, &true)?;
    let again: Option<Bytes> = read(store, "t", &artifact.id).await?;
    same("A-30", "read a deleted artifact again", &again.map(|content| content.len()), &None)
}
