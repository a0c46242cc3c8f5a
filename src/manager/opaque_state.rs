//! [`OpaqueState`]: a loaded state whose type is hidden, and that is shown only on request.

use std::fmt;
use std::sync::Arc;

use super::provenance::Provenance;
use super::view::View;
use crate::error::{BoxError, Error, ErrorKind};
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;
use crate::value::StateValue;

/// Converts a held state to a tree of values.
type Show = dyn Fn() -> Result<StateValue, BoxError> + Send + Sync;

/// A loaded state whose type is hidden. Returned by [`Inspect::load_opaque`].
///
/// A [`View`] contains the whole state as a tree, and making it takes as long as serializing the
/// state. An opaque state is as cheap as the load: caches compare it with the state that they
/// rendered before ([`is_same`](Self::is_same)), and [show](Self::show) it only if it is another.
///
/// [`Inspect::load_opaque`]: crate::manager::Inspect::load_opaque
#[derive(Clone)]
#[non_exhaustive]
pub struct OpaqueState {
    /// The aggregate.
    pub key: AggregateKey,
    /// The number of folded events; 0 for the empty state.
    pub version: u64,
    /// The latest recorded time among the folded events; `None` for the empty state.
    pub as_of: Option<Timestamp>,
    /// How the state was obtained.
    pub provenance: Provenance,
    show: Arc<Show>,
    /// The address of the state, which `show` keeps alive.
    address: usize,
}

impl OpaqueState {
    /// Hides the type of `state`, which `viewer` shows.
    pub(crate) fn new<A: Send + Sync + 'static>(
        (key, version, as_of): (AggregateKey, u64, Option<Timestamp>),
        provenance: Provenance,
        state: Arc<A>,
        viewer: impl Fn(&A) -> Result<StateValue, BoxError> + Send + Sync + 'static,
    ) -> Self {
        let address = Arc::as_ptr(&state).addr();
        Self { key, version, as_of, provenance, show: Arc::new(move || viewer(&state)), address }
    }

    /// Returns whether both are one state in memory, such as the one that the hot cache returned
    /// twice. Then they show the same. Two states that were loaded separately are never the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.address == other.address
            && self.version == other.version
            && self.as_of == other.as_of
            && self.key == other.key
    }

    /// Shows the state.
    ///
    /// # Errors
    /// [`Encode`](crate::ErrorKind::Encode) if the viewer fails.
    pub fn show(&self) -> Result<View, Error> {
        let shown = (self.show)().map_err(|source| {
            let message = format!("the viewer failed for {} at version {}", self.key, self.version);
            Error::new(ErrorKind::Encode, "view a state", message).with_source(source)
        })?;
        let provenance = self.provenance.clone();
        Ok(View::new(self.key.clone(), self.version, self.as_of, shown, provenance))
    }
}

impl From<View> for OpaqueState {
    fn from(view: View) -> Self {
        let View { key, version, as_of, state, provenance } = view;
        Self::new((key, version, as_of), provenance, Arc::new(state), |state| Ok(state.clone()))
    }
}

impl fmt::Debug for OpaqueState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpaqueState")
            .field("key", &self.key)
            .field("version", &self.version)
            .field("as_of", &self.as_of)
            .field("provenance", &self.provenance)
            .finish_non_exhaustive()
    }
}
