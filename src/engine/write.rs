//! Encoding a state and proving that it can be read back.

use std::sync::Arc;

use super::core::EngineCore;
use crate::codec::{Viewer, Written};
use crate::digest::StateDigest;
use crate::error::{BoxError, Error, ErrorKind};
use crate::state::Aggregate;

/// An encoded state that was proved to decode to the same state.
pub(super) struct Encoded {
    pub(super) raw: Vec<u8>,
    pub(super) digest: Option<StateDigest>,
}

impl<A: Aggregate> EngineCore<A> {
    /// Returns the encoded size of `state`, without checking that it can be read back.
    pub(super) fn encoded_bytes(&self, state: &A) -> Result<u64, BoxError> {
        // Checked first, because encoding recurses as deeply as the state nests.
        if let Some(max) = self.type_info.limits.max_depth
            && self.digester.is_too_deep(state, max)
        {
            return Err(
                format!("the state nests deeper than {max} levels: raise max_depth()").into()
            );
        }
        let mut out = Vec::new();
        self.codec.encode(state, &mut out)?;
        Ok(out.len() as u64)
    }

    /// Returns what converts states to trees of values.
    pub(super) fn viewer(&self) -> Result<&Arc<dyn Viewer<A>>, Error> {
        self.viewer.as_ref().ok_or_else(|| {
            let message = format!(
                "the {} state cannot be shown, because its codec ({}) does not use serde: set \
                 EngineBuilder::viewer",
                A::KIND,
                self.codec.id()
            );
            Error::new(ErrorKind::Unsupported, "view a state", message)
        })
    }

    /// Encodes `state`, decodes the result and compares the two, so that every stored state is
    /// readable.
    pub(super) fn encode(&self, state: &A) -> Result<Encoded, Error> {
        let failed = |message: String| Error::new(ErrorKind::Encode, "encode a state", message);
        if let Some(validate) = &self.validate
            && let Err(source) = validate(state)
        {
            let message = format!("validate() refused the {} state", A::KIND);
            return Err(failed(message).with_source(source));
        }
        // Checked first, because encoding recurses as deeply as the state nests.
        let max_depth = self.type_info.limits.max_depth.unwrap_or(u16::MAX);
        let written = match self.digester.written(state, max_depth) {
            Ok(written) => written,
            Err(why) if why.is_too_deep() => {
                return Err(failed(format!(
                    "the {} state nests deeper than {max_depth} levels: raise max_depth() or \
                     reduce the nesting of the type",
                    A::KIND
                )));
            }
            // A type that serializes only to human-readable formats is stored without a digest.
            Err(_) => None,
        };
        let mut raw = Vec::new();
        self.codec
            .encode(state, &mut raw)
            .map_err(|source| self.lost(state, "cannot encode", None).with_source(source))?;
        if raw.len() as u64 > self.max_state_bytes {
            return Err(failed(format!(
                "the encoded {} state is {} bytes long, but the limit is {}: raise \
                 max_state_bytes()",
                A::KIND,
                raw.len(),
                self.max_state_bytes
            )));
        }
        self.prove(state, written.as_ref(), &raw)?;
        Ok(Encoded { raw, digest: written.map(|written| written.digest) })
    }

    /// Checks that `raw` decodes to the state that was encoded, by its digest and by the
    /// application's own comparison.
    fn prove(&self, state: &A, written: Option<&Written>, raw: &[u8]) -> Result<(), Error> {
        let learning = self.learning.as_ref().map(|learning| (learning, self.clock.monotonic()));
        let decoded =
            self.codec.decode(raw, self.type_info.limits).map_err(|source: BoxError| {
                let by_name = self.codec.is_self_describing();
                let place = self.digester.culprit(state, by_name, &source);
                self.lost(state, "cannot read back", place).with_source(source)
            })?;
        if let Some((learning, started)) = learning {
            let took = self.clock.monotonic().saturating_sub(started);
            learning.decoded(raw.len() as u64, took);
        }
        if written.is_some_and(|written| !self.digester.is_the_one(written, &decoded)) {
            let place = self.digester.difference(state, &decoded);
            return Err(self.lost(state, "does not preserve", place));
        }
        if self.compare.as_ref().is_some_and(|equal| !equal(state, &decoded)) {
            // No other codec preserves a difference that only compare() detects.
            let advice = "compare() returned false, so look for fields that serde skips and for \
                          lossy conversions";
            return Err(self.refused("does not preserve", None, advice));
        }
        Ok(())
    }

    /// Returns the error for a state that the codec cannot represent.
    fn lost(&self, state: &A, why: &str, place: Option<String>) -> Error {
        let advice = match self.digester.carrier(state, self.type_info.limits, self.codec.id()) {
            Some(other) => format!("use the {other} codec, which can represent this state"),
            None => "change the type or use another codec; the guide to state types lists causes \
                     and solutions"
                .to_owned(),
        };
        self.refused(why, place, &advice)
    }

    fn refused(&self, why: &str, place: Option<String>, advice: &str) -> Error {
        let id = self.codec.id();
        let place = place.map_or_else(String::new, |place| format!(" (look at {place})"));
        let message = format!("{id} {why} the {}{place}: {advice}", A::KIND);
        Error::new(ErrorKind::Encode, "encode a state", message)
    }
}
