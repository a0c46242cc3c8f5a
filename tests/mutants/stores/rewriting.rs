//! Lies about rewrites.

use snapfold::record::Record;
use snapfold::store::{Capabilities, Found, Lookup, Marks, PutOptions, Query, Rewrite};
use snapfold::{Error, ErrorKind, SnapshotId};

use super::disk::Incoming;
use super::mutant::{Answer, Mutant, Rewritten};
use super::truth::Truth;

mutants! {
    rewrites_and_tells_the_truth: Rewrites;
    refuses_rewrites_and_makes_them: RefusesAndRewrites breaks "C-70";
    rewrites_what_it_does_not_expect: ExpectsAnything breaks "C-70";
    brings_a_deleted_snapshot_back: StoresMissing breaks "C-70";
    compares_before_it_rewrites: TwoSteps breaks "C-70";
    says_that_every_rewrite_was_made: AllMade breaks "C-70";
    drops_the_marks_of_what_it_rewrites: DropsMarks breaks "C-71";
    keeps_the_base_of_what_was_rewritten: OldBases breaks "C-71";
    rewrites_before_it_has_checked_all: ChecksAsItGoes breaks "C-72";
    does_not_sync_rewrites: Unsynced breaks "C-73";
}

fn with_rewrites() -> Capabilities {
    Truth::capabilities().rewrites(true)
}

/// Puts the record in the place of the stored one, whatever that is.
fn replace(truth: &Truth, rewrite: &Rewrite) {
    truth.write(vec![rewrite.record.clone()], &PutOptions::default().replace(true));
}

fn stored(truth: &Truth, rewrite: &Rewrite) -> Option<Record> {
    let Incoming { key, id, .. } = truth.incoming(rewrite.record.clone());
    truth.rows(&key)?.by_id.get(&id).map(|row| row.record.clone())
}

#[derive(Default)]
struct Rewrites;

impl Mutant for Rewrites {
    fn capabilities(&self) -> Capabilities {
        with_rewrites()
    }
}

#[derive(Default)]
struct RefusesAndRewrites;

impl Mutant for RefusesAndRewrites {
    async fn rewrite(&self, truth: &Truth, rewrites: Vec<Rewrite>) -> Rewritten {
        truth.rewrite(&rewrites)?;
        Err(Error::new(ErrorKind::Unsupported, "rewrite snapshots", "no rewrites"))
    }
}

#[derive(Default)]
struct ExpectsAnything;

impl Mutant for ExpectsAnything {
    fn capabilities(&self) -> Capabilities {
        with_rewrites()
    }

    async fn rewrite(&self, truth: &Truth, mut rewrites: Vec<Rewrite>) -> Rewritten {
        Rewrite::check_all(&rewrites)?;
        for rewrite in &mut rewrites {
            rewrite.expected = stored(truth, rewrite).unwrap_or(rewrite.expected.clone());
        }
        truth.rewrite(&rewrites)
    }
}

#[derive(Default)]
struct StoresMissing;

impl Mutant for StoresMissing {
    fn capabilities(&self) -> Capabilities {
        with_rewrites()
    }

    async fn rewrite(&self, truth: &Truth, rewrites: Vec<Rewrite>) -> Rewritten {
        Rewrite::check_all(&rewrites)?;
        let missing = rewrites.iter().filter(|rewrite| stored(truth, rewrite).is_none());
        let missing: Vec<_> = missing.map(|rewrite| rewrite.record.clone()).collect();
        let rewritten = truth.rewrite(&rewrites);
        truth.put(missing, &PutOptions::default())?;
        rewritten
    }
}

#[derive(Default)]
struct TwoSteps;

impl Mutant for TwoSteps {
    fn capabilities(&self) -> Capabilities {
        with_rewrites()
    }

    async fn rewrite(&self, truth: &Truth, rewrites: Vec<Rewrite>) -> Rewritten {
        Rewrite::check_all(&rewrites)?;
        let is_expected = |rewrite: &Rewrite| {
            stored(truth, rewrite).is_some_and(|there| rewrite.replaces(&there))
        };
        let expected: Vec<_> = rewrites.iter().map(is_expected).collect();
        tokio::task::yield_now().await;
        for (rewrite, expected) in rewrites.iter().zip(&expected) {
            if *expected {
                replace(truth, rewrite);
            }
        }
        truth.disk().sync();
        Ok(expected)
    }
}

#[derive(Default)]
struct AllMade;

impl Mutant for AllMade {
    fn capabilities(&self) -> Capabilities {
        with_rewrites()
    }

    async fn rewrite(&self, truth: &Truth, rewrites: Vec<Rewrite>) -> Rewritten {
        Ok(vec![true; truth.rewrite(&rewrites)?.len()])
    }
}

#[derive(Default)]
struct DropsMarks;

impl Mutant for DropsMarks {
    fn capabilities(&self) -> Capabilities {
        with_rewrites()
    }

    async fn rewrite(&self, truth: &Truth, rewrites: Vec<Rewrite>) -> Rewritten {
        let rewritten = truth.rewrite(&rewrites)?;
        for (rewrite, _) in rewrites.into_iter().zip(&rewritten).filter(|(_, made)| **made) {
            let Incoming { place, id, .. } = truth.incoming(rewrite.record);
            let mut disk = truth.disk();
            let rows = disk.written.get_mut(&place).unwrap();
            rows.by_id.get_mut(&id).unwrap().marks = Marks::NONE;
        }
        Ok(rewritten)
    }
}

/// Remembers the bases of deltas, and does not notice that a rewrite changes them.
#[derive(Default)]
struct OldBases(std::sync::Mutex<std::collections::BTreeMap<SnapshotId, Vec<Record>>>);

impl Mutant for OldBases {
    fn capabilities(&self) -> Capabilities {
        with_rewrites()
    }

    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let Lookup::Found(found) = truth.get(query) else { return Ok(truth.get(query)) };
        let id = SnapshotId { generation: query.generation, version: found.version };
        let bases = self.0.lock().unwrap().get(&id).cloned().unwrap_or(found.bases);
        Ok(Lookup::Found(Found::new(found.version, found.record).with_bases(bases)))
    }

    async fn rewrite(&self, truth: &Truth, rewrites: Vec<Rewrite>) -> Rewritten {
        for rewrite in &rewrites {
            let Ok(header) = rewrite.expected.header() else { continue };
            let id = SnapshotId { generation: header.generation, version: header.version };
            let key = truth.incoming(rewrite.expected.clone()).key;
            if let (Some(_), Lookup::Found(found)) =
                (header.base, truth.get(Query::exact(&key, id)))
            {
                self.0.lock().unwrap().insert(id, found.bases);
            }
        }
        truth.rewrite(&rewrites)
    }
}

#[derive(Default)]
struct ChecksAsItGoes;

impl Mutant for ChecksAsItGoes {
    fn capabilities(&self) -> Capabilities {
        with_rewrites()
    }

    async fn rewrite(&self, truth: &Truth, rewrites: Vec<Rewrite>) -> Rewritten {
        if rewrites.is_empty() {
            return Ok(Vec::new());
        }
        let mut rewritten = Vec::new();
        for rewrite in rewrites {
            rewritten.extend(truth.rewrite(&[rewrite])?);
        }
        Ok(rewritten)
    }
}

#[derive(Default)]
struct Unsynced;

impl Mutant for Unsynced {
    fn capabilities(&self) -> Capabilities {
        with_rewrites()
    }

    async fn rewrite(&self, truth: &Truth, rewrites: Vec<Rewrite>) -> Rewritten {
        truth.rewrite_unsynced(&rewrites)
    }
}
