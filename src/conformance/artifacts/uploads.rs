//! What clients send to the storage becomes an artifact exactly if it is right.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::context::{ArtifactContext, done, holds, listed, now, read, same, stored, unseen};
use super::hostile::TENANTS;
use crate::artifact::{Artifact, ArtifactId, ArtifactOutcome, ArtifactStore, Upload};
use crate::conformance::case::{cases, needs};
use crate::conformance::cut_off::poll_times;
use crate::conformance::failure::{Failure, Stop, ensure};
use crate::timestamp::Timestamp;

cases! {
    artifacts Uploads:
    "without an upload, finish returns what is stored", ["A-60"], nothing;
    "an upload is an artifact when it is finished, and not before", ["A-50", "A-61"], finished;
    "wrong uploads are removed, and the client can upload again", ["A-06", "A-61", "A-62"], wrong;
    "finishing twice is like finishing once", ["A-60", "A-62"], twice;
    "many nodes can finish one upload", ["A-60", "A-61"], raced;
    "uploads with different names do not affect each other", ["A-01", "A-51"], apart;
    "what clients send while an upload is finished is never seen unchecked", ["A-06"], meddled;
    "a sweep removes unfinished uploads and nothing else", ["A-70"], swept;
    "a sweep while uploads are finished loses no artifact", ["A-70"], swept_meanwhile;
    "a dropped finish can be repeated", ["A-05", "A-60"], cancelled;
}

async fn finish(store: &dyn ArtifactStore, upload: Upload<'_>) -> Result<ArtifactOutcome, Stop> {
    done("A-61", "finish an upload", store.finish(upload).await)
}

fn signs(case: &ArtifactContext) -> Result<(), Stop> {
    needs(case.capabilities.signs_uploads, "ArtifactCapabilities::signs_uploads")
}

async fn nothing(case: &mut ArtifactContext) -> Result<(), Stop> {
    let content = case.content(100);
    let (store, artifact) = (case.node(0)?, Artifact::of(&content));
    let upload = Upload::new("t", "u", &artifact);
    let outcome = finish(&*store, upload).await?;
    same("A-60", "finish an upload of nothing", &outcome, &ArtifactOutcome::Missing)?;
    stored(&*store, "t", &content).await?;
    let outcome = finish(&*store, upload).await?;
    same("A-60", "finish an upload of what is stored", &outcome, &ArtifactOutcome::Existing)?;
    let elsewhere = finish(&*store, Upload::new("other", "u", &artifact)).await?;
    same("A-01", "finish what another tenant has", &elsewhere, &ArtifactOutcome::Missing)?;
    let swept = done("A-70", "sweep", store.sweep(Timestamp::MAX).await)?;
    same("A-70", "sweep without uploads", &swept, &0)?;
    holds("A-70", &*store, "t", &content).await
}

async fn finished(case: &mut ArtifactContext) -> Result<(), Stop> {
    signs(case)?;
    for bytes in [0, 1, 5_000, 100_000] {
        let content = case.content(bytes);
        let artifact = Artifact::of(&content).content_type("image/png");
        let upload = Upload::new("t", "u", &artifact);
        case.sent(upload, &content).await?;
        for node in 0..2 {
            unseen("A-50", &*case.node(node)?, "t", &artifact.id).await?;
        }
        let outcome = finish(&*case.node(1)?, upload).await?;
        same("A-61", "finish a right upload", &outcome, &ArtifactOutcome::Stored)?;
        holds("A-61", &*case.node(2)?, "t", &content).await?;
        let head = case.node(2)?.head("t", &artifact.id).await;
        let head = done("A-20", "look for an artifact", head)?;
        same("A-20", "the description of an upload", &head, &Some(artifact))?;
    }
    same("A-40", "list uploads", &listed(&*case.node(0)?, "t", 2).await?.len(), &4)
}

async fn wrong(case: &mut ArtifactContext) -> Result<(), Stop> {
    signs(case)?;
    for bytes in [1_000, 100_000] {
        let content = case.content(bytes);
        let (artifact, other) = (Artifact::of(&content), case.content(bytes));
        let upload = Upload::new("t", "u", &artifact);
        let store = case.node(0)?;
        let short = |given: &Bytes| ArtifactOutcome::WrongSize { found: given.len() as u64 };
        let longer = Bytes::from([&content[..], b"more"].concat());
        let hash = ArtifactOutcome::WrongHash { found: ArtifactId::of(&other) };
        for (given, expected) in [
            (content.slice(1..), Some(short(&content.slice(1..)))),
            (Bytes::new(), Some(short(&Bytes::new()))),
            // How much of it is read is open.
            (longer, None),
            (other, Some(hash)),
        ] {
            case.sent(upload, &given).await?;
            let outcome = finish(&*store, upload).await?;
            let size = artifact.size;
            let right = match expected {
                Some(expected) => outcome == expected,
                None => matches!(outcome, ArtifactOutcome::WrongSize { found } if found > size),
            };
            ensure(right, || {
                Failure::new("A-61", "finish a wrong upload")
                    .expected(format!("{expected:?}"))
                    .got(format!("{outcome:?}"))
            })?;
            unseen("A-06", &*store, "t", &artifact.id).await?;
            let again = finish(&*store, upload).await?;
            same("A-62", "finish a removed upload", &again, &ArtifactOutcome::Missing)?;
        }
        case.sent(upload, &content).await?;
        let outcome = finish(&*store, upload).await?;
        same("A-61", "finish a right upload", &outcome, &ArtifactOutcome::Stored)?;
        holds("A-61", &*store, "t", &content).await?;
    }
    Ok(())
}

async fn twice(case: &mut ArtifactContext) -> Result<(), Stop> {
    signs(case)?;
    let content = case.content(4_000);
    let artifact = Artifact::of(&content);
    let upload = Upload::new("t", "u", &artifact);
    case.sent(upload, &content).await?;
    let outcome = finish(&*case.node(0)?, upload).await?;
    same("A-61", "finish a right upload", &outcome, &ArtifactOutcome::Stored)?;
    for node in 0..3 {
        let outcome = finish(&*case.node(node)?, upload).await?;
        same("A-60", "finish an upload again", &outcome, &ArtifactOutcome::Existing)?;
    }
    // A client that is late, and wrong, changes nothing.
    case.sent(upload, &Bytes::from_static(b"late")).await?;
    let outcome = finish(&*case.node(0)?, upload).await?;
    same("A-60", "finish an upload of what is stored", &outcome, &ArtifactOutcome::Existing)?;
    holds("A-60", &*case.node(1)?, "t", &content).await?;
    let swept = done("A-70", "sweep", case.node(0)?.sweep(Timestamp::MAX).await)?;
    same("A-62", "uploads that are left after they were finished", &swept, &0)
}

async fn raced(case: &mut ArtifactContext) -> Result<(), Stop> {
    signs(case)?;
    for round in 0..5 {
        let content = case.content(if round == 0 { 100_000 } else { 10_000 });
        let artifact = Artifact::of(&content);
        case.sent(Upload::new("t", "u", &artifact), &content).await?;
        let outcomes = case
            .at_once(8, |_, store: Arc<dyn ArtifactStore>| {
                let artifact = artifact.clone();
                async move { finish(&*store, Upload::new("t", "u", &artifact)).await }
            })
            .await?;
        let all = outcomes.iter().all(|outcome| outcome.is_stored());
        same("A-60", "every node is told that the upload is stored", &all, &true)?;
        holds("A-61", &*case.node(0)?, "t", &content).await?;
    }
    Ok(())
}

async fn apart(case: &mut ArtifactContext) -> Result<(), Stop> {
    signs(case)?;
    let content = case.content(700);
    let artifact = Artifact::of(&content);
    let store = case.node(0)?;
    // The names of one half are right, those of the other half are sent junk.
    let names = || TENANTS.into_iter().enumerate();
    for (place, name) in names() {
        let junk = Bytes::from(format!("junk {place}"));
        let given = if place % 2 == 0 { &content } else { &junk };
        case.sent(Upload::new("t", name, &artifact), given).await?;
        case.sent(Upload::new(name, "u", &artifact), given).await?;
    }
    for (place, name) in names().filter(|(place, _)| place % 2 == 1) {
        let found = format!("junk {place}").len() as u64;
        for (id, upload) in [
            ("A-51", Upload::new("t", name, &artifact)),
            ("A-01", Upload::new(name, "u", &artifact)),
        ] {
            let outcome = finish(&*store, upload).await?;
            same(
                id,
                "finish one of many uploads",
                &outcome,
                &ArtifactOutcome::WrongSize { found },
            )?;
        }
    }
    for (_, name) in names().filter(|(place, _)| place % 2 == 0) {
        let outcome = finish(&*store, Upload::new(name, "u", &artifact)).await?;
        let what = "finish the upload of one of many tenants";
        same("A-01", what, &outcome, &ArtifactOutcome::Stored)?;
        let outcome = finish(&*store, Upload::new("t", name, &artifact)).await?;
        same("A-51", "finish one of many uploads", &outcome.is_stored(), &true)?;
        done("A-30", "delete an artifact", store.delete("t", &artifact.id).await)?;
    }
    Ok(())
}

async fn meddled(case: &mut ArtifactContext) -> Result<(), Stop> {
    signs(case)?;
    for bytes in [6_000, 100_000] {
        let (content, other) = (case.content(bytes), case.content(bytes));
        let artifact = Artifact::of(&content);
        let upload = Upload::new("t", "u", &artifact);
        let signed = case.sign(upload).await?;
        for round in 0..6_usize {
            let (site, sent) = (Arc::clone(&case.site), signed.clone());
            let given = [content.clone(), other.clone(), content.slice(1..), content.clone()];
            let client = tokio::spawn(async move {
                for given in given.into_iter().cycle().skip(round).take(12) {
                    // The storage may refuse it.
                    let _ = site.send(&sent, given).await;
                    tokio::task::yield_now().await;
                }
            });
            for turn in 0..8 {
                let store = case.node(turn)?;
                // A client that replaces the upload while it is read may make this fail.
                let outcome = store.finish(upload).await;
                let found = read(&*case.node(turn + 1)?, "t", &artifact.id).await?;
                let right = found.as_ref().is_none_or(|found| *found == content);
                same("A-06", "only checked content is seen", &right, &true)?;
                if outcome.is_ok_and(ArtifactOutcome::is_stored) {
                    same("A-61", "an upload that was stored is there", &found.is_some(), &true)?;
                    let deleted = store.delete("t", &artifact.id).await;
                    done("A-30", "delete an artifact", deleted)?;
                }
                tokio::task::yield_now().await;
            }
            client.await.map_err(|join| Failure::setup("send content", &join))?;
        }
    }
    Ok(())
}

async fn swept(case: &mut ArtifactContext) -> Result<(), Stop> {
    signs(case)?;
    let store = case.node(0)?;
    let content = case.content(900);
    let artifact = stored(&*store, "t", &content).await?;
    let waiting = case.content(800);
    let waits = Artifact::of(&waiting);
    let uploads = ["t", "", "a/b"].map(|tenant| Upload::new(tenant, "u", &waits));
    for upload in uploads {
        case.sent(upload, &waiting).await?;
    }
    let hour = Duration::from_secs(3_600);
    for before in [Timestamp::MIN, now().saturating_sub(hour)] {
        let swept = done("A-70", "sweep", store.sweep(before).await)?;
        same("A-70", "sweep what arrived before the uploads did", &swept, &0)?;
    }
    let [first, second, third] = uploads;
    let outcome = finish(&*store, first).await?;
    same("A-70", "finish an upload that is younger", &outcome, &ArtifactOutcome::Stored)?;
    let swept = done("A-70", "sweep", store.sweep(now().saturating_add(hour)).await)?;
    same("A-70", "the number of unfinished uploads", &swept, &2)?;
    for upload in [second, third] {
        let outcome = finish(&*case.node(1)?, upload).await?;
        same("A-70", "finish a swept upload", &outcome, &ArtifactOutcome::Missing)?;
    }
    let swept = done("A-70", "sweep", store.sweep(Timestamp::MAX).await)?;
    same("A-70", "sweep again", &swept, &0)?;
    holds("A-70", &*store, "t", &waiting).await?;
    holds("A-70", &*store, "t", &content).await?;
    let found = done("A-70", "look for an artifact", store.head("t", &artifact.id).await)?;
    same("A-70", "an artifact after a sweep", &found, &Some(artifact))
}

async fn swept_meanwhile(case: &mut ArtifactContext) -> Result<(), Stop> {
    signs(case)?;
    let mut contents = Vec::new();
    for place in 0..12 {
        let content = case.content(5_000 + place);
        case.sent(Upload::new("t", "u", &Artifact::of(&content)), &content).await?;
        contents.push(content);
    }
    let outcomes = case
        .at_once(16, |task, store: Arc<dyn ArtifactStore>| {
            let content = contents.get(task).cloned();
            async move {
                let Some(content) = content else {
                    done("A-70", "sweep", store.sweep(Timestamp::MAX).await)?;
                    return Ok(false);
                };
                let artifact = Artifact::of(&content);
                // It may fail, because the upload is removed while it is read.
                let outcome = store.finish(Upload::new("t", "u", &artifact)).await;
                Ok(outcome.is_ok_and(ArtifactOutcome::is_stored))
            }
        })
        .await?;
    let store = case.node(0)?;
    for (content, told) in contents.iter().zip(outcomes) {
        if told {
            holds("A-70", &*store, "t", content).await?;
        }
    }
    let swept = done("A-70", "sweep", store.sweep(Timestamp::MAX).await)?;
    same("A-70", "uploads that are left after a sweep", &swept, &0)
}

async fn cancelled(case: &mut ArtifactContext) -> Result<(), Stop> {
    signs(case)?;
    for bytes in [3_000, 100_000] {
        for polls in (0..6).chain([12, 24]) {
            let content = case.content(bytes);
            let artifact = Artifact::of(&content);
            let upload = Upload::new("t", "u", &artifact);
            case.sent(upload, &content).await?;
            let store = case.node(0)?;
            poll_times(store.finish(upload), polls).await;
            let found = read(&*store, "t", &artifact.id).await?;
            let right = found.is_none_or(|found| found == content);
            same("A-06", "only checked content is seen", &right, &true)?;
            let outcome = finish(&*store, upload).await?;
            same("A-05", "finish again after a dropped finish", &outcome.is_stored(), &true)?;
            holds("A-60", &*store, "t", &content).await?;
        }
    }
    Ok(())
}
