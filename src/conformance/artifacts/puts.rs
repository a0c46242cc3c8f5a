//! What is put is stored exactly if it is right.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::context::{ArtifactContext, done, holds, in_pieces, put, read, same, stored, unseen};
use crate::artifact::{Artifact, ArtifactId, ArtifactOutcome};
use crate::conformance::case::cases;
use crate::conformance::failure::Stop;
use crate::error::{Error, ErrorKind};

cases! {
    artifacts Artifacts:
    "every node finds what was put, byte for byte", ["A-04", "A-10", "A-20", "A-21"], found;
    "large artifacts come back", ["A-10", "A-21"], large;
    "an artifact is found when the store is opened again", ["A-04"], reopened;
    "content with another size or hash is not stored", ["A-06", "A-10"], wrong;
    "an artifact that is stored is kept with its type", ["A-11", "A-20"], kept;
    "content that ends with an error is not stored", ["A-12"], broken;
    "content that is too long is not read to its end", ["A-10", "A-13"], endless;
    "the capabilities do not change", ["A-07"], constant;
}

const TYPES: [&str; 4] =
    ["image/png", "text/html; charset=utf-8", "x", "application/vnd.snapfold.record"];

async fn found(case: &mut ArtifactContext) -> Result<(), Stop> {
    for (place, bytes) in [0, 1, 64, 1_000, 65_536, 150_001].into_iter().enumerate() {
        let content = case.content(bytes);
        let content_type = TYPES.get(place % TYPES.len()).copied().unwrap_or_default();
        let artifact = Artifact::of(&content).content_type(content_type);
        let outcome = put(&*case.node(place)?, "", &artifact, &content).await?;
        same("A-10", "put an artifact", &outcome, &ArtifactOutcome::Stored)?;
        for node in 0..3 {
            let node = case.node(node)?;
            holds("A-04", &*node, "", &content).await?;
            let head = done("A-20", "look for an artifact", node.head("", &artifact.id).await)?;
            same("A-20", "look for an artifact", &head, &Some(artifact.clone()))?;
            let got = done("A-20", "get an artifact", node.get("", &artifact.id, None).await)?;
            let got = got.map(|found| found.artifact);
            same("A-20", "the description of content", &got, &Some(artifact.clone()))?;
        }
    }
    Ok(())
}

async fn large(case: &mut ArtifactContext) -> Result<(), Stop> {
    // Around the sizes in which object stores take parts.
    for bytes in [1 << 20, 5 << 20, (8 << 20) + 1, 17 << 20] {
        if bytes as u64 > case.capabilities.max_bytes {
            continue;
        }
        let content = case.content(bytes);
        let artifact = Artifact::of(&content);
        let pieces = in_pieces(&content, 777_777);
        let outcome = case.node(0)?.put("", &artifact, pieces).await;
        let outcome = done("A-10", "put a large artifact", outcome)?;
        same("A-10", "put a large artifact", &outcome, &ArtifactOutcome::Stored)?;
        holds("A-10", &*case.node(1)?, "", &content).await?;
    }
    Ok(())
}

async fn reopened(case: &mut ArtifactContext) -> Result<(), Stop> {
    if !case.capabilities.durable {
        return Err(Stop::Skipped("ArtifactCapabilities::durable"));
    }
    let content = case.content(1_000);
    stored(&*case.node(0)?, "t", &content).await?;
    let node = case.reopen().await?;
    holds("A-04", &*node, "t", &content).await
}

async fn wrong(case: &mut ArtifactContext) -> Result<(), Stop> {
    for bytes in [1_000, 65_536, 100_000] {
        let content = case.content(bytes);
        let (artifact, other) = (Artifact::of(&content), case.content(bytes));
        let size = artifact.size;
        let longer = Bytes::from([&content[..], b"x"].concat());
        let hash = ArtifactOutcome::WrongHash { found: ArtifactId::of(&other) };
        let short = |found| ArtifactOutcome::WrongSize { found };
        let store = &*case.node(0)?;
        for (given, expected) in [
            (content.slice(..bytes - 1), short(size - 1)),
            (Bytes::new(), short(0)),
            (longer, short(size + 1)),
            (other, hash),
        ] {
            let outcome = store.put("t", &artifact, in_pieces(&given, bytes)).await;
            let outcome = done("A-10", "put wrong content", outcome)?;
            same("A-10", "put wrong content", &outcome, &expected)?;
            unseen("A-06", store, "t", &artifact.id).await?;
        }
        let outcome = put(store, "t", &artifact, &content).await?;
        same("A-10", "put right content", &outcome, &ArtifactOutcome::Stored)?;
        holds("A-10", store, "t", &content).await?;
    }
    Ok(())
}

async fn kept(case: &mut ArtifactContext) -> Result<(), Stop> {
    let content = case.content(5_000);
    let artifact = Artifact::of(&content).content_type("image/png");
    put(&*case.node(0)?, "t", &artifact, &content).await?;
    let html = Artifact::of(&content).content_type("text/html");
    let junk = Bytes::from_static(b"something else");
    for (place, given) in [&content, &junk, &Bytes::new()].into_iter().enumerate() {
        let store = case.node(place)?;
        let outcome = put(&*store, "t", &html, given).await?;
        same("A-11", "put a stored artifact", &outcome, &ArtifactOutcome::Existing)?;
        let head = done("A-20", "look for an artifact", store.head("t", &artifact.id).await)?;
        same("A-11", "the description of a stored artifact", &head, &Some(artifact.clone()))?;
        holds("A-11", &*store, "t", &content).await?;
    }
    Ok(())
}

async fn broken(case: &mut ArtifactContext) -> Result<(), Stop> {
    for bytes in [0, 1_000, 100_000] {
        let content = case.content(bytes);
        let artifact = Artifact::of(&content);
        let store = &*case.node(0)?;
        // All of the content is there before the error, but its sender took it back.
        let error = Error::new(ErrorKind::Timeout, "read a body", "the client is gone");
        let pieces = in_pieces(&content, 500_000).chain(stream::iter([Err(error.clone())]));
        let outcome = store.put("t", &artifact, pieces.boxed()).await;
        let told = outcome.map_err(|error| (error.kind(), error.to_string()));
        let expected = Err((error.kind(), error.to_string()));
        same("A-12", "put content that ends with an error", &told, &expected)?;
        unseen("A-12", store, "t", &artifact.id).await?;
    }
    Ok(())
}

async fn endless(case: &mut ArtifactContext) -> Result<(), Stop> {
    const PIECE: &[u8] = &[7; 4_096];
    const PIECES: usize = 20_000;
    for bytes in [0, 10_000, 100_000] {
        let artifact = Artifact::new(ArtifactId::of(b"anything"), bytes);
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        let pieces = stream::repeat(Bytes::from_static(PIECE)).take(PIECES).map(move |piece| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(piece)
        });
        let outcome = case.node(0)?.put("t", &artifact, pieces.boxed()).await;
        let outcome = done("A-10", "put endless content", outcome)?;
        let is_wrong = matches!(outcome, ArtifactOutcome::WrongSize { found } if found > bytes);
        same("A-10", "the outcome for endless content", &is_wrong, &true)?;
        let stopped = read.load(Ordering::SeqCst) < PIECES;
        same("A-13", "stop reading content that is too long", &stopped, &true)?;
    }
    Ok(())
}

async fn constant(case: &mut ArtifactContext) -> Result<(), Stop> {
    let content = case.content(10);
    let artifact = stored(&*case.node(0)?, "t", &content).await?;
    read(&*case.node(0)?, "t", &artifact.id).await?;
    for node in 0..4 {
        let again = case.node(node)?.capabilities();
        same("A-07", "the capabilities", &again, &case.capabilities)?;
    }
    Ok(())
}
