//! What a kit says about a lie, beside what the lie breaks.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use snapfold::conformance::Scorecard;

/// A lie, and the obligations that it breaks.
pub(crate) type Lie = (&'static str, &'static [&'static str]);

/// Describes a card that does not name exactly what the lie breaks. Empty if it does.
pub(crate) fn misjudged(card: &Scorecard, (lie, breaks): Lie) -> String {
    let mut wrong = String::new();
    let expected: BTreeSet<_> = breaks.iter().copied().collect();
    if card.broken_promises() != expected || card.is_conformant() != breaks.is_empty() {
        writeln!(wrong, "a store that {lie} breaks {breaks:?}:").unwrap();
        for (case, failure) in card.failures() {
            writeln!(wrong, "    {}: {failure}", case.name()).unwrap();
        }
    }
    wrong
}

/// Fails unless each of the promised obligations is broken by some lie, and the docs of the trait
/// list just those, in bold, with this prefix.
pub(crate) fn assert_all_are_broken(
    lies: &[Lie],
    promised: &BTreeSet<&'static str>,
    (docs, prefix): (&'static str, &str),
) {
    let broken: BTreeSet<_> = lies.iter().flat_map(|(_, breaks)| *breaks).copied().collect();
    assert_eq!(broken, *promised);
    let written: BTreeSet<_> = docs.split("**").filter(|text| text.starts_with(prefix)).collect();
    assert_eq!(written, *promised);
}
