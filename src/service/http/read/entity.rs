//! The state of an aggregate: now, at a version, at a time, and for ever.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::header::{LINK, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::Admitted;
use crate::events::EventTime;
use crate::key::AggregateKey;
use crate::manager::{OpaqueState, Point, Provenance, SnapshotAdmin};
use crate::service::http::body::DeliveryBody;
use crate::service::http::cache_policy::Freshness;
use crate::service::http::guard::Permission;
use crate::service::http::problem::HttpProblem;
use crate::service::http::redirect::redirect;
use crate::service::http::representation::Representation;
use crate::timestamp::Timestamp;

const ACCEPT_DATETIME: HeaderName = HeaderName::from_static("accept-datetime");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

impl Admitted<'_> {
    /// The state now, or the point that the query or `Accept-Datetime` asks for.
    pub(super) async fn entity(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let (key, admin) = self.aggregate()?;
        let version = self.query.parsed("version", "a number")?;
        let at = self.query.parsed("at", "a time such as 2026-11-21T09:30:00Z")?;
        // A wrong date is refused also where it is not needed.
        let date = self.request.headers.get(ACCEPT_DATETIME).map(gate_second).transpose()?;
        match (version, at) {
            (Some(_), Some(_)) => Err(HttpProblem::parameter("at", "use either at or version")),
            (Some(version), None) => {
                let state = recorded(admin.load_opaque(key, Point::Version(version)).await?)?;
                self.render(state, Freshness::Version)
            }
            (None, Some(time)) => Box::pin(self.at_time(key, &**admin, time)).await,
            (None, None) => match date {
                Some(second) => Box::pin(self.time_gate(key, &**admin, second)).await,
                None => self.now(key, &**admin).await,
            },
        }
    }

    async fn at_time(
        &self,
        key: &AggregateKey,
        admin: &dyn SnapshotAdmin,
        time: Timestamp,
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        let state = recorded(admin.load_opaque(key, Point::Time(time)).await?)?;
        let next = state.version().saturating_add(1);
        // What was captured says nothing about the events. If the times cannot be had, the state is
        // right all the same, and clients ask for it again.
        let times = if admin.folds_events() {
            admin.times(key, next..=next, 1).await.unwrap_or_default()
        } else {
            Vec::new()
        };
        // The state at a time has the events before the first one that was recorded later. Once that
        // one is there, no commit changes the state. Until then, an event that is recorded late does.
        let is_final = |event: &EventTime| event.version == next && event.recorded_at > Some(time);
        let freshness =
            if times.iter().any(is_final) { Freshness::Version } else { Freshness::Now };
        self.render(state, freshness)
    }

    /// The state at the version of the path.
    pub(super) async fn version(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        self.render(self.at_target().await?, Freshness::Version)
    }

    /// The state at the version of the path, if it has the digest of the path.
    pub(super) async fn immutable(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        // The digest names the media type as well.
        let rendered = self.rendered(self.at_target().await?, Freshness::Immutable)?;
        if rendered.digest() != self.permit.target().last {
            let detail = "the state at this version has another digest today, or in this media \
                          type: ask for the version without a digest";
            return Err(HttpProblem::not_found(detail));
        }
        self.answered(rendered.state.provenance(), &rendered)
    }

    async fn at_target(&self) -> Result<OpaqueState, HttpProblem> {
        let (key, admin) = self.aggregate()?;
        recorded(admin.load_opaque(key, Point::Version(self.permit.target().version)).await?)
    }

    async fn now(
        &self,
        key: &AggregateKey,
        admin: &dyn SnapshotAdmin,
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        let state = recorded(admin.load_opaque(key, Point::Now).await?)?;
        if let Some(rendered) = self.served.rendered.of(&state, self.media) {
            return self.answered(state.provenance(), &rendered);
        }
        let rendered = Arc::new(self.rendered(state, Freshness::Now)?);
        self.served.rendered.keep(self.media, Arc::clone(&rendered));
        self.answered(rendered.state.provenance(), &rendered)
    }

    /// Sends the client to the state at a date (RFC 7089, pattern 1.1).
    async fn time_gate(
        &self,
        key: &AggregateKey,
        admin: &dyn SnapshotAdmin,
        second: i64,
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        // A date names a whole second, so the last state of that second is meant: the date of a
        // state leads back to it or to a later one with the same date.
        let end = Timestamp::from_seconds(second)
            .saturating_add(Duration::from_secs(1))
            .saturating_sub(Duration::from_micros(1));
        let found = admin.load_opaque(key, Point::Time(end)).await?;
        // A date before the first state leads to the first state.
        let version = found.version().max(1);
        if found.version() == 0 {
            recorded(admin.load_opaque(key, Point::Now).await?)?;
        }
        let links = self.served.links(key);
        let mut response = redirect(StatusCode::FOUND, &links.version(version))?;
        let headers = response.headers_mut();
        let is_public = self.served.policy(key.tenant()).is_public();
        let vary = if is_public { "accept-datetime" } else { "accept-datetime, authorization" };
        headers.insert(VARY, HeaderValue::from_static(vary));
        if let Ok(link) = HeaderValue::from_str(&links.of_entity()) {
            headers.insert(LINK, link);
        }
        Ok(response)
    }

    fn render(
        &self,
        state: OpaqueState,
        freshness: Freshness,
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        let rendered = self.rendered(state, freshness)?;
        self.answered(rendered.state.provenance(), &rendered)
    }

    fn rendered(
        &self,
        state: OpaqueState,
        freshness: Freshness,
    ) -> Result<Representation, HttpProblem> {
        let links = self.served.links(state.key());
        let policy = self.served.policy(state.key().tenant());
        let folds = self.served.admin(state.key())?.folds_events();
        let rendered = Representation::render(state, self.media, freshness, &links, policy)?;
        let rendered = rendered.counted(self.served.gate.default_policy());
        Ok(if folds { rendered } else { rendered.captured() })
    }

    fn answered(
        &self,
        provenance: &Provenance,
        rendered: &Representation,
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        let mut response = rendered.answer(&self.request.method, &self.request.headers)?;
        self.add_timing(provenance, response.headers_mut());
        Ok(response)
    }

    /// Adds how the state was loaded, for those who may see it.
    fn add_timing(&self, provenance: &Provenance, headers: &mut HeaderMap) {
        // A shared cache would show it to everybody.
        let is_public = self.served.policy(&self.permit.target().tenant).is_public();
        if is_public || !self.permit.may(Permission::Diagnose) {
            return;
        }
        let timings = provenance.timings;
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let text = format!(
            "fetch;dur={:.3}, decode;dur={:.3}, fold;dur={:.3};desc=\"{} events\"",
            ms(timings.fetch),
            ms(timings.decode),
            ms(timings.fold),
            provenance.events_replayed
        );
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(SERVER_TIMING, value);
        }
    }
}

/// The second that `Accept-Datetime` names.
fn gate_second(date: &HeaderValue) -> Result<i64, HttpProblem> {
    let invalid = || HttpProblem::bad_request("Accept-Datetime is no date of RFC 1123");
    date.to_str().ok().and_then(date_second).ok_or_else(invalid)
}

/// The second of an HTTP date, also of one before 1970.
fn date_second(text: &str) -> Option<i64> {
    if let Ok(time) = httpdate::parse_http_date(text) {
        return i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok();
    }
    let time = text.ends_with(" GMT").then(|| jiff::fmt::rfc2822::parse(text).ok())??;
    Some(time.timestamp().as_second())
}

/// Refuses the empty state, which no event has made.
fn recorded(state: OpaqueState) -> Result<OpaqueState, HttpProblem> {
    if state.version() == 0 {
        return Err(HttpProblem::not_found("no event was recorded by then"));
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_any_that_a_header_can_hold() {
        for (text, second) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
            ("Sun, 06 Nov 1960 08:49:37 GMT", -288_803_423),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ] {
            assert_eq!(date_second(text), Some(second), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "1960-11-06T08:49:37Z",
            "Mon, 06 Nov 1960 08:49:37 GMT",
            "Sun, 06 Nov 1960 08:49:37 +0000",
            "Sun, 06 Nov 1960 08:49:60 EST",
            "Sun, 31 Feb 1960 08:49:37 GMT",
        ] {
            assert_eq!(date_second(text), None, "{text}");
        }
    }
}
