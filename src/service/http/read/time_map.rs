//! The versions of an aggregate in the form of RFC 7089, section 5.

use std::fmt::Write as _;

use http::Response;

use super::Admitted;
use crate::manager::Point;
use crate::service::http::body::DeliveryBody;
use crate::service::http::problem::HttpProblem;
use crate::service::http::representation::to_second;
use crate::snapshot_id::SnapshotId;

/// How many versions a time map has. The next ones follow in another.
const PAGE: usize = 1_000;

impl Admitted<'_> {
    pub(super) async fn time_map(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let (key, admin) = self.aggregate()?;
        let after: u64 = self.query.parsed("after", "a version")?.unwrap_or(0);
        // The date of a version is the latest time so far, so it never decreases.
        let mut latest = match after {
            0 => None,
            after => admin.load_opaque(key, Point::Version(after)).await?.as_of(),
        };
        let first = after.saturating_add(1);
        let mut times = admin.times(key, first..=SnapshotId::MAX_VERSION, PAGE + 1).await?;
        if times.is_empty() && after == 0 {
            return Err(HttpProblem::not_found("no event was recorded"));
        }
        let continues = times.len() > PAGE;
        times.truncate(PAGE);
        let links = self.served.links(key);
        let (entity, map) = (links.entity(), links.time_map());
        let own = if after == 0 { map.clone() } else { format!("{map}?after={after}") };
        let mut text = format!(
            "<{entity}>; rel=\"original timegate\",\n\
             <{own}>; rel=\"self\"; type=\"application/link-format\""
        );
        let last = times.last().map_or(after, |time| time.version);
        for time in &times {
            latest = latest.max(time.recorded_at);
            let Some(date) = latest.and_then(to_second).map(httpdate::fmt_http_date) else {
                // A version without a time is no Memento.
                continue;
            };
            let rel = match (time.version == 1, !continues && time.version == last) {
                (true, true) => "first last memento",
                (true, false) => "first memento",
                (false, true) => "last memento",
                (false, false) => "memento",
            };
            let version = links.version(time.version);
            let _ = write!(text, ",\n<{version}>; rel=\"{rel}\"; datetime=\"{date}\"");
        }
        if continues {
            let _ = write!(
                text,
                ",\n<{map}?after={last}>; rel=\"timemap\"; type=\"application/link-format\""
            );
        }
        text.push('\n');
        self.other("application/link-format", text.into_bytes())
    }
}
