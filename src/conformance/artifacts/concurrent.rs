//! Many tasks at once, and calls that are dropped.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::context::{ArtifactContext, done, holds, in_pieces, put, read, same, stored};
use crate::artifact::{Artifact, ArtifactOutcome, ArtifactStore, in_one_piece};
use crate::conformance::case::cases;
use crate::conformance::cut_off::poll_times;
use crate::conformance::failure::{Failure, Stop, ensure};

cases! {
    artifacts Concurrent:
    "many writers of one artifact all succeed", ["A-06", "A-11"], writers;
    "wrong content beside right content is never seen", ["A-06", "A-10"], liars;
    "a dropped put stores everything or nothing", ["A-05", "A-06"], cancelled;
    "a dropped read leaves the store usable", ["A-05"], abandoned;
    "an artifact that comes and goes is seen whole or not at all", ["A-06"], flicker;
}

async fn writers(case: &mut ArtifactContext) -> Result<(), Stop> {
    for round in 0..6 {
        let content = case.content(if round == 0 { 100_000 } else { 20_000 });
        let outcomes = case
            .at_once(if round == 0 { 4 } else { 16 }, |task, store: Arc<dyn ArtifactStore>| {
                let content = content.clone();
                async move {
                    let artifact = Artifact::of(&content).content_type(format!("text/{task}"));
                    put(&*store, "t", &artifact, &content).await
                }
            })
            .await?;
        let all = outcomes.iter().all(|outcome| outcome.is_stored());
        same("A-11", "the outcomes of many writers", &all, &true)?;
        let first = outcomes.contains(&ArtifactOutcome::Stored);
        same("A-11", "one of many writers stores the artifact", &first, &true)?;
        holds("A-11", &*case.node(0)?, "t", &content).await?;
        let head = case.node(0)?.head("t", &Artifact::of(&content).id).await;
        let head = done("A-20", "look for an artifact", head)?;
        let known = head.is_some_and(|found| found.content_type.starts_with("text/"));
        same("A-11", "the content type is that of a writer", &known, &true)?;
    }
    Ok(())
}

/// Reads an artifact, which must be right if it is there.
async fn glance(store: &dyn ArtifactStore, content: &Bytes) -> Result<bool, Stop> {
    let artifact = Artifact::of(content);
    let head = done("A-06", "look for an artifact", store.head("t", &artifact.id).await)?;
    if let Some(head) = &head {
        same("A-06", "the size of an artifact", &head.size, &artifact.size)?;
    }
    let found = done("A-06", "get an artifact", store.get("t", &artifact.id, None).await)?;
    let Some(found) = found else { return Ok(false) };
    // What is deleted meanwhile may end with an error.
    if let Ok(bytes) = found.bytes(content.len()).await {
        ensure(bytes.as_ref() == Some(content), || {
            let got = bytes.map(|bytes| Artifact::of(&bytes));
            Failure::new("A-06", "read an artifact")
                .expected(format!("{artifact:?}"))
                .got(format!("{got:?}"))
        })?;
    }
    Ok(true)
}

async fn liars(case: &mut ArtifactContext) -> Result<(), Stop> {
    for bytes in [3_000, 100_000] {
        let (content, other) = (case.content(bytes), case.content(bytes));
        let outcomes = case
            .at_once(9, |task, store: Arc<dyn ArtifactStore>| {
                let (content, other) = (content.clone(), other.clone());
                async move {
                    let artifact = Artifact::of(&content);
                    match task % 3 {
                        0 => put(&*store, "t", &artifact, &other).await.map(Some),
                        1 => put(&*store, "t", &artifact, &content.slice(1..)).await.map(Some),
                        _ => {
                            for _ in 0..4 {
                                glance(&*store, &content).await?;
                                tokio::task::yield_now().await;
                            }
                            Ok(None)
                        }
                    }
                }
            })
            .await?;
        let lied = outcomes.into_iter().flatten().any(ArtifactOutcome::is_stored);
        same("A-10", "wrong content is stored", &lied, &false)?;
        same("A-06", "wrong content is seen", &glance(&*case.node(0)?, &content).await?, &false)?;
    }
    Ok(())
}

async fn cancelled(case: &mut ArtifactContext) -> Result<(), Stop> {
    for bytes in [2_000, 100_000] {
        for polls in (0..6).chain([12, 24]) {
            let store = case.node(0)?;
            let content = case.content(bytes);
            let artifact = Artifact::of(&content);
            let pieces = in_pieces(&content, content.len().div_ceil(10));
            let call = store.put("t", &artifact, pieces);
            if let Some(outcome) = poll_times(call, polls).await {
                let outcome = done("A-10", "put an artifact", outcome)?;
                same("A-10", "put an artifact", &outcome, &ArtifactOutcome::Stored)?;
                holds("A-05", &*store, "t", &content).await?;
                continue;
            }
            glance(&*case.node(1)?, &content).await?;
            let again = store.put("t", &artifact, in_one_piece(content.clone())).await;
            let again = done("A-05", "put again after a dropped put", again)?;
            same("A-05", "put again after a dropped put", &again.is_stored(), &true)?;
            holds("A-05", &*store, "t", &content).await?;
        }
    }
    Ok(())
}

async fn abandoned(case: &mut ArtifactContext) -> Result<(), Stop> {
    let store = case.node(0)?;
    let content = case.content(100_000);
    let artifact = stored(&*store, "t", &content).await?;
    for pieces in 0..3 {
        let found = done("A-21", "get an artifact", store.get("t", &artifact.id, None).await)?;
        let Some(mut found) = found else { continue };
        for _ in 0..pieces {
            poll_times(found.content.next(), 1).await;
        }
        drop(found);
        poll_times(store.head("t", &artifact.id), 1).await;
        poll_times(store.list("t", None, 5), 1).await;
        holds("A-05", &*store, "t", &content).await?;
    }
    for polls in 0..3 {
        poll_times(store.delete("t", &artifact.id), polls).await;
        let found = read(&*store, "t", &artifact.id).await?;
        let whole = found.is_none_or(|found| found == content);
        same("A-05", "an artifact after a dropped delete", &whole, &true)?;
    }
    Ok(())
}

async fn flicker(case: &mut ArtifactContext) -> Result<(), Stop> {
    let content = case.content(50_000);
    case.at_once(8, |task, store: Arc<dyn ArtifactStore>| {
        let content = content.clone();
        async move {
            let artifact = Artifact::of(&content);
            for _ in 0..20 {
                match task % 4 {
                    0 => {
                        let outcome = put(&*store, "t", &artifact, &content).await?;
                        same("A-10", "put an artifact", &outcome.is_stored(), &true)?;
                    }
                    1 => {
                        let deleted = store.delete("t", &artifact.id).await;
                        done("A-30", "delete an artifact", deleted)?;
                    }
                    _ => drop(glance(&*store, &content).await?),
                }
                tokio::task::yield_now().await;
            }
            Ok(())
        }
    })
    .await
    .map(drop)
}
