//! The kit can fail.
//!
//! The defect: a conformance kit that passes whatever it is given. A store loses the newest
//! snapshot when it is opened again, or gives one tenant the balance of another, and its author
//! holds a scorecard that says that all is well; or the card names a promise that is kept, and the
//! author looks for the fault in the wrong place.
//!
//! Each mutant here is a store that keeps every promise but the ones named beside it, and the kit
//! has to report just those. The quirks are odd and right: the kit has to let them pass.

/// The register of a family, and a test of each: `lie: Mutant breaks "promise", ...;`, and where
/// the kit tells of others besides, which follow from those and which it cannot tell apart yet,
/// `shows "promise", ...`. A card that names less or more is an error, so the lists stay exact.
macro_rules! mutants {
    ($($lie:ident: $mutant:ident $(breaks $($id:literal),+)? $(shows $($more:literal),+)?;)+) => {
        pub(crate) const FAMILY: &[super::Lie] = &[$(
            super::Lie { name: stringify!($lie), breaks: &[$($($id),+)?] }
        ),+];

        $(
            #[test]
            fn $lie() {
                super::reports::<$mutant>(&[$($($id,)+)? $($($more,)+)?]);
            }
        )+
    };
}

mod bases;
mod bytes;
mod concurrency;
mod created;
mod deleting;
mod disk;
mod durability;
mod hostile;
mod isolation;
mod listing;
mod marking;
mod mutant;
mod outcomes;
mod quirks;
mod reading;
mod rewriting;
mod site;
mod truth;
mod writing;

use std::collections::BTreeSet;

use mutant::Mutant;
use site::Sites;
use snapfold::conformance::Conformance;

struct Lie {
    name: &'static str,
    breaks: &'static [&'static str],
}

const FAMILIES: &[&[Lie]] = &[
    bases::FAMILY,
    bytes::FAMILY,
    concurrency::FAMILY,
    created::FAMILY,
    deleting::FAMILY,
    durability::FAMILY,
    hostile::FAMILY,
    isolation::FAMILY,
    listing::FAMILY,
    marking::FAMILY,
    outcomes::FAMILY,
    quirks::FAMILY,
    reading::FAMILY,
    rewriting::FAMILY,
    writing::FAMILY,
];

/// Aggregates at the level Scale: more than the most that any store here gives on one page.
const SCALE: usize = 120;

/// Runs the whole kit over the mutant. The clock is the runtime's and stands still while there is
/// anything to do: who waits for ever is found out at once.
fn reports<M: Mutant>(broken: &[&'static str]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let card = runtime.block_on(Conformance::of(&Sites::<M>::new()).scale(SCALE).run());
    let expected: BTreeSet<_> = broken.iter().copied().collect();
    assert_eq!(card.broken_promises(), expected, "{card}");
    // A case that could not be set up proves nothing.
    assert!(card.failures().all(|(_, failure)| !failure.broken.is_empty()), "{card}");
}

/// No test of the kit is worth more than the defects that it was seen to find.
#[test]
fn every_promise_is_broken_by_some_mutant() {
    let all = FAMILIES.iter().copied().flatten();
    let mutants: Vec<_> = all.filter(|lie| !lie.breaks.is_empty()).collect();
    assert!(mutants.len() >= 24);
    let names: BTreeSet<_> = mutants.iter().map(|lie| lie.name).collect();
    assert_eq!(names.len(), mutants.len(), "two lies of one name");
    let broken: BTreeSet<_> = mutants.iter().flat_map(|lie| lie.breaks).copied().collect();
    let promised: BTreeSet<_> = snapfold::conformance::cases()
        .flat_map(snapfold::conformance::Case::ids)
        .copied()
        .collect();
    assert_eq!(broken, promised);
}
