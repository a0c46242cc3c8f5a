//! [`OpaqueState`]: a loaded state whose type is hidden, and that is shown only on request.

use std::fmt;
use std::sync::Arc;

use super::provenance::Provenance;
use super::view::View;
use crate::codec::Viewer;
use crate::error::{BoxError, Error, ErrorKind};
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;
use crate::value::StateValue;

/// A loaded state whose type is hidden. Returned by [`Inspect::load_opaque`].
///
/// A [`View`] contains the whole state as a tree, and making it takes as long as serializing the
/// state. An opaque state is as cheap as the load: caches compare it with the state that they
/// rendered before ([`is_same`](Self::is_same)), and [show](Self::show) it only if it is another.
/// Clones share everything.
///
/// [`Inspect::load_opaque`]: crate::manager::Inspect::load_opaque
#[derive(Clone)]
pub struct OpaqueState(Arc<LoadedOpaque<dyn Viewable>>);

/// All that is known of a loaded state, in one allocation: whoever passes it on moves a pointer.
struct LoadedOpaque<V: ?Sized> {
    key: AggregateKey,
    version: u64,
    as_of: Option<Timestamp>,
    provenance: Provenance,
    /// The address of the state, which `shown` keeps alive.
    address: usize,
    shown: V,
}

impl OpaqueState {
    /// Hides the type of `state`, which `viewer` shows.
    pub(crate) fn new<A: Send + Sync + 'static>(
        (key, version, as_of): (AggregateKey, u64, Option<Timestamp>),
        provenance: Provenance,
        state: Arc<A>,
        viewer: Arc<dyn Viewer<A>>,
    ) -> Self {
        let address = Arc::as_ptr(&state).addr();
        let shown = ViewedState { state, viewer };
        Self(Arc::new(LoadedOpaque { key, version, as_of, provenance, address, shown }))
    }

    /// Returns the aggregate.
    pub fn key(&self) -> &AggregateKey {
        &self.0.key
    }

    /// Returns the number of folded events; 0 for the empty state.
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// Returns the latest recorded time among the folded events; `None` for the empty state.
    pub fn as_of(&self) -> Option<Timestamp> {
        self.0.as_of
    }

    /// Returns how the state was obtained.
    pub fn provenance(&self) -> &Provenance {
        &self.0.provenance
    }

    /// Returns whether both are one state in memory, such as the one that the hot cache returned
    /// twice. Then they show the same. Two states that were loaded separately are never the same.
    pub fn is_same(&self, other: &Self) -> bool {
        let (this, other) = (&*self.0, &*other.0);
        this.address == other.address
            && this.version == other.version
            && this.as_of == other.as_of
            && this.key == other.key
    }

    /// Shows the state.
    ///
    /// # Errors
    /// [`Encode`](crate::ErrorKind::Encode) if the viewer fails.
    pub fn show(&self) -> Result<View, Error> {
        let shown = self.0.shown.view().map_err(|source| self.failed(source))?;
        let provenance = self.provenance().clone();
        Ok(View::new(self.key().clone(), self.version(), self.as_of(), shown, provenance))
    }

    /// Appends the state to `out` as canonical JSON: what the view of it would be written as. After
    /// an error, `out` is what it was before.
    ///
    /// # Errors
    /// The same errors as [`show`](Self::show).
    #[cfg(feature = "http")]
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.0.shown.write_json(out).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: BoxError) -> Error {
        let message = format!("the viewer failed for {} at version {}", self.key(), self.version());
        Error::new(ErrorKind::Encode, "view a state", message).with_source(source)
    }
}

impl From<View> for OpaqueState {
    fn from(view: View) -> Self {
        let View { key, version, as_of, state, provenance } = view;
        let viewer = |state: &StateValue| Ok(state.clone());
        Self::new((key, version, as_of), provenance, Arc::new(state), Arc::new(viewer))
    }
}

/// A state of a type that is not known, with its viewer.
trait Viewable: Send + Sync {
    fn view(&self) -> Result<StateValue, BoxError>;

    #[cfg(feature = "http")]
    fn write_json(&self, out: &mut Vec<u8>) -> Result<(), BoxError>;
}

struct ViewedState<A> {
    state: Arc<A>,
    viewer: Arc<dyn Viewer<A>>,
}

impl<A: Send + Sync> Viewable for ViewedState<A> {
    fn view(&self) -> Result<StateValue, BoxError> {
        self.viewer.view(&self.state)
    }

    #[cfg(feature = "http")]
    fn write_json(&self, out: &mut Vec<u8>) -> Result<(), BoxError> {
        self.viewer.write_json(&self.state, out)
    }
}

impl fmt::Debug for OpaqueState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpaqueState")
            .field("key", self.key())
            .field("version", &self.version())
            .field("as_of", &self.as_of())
            .field("provenance", self.provenance())
            .finish_non_exhaustive()
    }
}
