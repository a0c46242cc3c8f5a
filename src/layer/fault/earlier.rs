//! [`Earlier`]: earlier answers of a store, to simulate a lagging replica.

use std::collections::{HashMap, VecDeque};

use fastrand::Rng;

use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::store::{ListRequest, Lookup, Page, Query};
use crate::timestamp::Timestamp;

const MAX_QUESTIONS: usize = 256;
const MAX_ANSWERS: usize = 4;
/// All answers are dropped when the remembered records reach this size.
const MAX_BYTES: usize = 32 << 20;

/// The last distinct answers to a bounded number of requests.
#[derive(Default)]
pub(super) struct Earlier {
    answers: HashMap<EarlierQuestion, VecDeque<EarlierAnswer>>,
    bytes: usize,
}

#[derive(PartialEq, Eq, Hash)]
pub(super) enum EarlierQuestion {
    Get(AggregateKey, Generation, u64, u64, Option<Timestamp>, bool),
    List(AggregateKey, u64, u64, Option<SnapshotId>, usize),
}

#[derive(Clone, PartialEq)]
pub(super) enum EarlierAnswer {
    Lookup(Lookup),
    Page(Page<SnapshotMeta, SnapshotId>),
}

impl Earlier {
    pub(super) fn remember(&mut self, question: EarlierQuestion, answer: EarlierAnswer) {
        let known = self.answers.contains_key(&question);
        if (!known && self.answers.len() >= MAX_QUESTIONS) || self.bytes >= MAX_BYTES {
            *self = Self::default();
        }
        let answers = self.answers.entry(question).or_default();
        if answers.back() == Some(&answer) {
            return;
        }
        self.bytes += answer.bytes();
        answers.push_back(answer);
        if answers.len() > MAX_ANSWERS
            && let Some(oldest) = answers.pop_front()
        {
            self.bytes -= oldest.bytes();
        }
    }

    /// Returns an earlier answer to the same request, or `without_newest`. Never returns `truth`.
    pub(super) fn pick(
        &self,
        question: &EarlierQuestion,
        truth: &EarlierAnswer,
        without_newest: Option<EarlierAnswer>,
        rng: &mut Rng,
    ) -> Option<EarlierAnswer> {
        let earlier = self.answers.get(question).into_iter().flatten().cloned();
        let mut lies: Vec<_> =
            earlier.chain(without_newest).filter(|answer| answer != truth).collect();
        (!lies.is_empty()).then(|| lies.swap_remove(rng.usize(..lies.len())))
    }
}

impl EarlierAnswer {
    fn bytes(&self) -> usize {
        match self {
            Self::Lookup(Lookup::Found(found)) => {
                let records = found.bases.iter().chain([&found.record]);
                records.map(|record| record.as_bytes().len()).sum()
            }
            Self::Lookup(_) => 0,
            Self::Page(page) => page.items.len() * size_of::<SnapshotMeta>(),
        }
    }
}

impl From<&Query<'_>> for EarlierQuestion {
    fn from(query: &Query<'_>) -> Self {
        let Query { key, generation, at_most, at_least, as_of, include_retired } = *query;
        Self::Get(key.clone(), generation, at_most, at_least, as_of, include_retired)
    }
}

impl From<&ListRequest<'_>> for EarlierQuestion {
    fn from(request: &ListRequest<'_>) -> Self {
        let ListRequest { key, at_most, at_least, after, limit } = *request;
        Self::List(key.clone(), at_most, at_least, after, limit)
    }
}
