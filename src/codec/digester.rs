//! [`Digester`]: computes the digests that are used to compare a codec's states.

use std::any::type_name;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::viewer::Viewer;
use super::{CodecId, DecodeLimits};
use crate::digest::{self, DigestKind, Failed, StateDigest, Survey};
use crate::error::BoxError;
use crate::value::{self, StateValue, ValueNode};

/// Computes digests of states of type `S`. Returned by [`Codec::digester`](super::Codec::digester).
///
/// The engine uses the digest to verify every state that it stores or loads. Cloning is cheap.
pub struct Digester<S>(pub(super) Way<S>);

pub(super) enum Way<S> {
    None,
    Custom(Arc<Custom<S>>),
    Serde(Arc<dyn Told<S>>),
}

type Custom<S> = dyn Fn(&S) -> [u8; 16] + Send + Sync;

/// What is computed from a state before it is encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// The digest for the header.
    pub(crate) digest: StateDigest,
    /// Compared with the survey of the decoded payload.
    survey: [u8; 16],
}

impl<S> Digester<S> {
    /// Creates a digester for states that serde can serialize. It digests the value, independent of
    /// the codec.
    pub fn serde() -> Self
    where
        S: Serialize,
    {
        Self(Way::Serde(Arc::new(BySerde)))
    }

    /// Creates a digester for states that serde cannot serialize. `digest` must return equal bytes
    /// for equal states, in every process and release. It should return different bytes for
    /// different states.
    pub fn custom(digest: impl Fn(&S) -> [u8; 16] + Send + Sync + 'static) -> Self {
        Self(Way::Custom(Arc::new(digest)))
    }

    /// Creates a digester that computes no digest: states are stored and loaded unverified, and the
    /// provenance of each load reports it.
    pub fn none() -> Self {
        Self(Way::None)
    }

    /// Converts this digester to one for states of type `T` that contain an `S`, for a codec that
    /// wraps a codec of `S`. `inner` returns the part of the state to digest: two states that
    /// differ only outside that part count as equal.
    pub fn map<T>(self, inner: impl Fn(&T) -> &S + Send + Sync + 'static) -> Digester<T>
    where
        S: 'static,
    {
        Digester(match self.0 {
            Way::None => Way::None,
            Way::Custom(digest) => Way::Custom(Arc::new(move |state| digest(inner(state)))),
            Way::Serde(told) => Way::Serde(Arc::new(Mapped { told, inner })),
        })
    }

    /// Returns the digest of `state`, or `None` if this digester computes none.
    ///
    /// # Errors
    /// Any error returned by the state's own `Serialize`.
    pub fn digest(&self, state: &S) -> Result<Option<StateDigest>, BoxError> {
        Ok(self.written(state, u16::MAX)?.map(|written| written.digest))
    }

    /// Surveys and digests a state before it is encoded. The state may nest at most `max_depth`
    /// levels.
    pub(crate) fn written(&self, state: &S, max_depth: u16) -> Result<Option<Written>, Failed> {
        let (kind, bytes, survey) = match &self.0 {
            Way::None => return Ok(None),
            Way::Custom(digest) => {
                let bytes = digest(state);
                (DigestKind::Custom, bytes, bytes)
            }
            Way::Serde(told) => {
                let Survey { bytes: survey, is_ordered } = told.survey(state, max_depth)?;
                if is_ordered {
                    (DigestKind::Ordered, survey, survey)
                } else {
                    (DigestKind::Free, told.digest(state, true)?, survey)
                }
            }
        };
        Ok(Some(Written { digest: StateDigest::new(kind, bytes), survey }))
    }

    /// Returns whether serde reports that `state` nests deeper than `max_depth` levels.
    pub(crate) fn is_too_deep(&self, state: &S, max_depth: u16) -> bool {
        let Way::Serde(serde) = &self.0 else { return false };
        serde.survey(state, max_depth).is_err_and(|why| why.is_too_deep())
    }

    /// Returns whether `decoded` equals the state that was written.
    pub(crate) fn is_the_one(&self, written: &Written, decoded: &S) -> bool {
        let kind = written.digest.kind();
        match &self.0 {
            // A load compares digests. If the digest ignores order, a survey detects more.
            Way::Serde(told) if kind == DigestKind::Free => {
                told.survey(decoded, u16::MAX).is_ok_and(|seen| seen.bytes == written.survey)
            }
            _ => self.matches(&written.digest, decoded) == Some(true),
        }
    }

    /// Returns whether `digest` is the digest of `state`, or `None` if this digester cannot compare
    /// them.
    #[inline]
    pub(crate) fn matches(&self, digest: &StateDigest, state: &S) -> Option<bool> {
        let bytes = match (&self.0, digest.kind()) {
            (Way::Custom(custom), DigestKind::Custom) => custom(state),
            (Way::Serde(told), kind @ (DigestKind::Ordered | DigestKind::Free)) => {
                // The written state could be serialized, so a state that cannot be serialized
                // differs from it.
                match told.digest(state, kind == DigestKind::Free) {
                    Ok(bytes) => bytes,
                    Err(_) => return Some(false),
                }
            }
            _ => return None,
        };
        Some(bytes == *digest.as_bytes())
    }

    /// Returns the path of the first difference between two states, if it can be found.
    pub(crate) fn difference(&self, a: &S, b: &S) -> Option<String> {
        let Way::Serde(told) = &self.0 else { return None };
        value::difference(&told.tree(a)?, &told.tree(b)?)
    }

    /// Returns the path of the value that makes the encoded `state` undecodable, if it can be
    /// found. For positional codecs this is an omitted field, which shifts all later fields. For
    /// codecs with field names it is a value that serde cannot buffer.
    pub(crate) fn culprit(&self, state: &S, by_name: bool, error: &BoxError) -> Option<String> {
        let Way::Serde(told) = &self.0 else { return None };
        let tree = told.tree(state)?;
        if !by_name {
            return value::skipped(&tree);
        }
        let path = path_of(error, |name| value::has_field(&tree, name));
        path.filter(|path| !path.ends_with("{}")).or_else(|| value::fragile(&tree))
    }

    /// Returns what shows states, if serde can serialize them.
    pub(crate) fn viewer(&self) -> Option<Arc<dyn Viewer<S>>>
    where
        S: 'static,
    {
        let Way::Serde(told) = &self.0 else { return None };
        Some(Arc::<dyn Told<S>>::clone(told))
    }

    /// Returns the name of another codec of this crate that supports `state`.
    pub(crate) fn carrier(
        &self,
        state: &S,
        limits: DecodeLimits,
        not: CodecId,
    ) -> Option<&'static str> {
        let Way::Serde(told) = &self.0 else { return None };
        told.carrier(state, limits, not)
    }
}

/// The operations on states that need serde. The trait hides the serde bound from the engine.
pub(super) trait Told<S>: Viewer<S> {
    fn survey(&self, state: &S, max_depth: u16) -> Result<Survey, Failed>;
    fn digest(&self, state: &S, free_order: bool) -> Result<[u8; 16], Failed>;
    fn tree(&self, state: &S) -> Option<ValueNode>;
    /// Returns the name of another codec of this crate that supports `state`.
    fn carrier(&self, state: &S, limits: DecodeLimits, not: CodecId) -> Option<&'static str>;
}

/// For codecs from outside this crate.
pub(super) struct BySerde;

impl<S: Serialize> Viewer<S> for BySerde {
    fn view(&self, state: &S) -> Result<StateValue, BoxError> {
        StateValue::of(state)
    }

    #[cfg(feature = "http")]
    fn write_json(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError> {
        value::write_state(state, out)
    }
}

impl<S: Serialize> Told<S> for BySerde {
    fn survey(&self, state: &S, max_depth: u16) -> Result<Survey, Failed> {
        digest::survey(state, max_depth)
    }

    fn digest(&self, state: &S, free_order: bool) -> Result<[u8; 16], Failed> {
        digest::digest(state, free_order)
    }

    fn tree(&self, state: &S) -> Option<ValueNode> {
        value::write(state, false)
    }

    fn carrier(&self, _: &S, _: DecodeLimits, _: CodecId) -> Option<&'static str> {
        None
    }
}

struct Mapped<S, F> {
    told: Arc<dyn Told<S>>,
    inner: F,
}

impl<S, T, F: Fn(&T) -> &S + Send + Sync> Viewer<T> for Mapped<S, F> {
    fn view(&self, state: &T) -> Result<StateValue, BoxError> {
        self.told.view((self.inner)(state))
    }

    #[cfg(feature = "http")]
    fn write_json(&self, state: &T, out: &mut Vec<u8>) -> Result<(), BoxError> {
        self.told.write_json((self.inner)(state), out)
    }
}

impl<S, T, F: Fn(&T) -> &S + Send + Sync> Told<T> for Mapped<S, F> {
    fn survey(&self, state: &T, max_depth: u16) -> Result<Survey, Failed> {
        self.told.survey((self.inner)(state), max_depth)
    }

    fn digest(&self, state: &T, free_order: bool) -> Result<[u8; 16], Failed> {
        self.told.digest((self.inner)(state), free_order)
    }

    fn tree(&self, state: &T) -> Option<ValueNode> {
        self.told.tree((self.inner)(state))
    }

    fn carrier(&self, state: &T, limits: DecodeLimits, not: CodecId) -> Option<&'static str> {
        self.told.carrier((self.inner)(state), limits, not)
    }
}

#[cfg(any(feature = "msgpack", feature = "json"))]
fn path_of(error: &BoxError, is_field: impl Fn(&str) -> bool) -> Option<String> {
    error.downcast_ref::<super::place::Located>()?.path(is_field)
}

/// Without these codecs, no error contains a path.
#[cfg(not(any(feature = "msgpack", feature = "json")))]
fn path_of(_: &BoxError, _: impl Fn(&str) -> bool) -> Option<String> {
    None
}

impl<S> Clone for Digester<S> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Way::None => Way::None,
            Way::Custom(digest) => Way::Custom(Arc::clone(digest)),
            Way::Serde(told) => Way::Serde(Arc::clone(told)),
        })
    }
}

impl<S> fmt::Debug for Digester<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match &self.0 {
            Way::None => "none",
            Way::Custom(_) => "custom",
            Way::Serde(_) => "serde",
        };
        write!(f, "Digester({way}, {})", type_name::<S>())
    }
}
