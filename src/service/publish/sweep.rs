//! Ending what has expired.

use std::time::Duration;

use super::publisher::Publisher;
use crate::error::Error;
use crate::publication::PublicationFailure;

/// How many expired publications are read at once.
const PAGE: usize = 100;
/// How much longer than their publication unfinished uploads are kept.
const GRACE: Duration = Duration::from_secs(60 * 60);

/// What a [sweep](Publisher::sweep) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishSweep {
    /// How many publications were ended as expired.
    pub expired: u64,
    /// How many uploads were removed that nobody finished.
    pub uploads: u64,
}

impl Publisher {
    /// Ends all publications that have expired, of all projects, and removes uploads that arrived
    /// more than the validity and an hour ago and were never finished. Call it every few minutes, on
    /// one node or on several.
    ///
    /// Artifacts remain: [`collect`](Self::collect) removes those to which no publication refers.
    ///
    /// # Errors
    /// Those of the stores. What was done so far remains done.
    pub async fn sweep(&self) -> Result<PublishSweep, Error> {
        let mut swept = PublishSweep::default();
        loop {
            let now = self.now();
            let page = self.0.publications.expired(now, PAGE).await?;
            let (count, before) = (page.len(), swept.expired);
            for publication in page {
                let ended = self.end(publication, PublicationFailure::Expired, "").await?;
                swept.expired += u64::from(ended.is_some());
            }
            // If others end the same ones, they also make the progress.
            if count < PAGE || swept.expired == before {
                break;
            }
        }
        let before = self.now().saturating_sub(self.0.options.validity.saturating_add(GRACE));
        swept.uploads = self.0.artifacts.sweep(before).await?;
        Ok(swept)
    }
}
