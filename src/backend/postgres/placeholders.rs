//! [`Placeholders`]: the SQL expressions of the values in a statement.

/// The SQL expressions of the values that a tail depends on.
pub(super) struct Placeholders<'a> {
    pub(super) tenant: &'a str,
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
    /// The version after which to read (exclusive); for all of them,
    /// [`EventTable::start`](super::event_table::EventTable::start).
    pub(super) after: &'a str,
    /// The version up to which to read (inclusive), if there is one.
    pub(super) until: Option<&'a str>,
    /// The time (microseconds as a `bigint`, and as a `timestamptz`) after which an event is the
    /// last one to read, if there is one.
    pub(super) until_time: Option<(&'a str, &'a str)>,
    /// Additional columns to select after those of the event, each preceded by a comma.
    pub(super) extra: &'a str,
}
