//! URLs do what they say, for as long as they say.

use std::time::Duration;

use super::context::{ArtifactContext, VALID_FOR, done, now, same, stored};
use crate::artifact::{Artifact, Upload};
use crate::conformance::case::{cases, needs};
use crate::conformance::failure::Stop;
use crate::error::ErrorKind;
use crate::timestamp::Timestamp;

cases! {
    artifacts Uploads:
    "the URL of a download gives the artifact", ["A-01", "A-80"], fetched;
    "a URL is valid until it says and not for longer", ["A-50", "A-80"], validity;
    "a store that signs no URLs says so", ["A-02"], unsupported;
}

/// How far clocks may be apart.
const SKEW: Duration = Duration::from_secs(60);

async fn fetched(case: &mut ArtifactContext) -> Result<(), Stop> {
    needs(case.capabilities.signs_downloads, "ArtifactCapabilities::signs_downloads")?;
    let (content, foreign) = (case.content(3_000), case.content(3_000));
    let store = case.node(0)?;
    let artifact = stored(&*store, "t", &content).await?;
    let other = stored(&*store, "other", &foreign).await?;
    for (id, name, expected) in [
        (artifact.id, None, Some(content.clone())),
        (artifact.id, Some("plot \"1\"; \u{e9}.png"), Some(content)),
        (other.id, None, None),
    ] {
        let signed = store.download("t", &id, VALID_FOR, name).await;
        let signed = done("A-80", "sign a download", signed)?;
        let found = case.site.fetch(&signed).await?;
        let id = if expected.is_some() { "A-80" } else { "A-01" };
        let right = found == expected;
        same(id, "what the URL of a download leads to is right", &right, &true)?;
    }
    Ok(())
}

fn within(id: &'static str, before: Timestamp, expires_at: Timestamp) -> Result<(), Stop> {
    let earliest = before.saturating_add(VALID_FOR).saturating_sub(SKEW);
    let latest = now().saturating_add(VALID_FOR).saturating_add(SKEW);
    let right = (earliest..=latest).contains(&expires_at);
    same(id, "a URL expires when it was asked to", &right, &true)
}

async fn validity(case: &mut ArtifactContext) -> Result<(), Stop> {
    let capabilities = case.capabilities;
    needs(
        capabilities.signs_uploads || capabilities.signs_downloads,
        "ArtifactCapabilities::signs_uploads",
    )?;
    let artifact = Artifact::of(b"some content").content_type("text/plain");
    let before = now();
    if capabilities.signs_uploads {
        let signed = case.sign(Upload::new("t", "u", &artifact)).await?;
        within("A-50", before, signed.expires_at)?;
    }
    if capabilities.signs_downloads {
        let signed = case.node(0)?.download("t", &artifact.id, VALID_FOR, None).await;
        if let Some(expires_at) = done("A-80", "sign a download", signed)?.expires_at {
            within("A-80", before, expires_at)?;
        }
    }
    Ok(())
}

async fn unsupported(case: &mut ArtifactContext) -> Result<(), Stop> {
    let capabilities = case.capabilities;
    let store = case.node(0)?;
    let artifact = Artifact::of(b"some content");
    let upload = store.upload(Upload::new("t", "u", &artifact), VALID_FOR).await;
    let download = store.download("t", &artifact.id, VALID_FOR, None).await;
    for (signs, what, kind) in [
        (capabilities.signs_uploads, "sign an upload", upload.map_err(|e| e.kind()).err()),
        (capabilities.signs_downloads, "sign a download", download.map_err(|e| e.kind()).err()),
    ] {
        same("A-02", what, &kind, &(!signs).then_some(ErrorKind::Unsupported))?;
    }
    Ok(())
}
