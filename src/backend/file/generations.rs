//! [`Generations`]: short numbers for the generations in a store.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use super::index::Place;
use crate::generation::Generation;

/// Numbers the generations in a store; in memory only.
#[derive(Default)]
pub(super) struct Generations(RwLock<Table>);

#[derive(Default)]
struct Table {
    values: Vec<Generation>,
    numbers: HashMap<Generation, u32>,
}

impl Generations {
    pub(super) fn find(&self, generation: Generation) -> Option<u32> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // Nearly all stores hold a handful, which are found faster than hashed.
        let few = table.values.iter().take(4).position(|value| *value == generation);
        match few {
            Some(number) => u32::try_from(number).ok(),
            None if table.values.len() <= 4 => None,
            None => table.numbers.get(&generation).copied(),
        }
    }

    /// The number of a generation, a new one if need be; `None` if all numbers are taken.
    pub(super) fn number(&self, generation: Generation) -> Option<u32> {
        if let Some(number) = self.find(generation) {
            return Some(number);
        }
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = table.numbers.get(&generation) {
            return Some(*number);
        }
        let number = u32::try_from(table.values.len()).ok()?;
        if number >= Place::MAX_GENERATIONS {
            return None;
        }
        table.values.push(generation);
        table.numbers.insert(generation, number);
        Some(number)
    }

    pub(super) fn value(&self, number: u32) -> Option<Generation> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        table.values.get(number as usize).copied()
    }
}
