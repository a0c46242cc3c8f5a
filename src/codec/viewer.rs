//! [`Viewer`]: shows states to code that does not know their type.

use crate::error::BoxError;
use crate::value::StateValue;
#[cfg(feature = "http")]
use crate::value::canonical;

/// Shows states to code that does not know their type.
///
/// A function that makes trees is one. Whatever it leaves out is in no form of the state.
pub(crate) trait Viewer<S>: Send + Sync {
    /// Converts a state to a tree of values.
    fn view(&self, state: &S) -> Result<StateValue, BoxError>;

    /// Appends a state to `out` as canonical JSON: always that of the tree that [`view`](Self::view)
    /// returns. After an error, `out` is what it was before.
    #[cfg(feature = "http")]
    fn write_json(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError> {
        canonical::write(&self.view(state)?, out);
        Ok(())
    }
}

impl<S, F> Viewer<S> for F
where
    F: Fn(&S) -> Result<StateValue, BoxError> + Send + Sync,
{
    fn view(&self, state: &S) -> Result<StateValue, BoxError> {
        self(state)
    }
}
