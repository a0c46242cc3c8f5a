//! Spans of the crate `tracing` around the operations of an engine.
//!
//! An operation whose span is disabled costs one check. The hot path of a load checks
//! [`are_enabled`] first, so that its future stays as small as without the feature.

use crate::key::AggregateKey;

/// An operation that has a span.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "only spans need the contents"))]
pub(super) enum Spanned<'a> {
    Load(&'a AggregateKey),
    /// The number of aggregates.
    LoadMany(usize),
    Create(&'a AggregateKey),
    /// The number of aggregates.
    CreateMany(usize),
    /// Loading and encoding an aggregate for a background snapshot.
    Save(&'a AggregateKey),
    /// Putting encoded background snapshots, and their number.
    Put(usize),
    Retention(&'a AggregateKey),
}

/// Returns whether a span of a load would be recorded.
#[cfg(feature = "tracing")]
#[inline]
pub(super) fn are_enabled() -> bool {
    ::tracing::span_enabled!(target: "snapfold", ::tracing::Level::DEBUG)
}

#[cfg(not(feature = "tracing"))]
pub(super) const fn are_enabled() -> bool {
    false
}

/// Runs `future` in the span of its operation.
#[cfg(feature = "tracing")]
pub(super) fn in_span<F: Future>(
    operation: Spanned<'_>,
    future: F,
) -> impl Future<Output = F::Output> + use<F> {
    use ::tracing::{Instrument as _, debug_span};

    macro_rules! span_of {
        ($name:literal, $key:expr) => {
            debug_span!(
                target: "snapfold", $name,
                tenant = $key.tenant(), kind = $key.kind(), id = $key.id()
            )
        };
    }
    future.instrument(match operation {
        Spanned::Load(key) => span_of!("load", key),
        Spanned::LoadMany(count) => debug_span!(target: "snapfold", "load_many", count),
        Spanned::Create(key) => span_of!("create", key),
        Spanned::CreateMany(count) => debug_span!(target: "snapfold", "create_many", count),
        Spanned::Save(key) => span_of!("save", key),
        Spanned::Put(count) => debug_span!(target: "snapfold", "put", count),
        Spanned::Retention(key) => span_of!("retention", key),
    })
}

#[cfg(not(feature = "tracing"))]
pub(super) fn in_span<F: Future>(_: Spanned<'_>, future: F) -> F {
    future
}
