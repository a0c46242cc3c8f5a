//! Stores of publications.

mod faults;
mod kit;
mod yields;

use snapfold::Timestamp;
use snapfold::publication::{Publication, PublicationId};

/// A publication of the project `p`, begun at this second.
fn publication(second: i64) -> Publication {
    let time = Timestamp::from_seconds(1_754_654_400 + second);
    let expires_at = Timestamp::from_seconds(1_900_000_000);
    Publication::new("p", PublicationId::new(time).unwrap(), time, expires_at)
}
