//! [`Lender`]: shares a state with a fold, and may give it up.

use std::sync::Arc;

/// Holds a state that a fold starts from.
pub(crate) trait Lender<A>: Send + Sync {
    /// Called before the first event is applied to `state`. A lender that drops its own reference
    /// saves the fold from copying the state.
    fn give_up(&self, state: &Arc<A>);
}
