//! The kit for event sources can fail.
//!
//! The defect: a kit that passes whatever it is given. A source loses the last page, or reads the
//! events of another tenant, and the application holds a scorecard that says that all is well.
//!
//! Each lie here is told by a source that is right in all else, and the kit has to report the
//! obligations that are named beside it, and no others. The quirks are odd and right.

mod hybrid;
mod site;
mod source;

use std::collections::BTreeSet;

use site::Map;
use snapfold::conformance::{Case, SourceConformance, event_sites, source_cases};

/// `Lie breaks "obligation", ...;`: the kit reports just those.
macro_rules! lies {
    ($($lie:ident $(breaks $($id:literal),+)?;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Lie { $($lie),+ }

        const BROKEN: &[(Lie, &[&str])] = &[$((Lie::$lie, &[$($($id),+)?])),+];

        #[allow(non_snake_case, reason = "named by the lie")]
        mod lies {
            $(
                #[test]
                fn $lie() {
                    super::reports(super::Lie::$lie, &[$($($id),+)?]);
                }
            )+
        }
    };
}

lies! {
    // Quirks: right, if odd.
    None;
    TellsNoHead;
    ListsNoKeys;
    SmallKeyPages;
    ShortTimes;
    TimesByReading;
    NoTail;
    TailOfThree;
    // Reads.
    SwapsTwo breaks "E-01";
    PushesTwice breaks "E-01";
    CountsFromZero breaks "E-01";
    ShiftsContent breaks "E-01";
    OtherContent breaks "E-02";
    OtherAnchors breaks "E-02";
    AnchorOfTheDay breaks "E-02";
    LosesPages breaks "E-03";
    LastOfPageLost breaks "E-03";
    RemembersFirstRead breaks "E-03", "E-21";
    FailsWithoutEvents breaks "E-03", "E-08";
    GoesOnAfterBreak breaks "E-04", "E-31";
    FailsAfterBreak breaks "E-04", "E-31";
    LeavesOutEarlier breaks "E-03", "E-05";
    ConstantTimes breaks "E-06";
    MakesUpTimes breaks "E-06";
    FoldsCase breaks "E-07";
    TrimsIds breaks "E-07";
    IgnoresTenant breaks "E-07";
    KnowsNoTenant breaks "E-07";
    JoinsParts breaks "E-07";
    MatchesPatterns breaks "E-07";
    EndsAtNul breaks "E-07";
    IgnoresUntil breaks "E-08";
    UntilIsExclusive breaks "E-03", "E-08";
    AfterIsInclusive breaks "E-08";
    AfterSkipsOne breaks "E-03", "E-08";
    CastsToInt breaks "E-03";
    SwallowsErrors breaks "E-09";
    SwallowsErrorsOfHead breaks "E-09";
    SwallowsErrorsOfKeys breaks "E-09";
    LosesWhatWasCutOff breaks "E-10";
    MixesReaders breaks "E-10";
    PanicsOnQuotes breaks "E-11";
    HangsOnLongIds breaks "E-11";
    OverflowsBehindTheEnd breaks "E-11";
    // Ends.
    HeadTooLow breaks "E-20";
    HeadTooHigh breaks "E-20";
    HeadOfAll breaks "E-20";
    HeadCountsRows breaks "E-20";
    FloorTooLow breaks "E-21";
    FailsBelowFloor breaks "E-21";
    FloorTooHigh breaks "E-22";
    FloorIsHead breaks "E-22";
    FloorIsFirst breaks "E-22";
    FloorsInReverse breaks "E-23";
    FloorsOfDistinctKeys breaks "E-23";
    FloorsNeedKeys breaks "E-23";
    // Lists.
    ManyWithoutTheLast breaks "E-30";
    ManyWithOneRange breaks "E-30", "E-32";
    ManyCutAtPages breaks "E-30";
    BreakEndsAll breaks "E-31";
    ManyOfDistinctKeys breaks "E-32";
    ManyNeedsKeys breaks "E-32";
    KeysTwice breaks "E-40", "E-42";
    KeysWithoutTheLast breaks "E-40", "E-41", "E-42";
    KeysOfFirstPage breaks "E-40", "E-41", "E-42";
    KeysBeyondLimit breaks "E-41";
    KeysOfAnyKind breaks "E-42";
    KeysByPrefix breaks "E-42";
    ForeignCursorIsStart breaks "E-43";
    TimesWithGaps breaks "E-50";
    TimesIgnoreAfter breaks "E-50", "E-51";
    TimesBeyondLimit breaks "E-50";
    OtherTimes breaks "E-51";
    // Hybrids.
    LookupIgnoresBounds breaks "H-01";
    LookupIsAbsent breaks "H-01";
    LookupOfRetired breaks "H-01";
    LookupOfRetiredInMany breaks "H-07";
    LookupWithoutBases breaks "H-01";
    TailAfterSnapshot breaks "H-02", "H-04";
    TailFromTheStart breaks "H-02";
    TailBeyondBound breaks "H-02";
    TailOfAnother breaks "H-02";
    TailWithoutEnd breaks "H-03";
    TailSaysWhole breaks "H-04";
    TailWithGap breaks "H-04";
    TailByTime breaks "H-04";
    FetchSwallowsErrors breaks "H-05";
    FetchLosesWhatWasCutOff breaks "H-06";
    FetchesInReverse breaks "H-07";
    FetchesWithoutTheLast breaks "H-07";
}

/// Runs the whole kit over the lie. The clock is the runtime's and stands still while there is
/// anything to do: who waits for ever is found out at once.
fn reports(lie: Lie, broken: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let sites = event_sites(move || Map::new(lie));
    let card = runtime.block_on(SourceConformance::of(&sites).run());
    let expected: BTreeSet<_> = broken.iter().copied().collect();
    assert_eq!(card.broken_promises(), expected, "{card}");
    // A case that could not be set up proves nothing.
    assert!(card.failures().all(|(_, failure)| !failure.broken.is_empty()), "{card}");
    if lie == Lie::None {
        assert_eq!(card.skipped().count(), 0, "{card}");
    }
}

/// No test of the kit is worth more than the defects that it was seen to find.
#[test]
fn every_obligation_is_broken_by_some_lie_and_listed_first() {
    let broken: BTreeSet<_> = BROKEN.iter().flat_map(|(_, ids)| *ids).copied().collect();
    let promised: BTreeSet<_> = source_cases().flat_map(Case::ids).copied().collect();
    assert_eq!(broken, promised);
}
