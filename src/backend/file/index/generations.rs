//! [`Generations`]: short numbers for the generations in a store.

use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard};

use super::Place;
use crate::generation::Generation;

/// Assigns numbers to the generations in a store. The numbers exist only in memory.
#[derive(Default)]
pub(crate) struct Generations {
    /// The first few generations, which are read without a lock. Most stores have no more.
    first: [OnceLock<Generation>; 4],
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    values: Vec<Generation>,
    numbers: HashMap<Generation, u32>,
}

impl Generations {
    pub(crate) fn find(&self, generation: Generation) -> Option<u32> {
        for (number, value) in (0..).zip(&self.first) {
            match value.get() {
                Some(value) if *value == generation => return Some(number),
                Some(_) => {}
                None => return None,
            }
        }
        self.table().numbers.get(&generation).copied()
    }

    /// Returns the number of a generation, and assigns one if necessary. Returns `None` if all
    /// numbers are taken.
    pub(crate) fn number(&self, generation: Generation) -> Option<u32> {
        if let Some(number) = self.find(generation) {
            return Some(number);
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = table.numbers.get(&generation) {
            return Some(*number);
        }
        let number = u32::try_from(table.values.len()).ok()?;
        if number >= Place::MAX_GENERATIONS {
            return None;
        }
        if let Some(first) = self.first.get(table.values.len()) {
            // The cell is empty, because numbers are assigned in order and under the lock.
            let _ = first.set(generation);
        }
        table.values.push(generation);
        table.numbers.insert(generation, number);
        Some(number)
    }

    pub(crate) fn value(&self, number: u32) -> Option<Generation> {
        self.table().values.get(number as usize).copied()
    }

    fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}
