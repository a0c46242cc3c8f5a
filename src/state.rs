//! The state of an aggregate: [`Aggregate`].

use crate::error::Error;
use crate::key::AggregateKey;

/// A state that is the left fold of its events. The application implements this trait.
///
/// # Obligations
/// - `apply` is a pure function of the state and the event: no clock, no randomness, no I/O.
///   Otherwise no snapshot can equal a replay. It cannot fail, because a recorded event has already
///   happened.
/// - When `apply` or `initial` begins to compute a different state from the same events, raise
///   [`SCHEMA_VERSION`](Self::SCHEMA_VERSION): a change of meaning (cents became euros) is not
///   visible in the type. Changes of the type itself are detected without a new version, with these
///   exceptions: **a container that is replaced by one with another order** (`BTreeMap` by
///   `IndexMap`, `BTreeSet` by `Vec`), a field with `#[serde(skip)]`, a field that a **flattened
///   struct** gains and omits from old values (`skip_serializing_if`), and a variant that is added
///   to or removed from an **externally tagged enum that is flattened**. These changes look the
///   same in every format, so raise the version by hand. The [guide to state
///   types](crate::guide::state_types) has the list. [Golden
///   samples](crate::guide::aggregate_authors) in the tests of the aggregate detect them.
/// - A panic in `apply` reaches the caller of the load and leaves the engine usable.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use snapfold::{Aggregate, AggregateKey};
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Account {
///     balance: i64,
/// }
///
/// enum Moved {
///     In(i64),
///     Out(i64),
/// }
///
/// impl Aggregate for Account {
///     type Event = Moved;
///     const KIND: &'static str = "account";
///     const SCHEMA_VERSION: u32 = 1;
///
///     fn initial(_: &AggregateKey) -> Self {
///         Account { balance: 0 }
///     }
///
///     fn apply(&mut self, event: &Moved) {
///         match event {
///             Moved::In(amount) => self.balance += amount,
///             Moved::Out(amount) => self.balance -= amount,
///         }
///     }
/// }
/// ```
pub trait Aggregate: Clone + Send + Sync + 'static {
    /// The type of the aggregate's events.
    type Event: Send + Sync + 'static;

    /// The kind of aggregate, which is part of every key: `"account"`.
    const KIND: &'static str;

    /// The schema version. Raise it by hand when the meaning of the state changes, as described
    /// above.
    const SCHEMA_VERSION: u32;

    /// Returns the empty state: version 0, no events folded.
    fn initial(key: &AggregateKey) -> Self;

    /// Folds one event into the state.
    fn apply(&mut self, event: &Self::Event);

    /// Returns the key of the aggregate `id` of this kind. The tenant is empty.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if `id` is longer than
    /// [`AggregateKey::MAX_PART_BYTES`].
    fn key(id: &str) -> Result<AggregateKey, Error> {
        AggregateKey::new(Self::KIND, id)
    }
}
