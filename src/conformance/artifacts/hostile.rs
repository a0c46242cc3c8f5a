//! Names of any kind, and inputs beyond the limits.

use std::time::Duration;

use bytes::Bytes;

use super::context::{
    ArtifactContext, VALID_FOR, done, holds, listed, put, refused, same, stored, unseen,
};
use crate::artifact::{
    Artifact, ArtifactId, ArtifactOutcome, SignedDownload, Upload, in_one_piece,
};
use crate::conformance::case::cases;
use crate::conformance::failure::Stop;

cases! {
    artifacts Hostile:
    "tenants with any names are kept apart", ["A-01"], tenants;
    "tenants of the maximum length are accepted", ["A-03"], longest;
    "input beyond a limit is refused and stores nothing", ["A-03"], refusals;
}

/// Names that could be mistaken for each other, for a folder or for an escaped form.
pub(super) const TENANTS: [&str; 20] = [
    "",
    "a",
    "A",
    "a/b",
    "a/",
    "/",
    "/a",
    ".",
    "..",
    "../a",
    "~",
    "~61",
    "%61",
    "a b",
    "a+b",
    "a\0",
    "\u{1}",
    "a\\b",
    "\u{e9}",
    "\u{1f600}",
];

async fn tenants(case: &mut ArtifactContext) -> Result<(), Stop> {
    let store = case.node(0)?;
    let common = case.content(500);
    for (place, tenant) in TENANTS.into_iter().enumerate() {
        let own = Bytes::from(format!("{place} {tenant}"));
        // Nobody is told that others have the same.
        unseen("A-01", &*store, tenant, &ArtifactId::of(&common)).await?;
        let typed = Artifact::of(&common).content_type(format!("text/{place}"));
        let outcome = put(&*store, tenant, &typed, &common).await?;
        same("A-01", "put what others have", &outcome, &ArtifactOutcome::Stored)?;
        stored(&*store, tenant, &own).await?;
    }
    for (place, tenant) in TENANTS.into_iter().enumerate() {
        let own = Bytes::from(format!("{place} {tenant}"));
        let mut expected = [ArtifactId::of(&common), ArtifactId::of(&own)];
        expected.sort_unstable();
        let found = listed(&*store, tenant, 1).await?;
        let found: Vec<_> = found.into_iter().map(|item| item.id).collect();
        same("A-01", &format!("list the artifacts of {tenant:?}"), &found, &expected.to_vec())?;
        let head = store.head(tenant, &ArtifactId::of(&common)).await;
        let head = done("A-01", "look for an artifact", head)?.map(|found| found.content_type);
        let what = format!("the content type that {tenant:?} gave");
        same("A-01", &what, &head, &Some(format!("text/{place}")))?;
    }
    for (place, tenant) in TENANTS.into_iter().enumerate() {
        let gone = store.delete(tenant, &ArtifactId::of(&common)).await;
        done("A-30", "delete an artifact", gone)?;
        for (other, tenant) in TENANTS.into_iter().enumerate() {
            if other <= place {
                unseen("A-30", &*store, tenant, &ArtifactId::of(&common)).await?;
            } else {
                holds("A-01", &*store, tenant, &common).await?;
            }
        }
    }
    Ok(())
}

async fn longest(case: &mut ArtifactContext) -> Result<(), Stop> {
    let store = case.node(0)?;
    let bytes = usize::try_from(case.capabilities.max_tenant_bytes).unwrap_or(usize::MAX);
    for filler in ["a", "\u{1}", "/"] {
        let tenant = filler.repeat(bytes);
        let content = case.content(100);
        let artifact = Artifact::of(&content);
        let outcome = store.put(&tenant, &artifact, in_one_piece(content.clone())).await;
        let outcome = done("A-03", "put an artifact of a tenant of the maximum length", outcome)?;
        same("A-03", "put an artifact", &outcome, &ArtifactOutcome::Stored)?;
        holds("A-03", &*store, &tenant, &content).await?;
        same("A-03", "list artifacts", &listed(&*store, &tenant, 5).await?.len(), &1)?;
        let name = filler.repeat(Upload::MAX_NAME_BYTES);
        let finished = store.finish(Upload::new(&tenant, &name, &artifact)).await;
        let finished = done("A-03", "finish an upload with names of the maximum length", finished)?;
        same("A-03", "finish an upload", &finished, &ArtifactOutcome::Existing)?;
    }
    Ok(())
}

async fn refusals(case: &mut ArtifactContext) -> Result<(), Stop> {
    let store = case.node(0)?;
    let content = case.content(100);
    let artifact = Artifact::of(&content);
    let given = || in_one_piece(content.clone());
    let long = "x".repeat(70_000);
    refused("put for a long tenant", store.put(&long, &artifact, given()).await)?;
    refused("look for a long tenant", store.head(&long, &artifact.id).await)?;
    let found = store.get(&long, &artifact.id, None).await;
    refused("get for a long tenant", found)?;
    refused("delete for a long tenant", store.delete(&long, &artifact.id).await)?;
    refused("list for a long tenant", store.list(&long, None, 5).await)?;
    let type_of = "t".repeat(Artifact::MAX_TYPE_BYTES + 1);
    for content_type in ["", " ", "a ", "text/html\r\nx: y", "\u{e9}", "a\0", &type_of] {
        let typed = artifact.clone().content_type(content_type);
        let what = format!("the content type {content_type:?}");
        refused(&what, store.put("t", &typed, given()).await)?;
        refused(&what, store.finish(Upload::new("t", "u", &typed)).await)?;
    }
    let name = "n".repeat(Upload::MAX_NAME_BYTES + 1);
    refused("a long name", store.finish(Upload::new("t", &name, &artifact)).await)?;
    if let Some(size) = case.capabilities.max_bytes.checked_add(1) {
        let big = Artifact::new(artifact.id, size);
        refused("an artifact that is too large", store.put("t", &big, given()).await)?;
        if case.capabilities.signs_uploads {
            let signed = store.upload(Upload::new("t", "u", &big), VALID_FOR).await;
            refused("an upload that is too large", signed)?;
        }
    }
    if case.capabilities.signs_uploads {
        let upload = Upload::new("t", "u", &artifact);
        for seconds in [0, 8 * 24 * 60 * 60, u64::MAX] {
            let signed = store.upload(upload, Duration::from_secs(seconds)).await;
            refused(&format!("an upload URL for {seconds} seconds"), signed)?;
        }
        let signed = store.upload(Upload::new("t", &name, &artifact), VALID_FOR).await;
        refused("an upload with a long name", signed)?;
        let signed = store.upload(Upload::new(&long, "u", &artifact), VALID_FOR).await;
        refused("an upload for a long tenant", signed)?;
    }
    if case.capabilities.signs_downloads {
        for seconds in [0, 8 * 24 * 60 * 60] {
            let valid_for = Duration::from_secs(seconds);
            let signed = store.download("t", &artifact.id, valid_for, None).await;
            refused(&format!("a download URL for {seconds} seconds"), signed)?;
        }
        let name = "n".repeat(SignedDownload::MAX_NAME_BYTES + 1);
        for name in ["", "a\r\nb", &name] {
            let signed = store.download("t", &artifact.id, VALID_FOR, Some(name)).await;
            refused(&format!("a download with the file name {name:?}"), signed)?;
        }
        let signed = store.download(&long, &artifact.id, VALID_FOR, None).await;
        refused("a download for a long tenant", signed)?;
    }
    unseen("A-03", &*store, "t", &artifact.id).await?;
    stored(&*store, "t", &content).await.map(drop)
}
