//! [`Marks`]: all marks of one snapshot.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::{Mark, MarkChange, MarkKind, invalid};
use crate::error::Error;

/// The marks of one snapshot. There are at most [`Marks::MAX`] marks, and at most one of each kind
/// and name. They are ordered by kind (pins first) and then bytewise by name.
///
/// Cloning only increments a reference count. An empty set does not allocate.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Marks(Option<Arc<[Mark]>>);

impl Marks {
    /// The maximum number of marks of a snapshot (inclusive).
    pub const MAX: usize = 32;
    /// No marks.
    pub const NONE: Self = Self(None);

    /// Creates a set of marks. Of two marks with the same kind and name, the later one is kept.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if a mark does not pass
    /// [`Mark::check`], or if more than [`Marks::MAX`] marks remain.
    pub fn new(marks: impl IntoIterator<Item = Mark>) -> Result<Self, Error> {
        Self::NONE.with_all(marks)
    }

    /// Returns whether the snapshot has at least one pin.
    pub fn is_pinned(&self) -> bool {
        self.first().is_some_and(|mark| mark.kind == MarkKind::Pin)
    }

    /// Returns whether the snapshot has at least one retirement.
    pub fn is_retired(&self) -> bool {
        self.iter().any(|mark| mark.kind == MarkKind::Retirement)
    }

    /// Returns the mark with this kind and name.
    pub fn find(&self, kind: MarkKind, name: &str) -> Option<&Mark> {
        let at = self.binary_search_by(|mark| mark.id().cmp(&(kind, name))).ok()?;
        self.get(at)
    }

    /// Returns the marks after `change`, or `None` if it changes nothing. For implementers of
    /// [`SnapshotStore`](crate::SnapshotStore).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the change does not pass
    /// [`MarkChange::check`], or if there would be more than [`Marks::MAX`] marks.
    pub fn changed(&self, change: MarkChange<'_>) -> Result<Option<Self>, Error> {
        change.check()?;
        match change {
            MarkChange::Set(mark) if self.find(mark.kind, &mark.name) == Some(mark) => Ok(None),
            MarkChange::Set(mark) => self.with_all([mark.clone()]).map(Some),
            MarkChange::Clear { kind, name } if self.find(kind, name).is_some() => {
                let rest = self.iter().filter(|mark| mark.id() != (kind, name));
                Ok(Some(Self::from_sorted(rest.cloned().collect())))
            }
            MarkChange::Clear { .. } => Ok(None),
        }
    }

    /// Returns these marks together with `later`, which take precedence over marks with the same
    /// kind and name. A snapshot whose record is replaced gets this set. For implementers of
    /// [`SnapshotStore`](crate::SnapshotStore).
    ///
    /// # Errors
    /// The same errors as [`Marks::new`].
    pub fn merged(&self, later: &Self) -> Result<Self, Error> {
        match (&self.0, &later.0) {
            (_, None) => Ok(self.clone()),
            (None, _) => Ok(later.clone()),
            _ => self.with_all(later.iter().cloned()),
        }
    }

    fn with_all(&self, later: impl IntoIterator<Item = Mark>) -> Result<Self, Error> {
        let mut marks = self.to_vec();
        for mark in later {
            mark.check()?;
            match marks.binary_search_by(|there| there.id().cmp(&mark.id())) {
                Ok(at) => {
                    if let Some(there) = marks.get_mut(at) {
                        *there = mark;
                    }
                }
                Err(_) if marks.len() >= Self::MAX => return Err(Self::too_many()),
                Err(at) => marks.insert(at, mark),
            }
        }
        Ok(Self::from_sorted(marks))
    }

    fn from_sorted(marks: Vec<Mark>) -> Self {
        Self((!marks.is_empty()).then(|| marks.into()))
    }

    /// Returns the error for adding a mark to a snapshot that has the maximum number.
    pub(crate) fn too_many() -> Error {
        let limit = Self::MAX;
        invalid(format!("a snapshot can have at most {limit} marks: clear one first"))
    }
}

impl Deref for Marks {
    type Target = [Mark];

    fn deref(&self) -> &[Mark] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::MarkKind::{Pin, Retirement};
    use super::*;
    use crate::error::ErrorKind;
    use crate::timestamp::Timestamp;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn names(marks: &Marks) -> Vec<(MarkKind, &str)> {
        marks.iter().map(Mark::id).collect()
    }

    #[test]
    fn marks_are_ordered_unique_and_changed_one_by_one() {
        let given = [
            Mark::retirement("b", at(1)),
            Mark::pin("c", at(2)),
            Mark::pin("a", at(3)),
            Mark::pin("c", at(4)).note("again"),
        ];
        let marks = Marks::new(given).unwrap();
        assert_eq!(names(&marks), [(Pin, "a"), (Pin, "c"), (Retirement, "b")]);
        assert_eq!(marks.find(Pin, "c").unwrap().note, "again");
        assert!(marks.is_pinned() && marks.is_retired());

        let same = marks.find(Pin, "a").unwrap();
        assert_eq!(marks.changed(MarkChange::Set(same)).unwrap(), None);
        let later = Mark::pin("a", at(9));
        let changed = marks.changed(MarkChange::Set(&later)).unwrap().unwrap();
        assert_eq!(changed.find(Pin, "a"), Some(&later));
        // The same name with another kind is a different mark.
        let clear = MarkChange::Clear { kind: Retirement, name: "a" };
        assert_eq!(marks.changed(clear).unwrap(), None);
        let clear = MarkChange::Clear { kind: Retirement, name: "b" };
        let rest = marks.changed(clear).unwrap().unwrap();
        assert!(rest.is_pinned() && !rest.is_retired());
        let only = Marks::new([Mark::retirement("b", at(1))]).unwrap();
        assert!(!only.is_pinned());
        assert_eq!(only.changed(clear).unwrap(), Some(Marks::NONE));
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_and_a_full_set_can_still_be_changed() {
        let invalid = |result: Result<_, Error>| {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
        };
        let text = |bytes| "x".repeat(bytes);
        let name = |n: usize| Mark::pin(text(n), at(1));
        invalid(name(0).check());
        invalid(name(Mark::MAX_NAME_BYTES + 1).check());
        name(Mark::MAX_NAME_BYTES).check().unwrap();
        invalid(name(1).note(text(Mark::MAX_NOTE_BYTES + 1)).check());
        name(1).note(text(Mark::MAX_NOTE_BYTES)).check().unwrap();
        invalid(name(1).actor(text(Mark::MAX_ACTOR_BYTES + 1)).check());
        name(1).actor(text(Mark::MAX_ACTOR_BYTES)).check().unwrap();
        invalid(MarkChange::Clear { kind: Pin, name: "" }.check());

        let all = (0..Marks::MAX).map(|n| Mark::pin(format!("{n}"), at(1)));
        let full = Marks::new(all.clone()).unwrap();
        invalid(Marks::new(all.chain([Mark::retirement("one", at(1))])).map(drop));
        let one = Mark::retirement("one", at(1));
        invalid(full.changed(MarkChange::Set(&one)).map(drop));
        invalid(full.merged(&Marks::new([one]).unwrap()).map(drop));
        let again = Mark::pin("7", at(2));
        assert!(full.changed(MarkChange::Set(&again)).unwrap().is_some());
        assert_eq!(full.merged(&Marks::NONE).unwrap(), full);
        assert_eq!(Marks::NONE.merged(&full).unwrap(), full);
    }
}
