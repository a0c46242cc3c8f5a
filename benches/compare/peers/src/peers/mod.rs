//! The libraries, one a file.

mod by_hand;
mod cqrs_es;
mod disintegrate;
mod distributed;
mod eventsourced;
mod python;
mod snapfold;
mod snapfold_in_memory;

pub use cqrs_es::CqrsEs;
pub use snapfold::Snapfold;

use crate::peer::Peer;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Library {
    Snapfold,
    SnapfoldTestedPool,
    ByHand,
    CqrsEs,
    CqrsEsUntestedPool,
    Distributed,
    Disintegrate,
    Eventsourced,
    Python,
}

impl Library {
    pub const ALL: [Self; 9] = [
        Self::Snapfold,
        Self::SnapfoldTestedPool,
        Self::ByHand,
        Self::CqrsEs,
        Self::CqrsEsUntestedPool,
        Self::Distributed,
        Self::Disintegrate,
        Self::Eventsourced,
        Self::Python,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Snapfold => "snapfold",
            Self::SnapfoldTestedPool => "snapfold, sqlx's default pool",
            Self::ByHand => "by hand, without checks",
            Self::CqrsEs => "cqrs-es 0.5.0",
            Self::CqrsEsUntestedPool => "cqrs-es, pool without tests",
            Self::Distributed => "distributed 4.12.3",
            Self::Disintegrate => "disintegrate 4.0.0",
            Self::Eventsourced => "eventsourced 0.27.1",
            Self::Python => "eventsourcing 9.5.6, Python",
        }
    }

    /// Another set-up of the same library, which has the same data.
    pub fn is_variant(self) -> bool {
        matches!(self, Self::SnapfoldTestedPool | Self::CqrsEsUntestedPool)
    }

    pub fn database(self) -> &'static str {
        match self {
            Self::Snapfold | Self::SnapfoldTestedPool => "snapfold",
            Self::ByHand => "by_hand",
            Self::CqrsEs | Self::CqrsEsUntestedPool => "cqrs_es",
            Self::Distributed => "distributed",
            Self::Disintegrate => "disintegrate",
            Self::Eventsourced => "eventsourced",
            Self::Python => "python",
        }
    }

    pub async fn connect(self, url: &str, python: &str) -> Box<dyn Peer> {
        match self {
            Self::Snapfold => Box::new(Snapfold::connect(url, false).await),
            Self::SnapfoldTestedPool => Box::new(Snapfold::connect(url, true).await),
            Self::ByHand => Box::new(by_hand::ByHand::connect(url).await),
            Self::CqrsEs => Box::new(CqrsEs::connect(url, true).await),
            Self::CqrsEsUntestedPool => Box::new(CqrsEs::connect(url, false).await),
            Self::Distributed => Box::new(distributed::Distributed::connect(url).await),
            Self::Disintegrate => Box::new(disintegrate::Disintegrate::connect(url).await),
            Self::Eventsourced => Box::new(eventsourced::Eventsourced::connect(url).await),
            Self::Python => Box::new(python::Python::start(python, url)),
        }
    }
}

/// Those that also keep everything in memory.
pub fn in_memory() -> Vec<(&'static str, Box<dyn Peer>)> {
    vec![
        ("snapfold", Box::new(snapfold_in_memory::SnapfoldInMemory::new())),
        (Library::Distributed.name(), Box::new(distributed::DistributedInMemory::default())),
    ]
}
