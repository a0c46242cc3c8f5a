//! The state types, by topic. Each has a line in the table of `docs/state-types.md` if it is
//! refused anywhere.

mod attributes;
mod collections;
mod enums;
mod nested;
mod numbers;
mod standard;
mod text;
mod time;
mod unseen;

use crate::Case;

/// All types under all codecs, in the order of the table.
pub fn cases() -> Vec<Case> {
    let topics = [
        standard::cases(),
        collections::cases(),
        attributes::cases(),
        enums::cases(),
        nested::cases(),
        numbers::cases(),
        time::cases(),
        text::cases(),
    ];
    topics.into_iter().flatten().flatten().collect()
}

/// Types that hide part of their value from serde, judged with the application's own comparison.
pub fn unseen() -> Vec<Case> {
    unseen::cases().into_iter().flatten().collect()
}

/// A list of types, each with a shorter name if need be.
macro_rules! types {
    ($($t:ty $(as $name:literal)?,)*) => {
        /// The cases of this topic, type by type.
        pub(super) fn cases() -> Vec<Vec<$crate::Case>> {
            vec![$({
                #[allow(unused_mut, unused_assignments)]
                let mut name = stringify!($t).replace(char::is_whitespace, "");
                $(name = $name.to_owned();)?
                $crate::Case::all::<$t>(&name)
            }),*]
        }
    };
}
use types;
