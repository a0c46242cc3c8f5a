//! Lies that show when calls overlap, or are given up half way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use snapfold::record::{Generation, Record};
use snapfold::store::{Lookup, PutOptions, PutOutcome, Query, Selection};
use snapfold::{AggregateKey, Error, ErrorKind};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::disk::{Disk, Incoming};
use super::mutant::{Answer, CutOff, Erased, Mutant, Outcomes};
use super::truth::Truth;

mutants! {
    replaces_by_delete_and_insert: TornReplace breaks "C-05", "C-12";
    shows_records_before_they_are_whole: TornPut breaks "C-04", "C-05";
    shares_a_read_that_began_before_the_put: SharesReads breaks "C-23";
    fills_its_cache_with_what_it_read_before_a_put: RacyCache breaks "C-23";
    loses_one_of_two_puts_at_once: LostUpdate breaks "C-10";
    stores_two_firsts_at_once: CheckThenInsert breaks "C-11";
    fails_where_a_delete_overtakes_a_get: FindThenRead breaks "C-02";
    never_unlocks_after_a_cancelled_put: LeaksTheLock breaks "C-05";
    takes_back_too_much_of_a_cancelled_put: RollsBackTooMuch breaks "C-05";
    leaves_half_a_record_of_a_cancelled_put: LeavesTorn breaks "C-05";
    finishes_a_cancelled_put_behind_a_delete: FinishesLate breaks "C-53";
}

type Queued = Vec<(Vec<Record>, PutOptions)>;

/// Has a queue of puts, which outlives their callers, and deletes without looking into it.
#[derive(Default)]
struct FinishesLate(Arc<Mutex<Queued>>);

impl FinishesLate {
    fn finish(&self, truth: &Truth) {
        for (records, options) in self.0.lock().unwrap().drain(..) {
            // Nobody listens any more.
            let _ = truth.put(records, &options);
        }
    }
}

impl Mutant for FinishesLate {
    fn begins(&self, records: &[Record], options: &PutOptions) -> Option<CutOff> {
        let (queue, put) = (Arc::clone(&self.0), (records.to_vec(), options.clone()));
        Some(CutOff::new(move || queue.lock().unwrap().push(put)))
    }

    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        self.finish(truth);
        truth.put(records, options)
    }

    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        self.finish(truth);
        Ok(truth.get(query))
    }
}

#[derive(Default)]
struct TornReplace;

impl Mutant for TornReplace {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        if !options.replace {
            return truth.put(records, options);
        }
        let there = |record: &Record| {
            let Incoming { place, id, .. } = truth.incoming(record.clone());
            truth.disk().remove(&place, id).is_some()
        };
        let there: Vec<_> = records.iter().map(there).collect();
        yield_now().await;
        let outcomes = truth.put(records, options)?.into_iter().zip(there);
        let told = |(outcome, there)| if there { PutOutcome::Replaced } else { outcome };
        Ok(outcomes.map(told).collect())
    }
}

/// The first part of each is written, then the rest.
#[derive(Default)]
struct TornPut;

impl Mutant for TornPut {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let mut begun = Vec::new();
        for record in &records {
            let torn = torn(truth.incoming(record.clone()));
            let (place, id) = (torn.place.clone(), torn.id);
            if truth.disk().insert(torn, &PutOptions::default()) == PutOutcome::Stored {
                begun.push((place, id));
            }
        }
        yield_now().await;
        for (place, id) in begun {
            truth.disk().remove(&place, id);
        }
        truth.put(records, options)
    }
}

fn torn(mut incoming: Incoming) -> Incoming {
    let bytes = incoming.row.record.as_bytes();
    incoming.row.record = Record::from_bytes(bytes[..bytes.len() - bytes.len() / 4].to_vec());
    incoming
}

/// Whoever reads joins the read of the same key that is under way, however old.
#[derive(Default)]
struct SharesReads(Mutex<Reads>);

#[derive(Default)]
struct Reads {
    running: usize,
    view: Option<Truth>,
}

impl Mutant for SharesReads {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let answer = {
            let mut reads = self.0.lock().unwrap();
            reads.running += 1;
            reads.view.get_or_insert_with(|| truth.frozen()).get(query)
        };
        let end = OnDrop::new(|| {
            let mut reads = self.0.lock().unwrap();
            reads.running -= 1;
            if reads.running == 0 {
                reads.view = None;
            }
        });
        yield_now().await;
        drop(end);
        Ok(answer)
    }
}

/// A put clears the cache; a get that read before the put fills it after.
#[derive(Default)]
struct RacyCache(Mutex<HashMap<(AggregateKey, Generation), Lookup>>);

impl Mutant for RacyCache {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let outcomes = truth.put(records, options);
        self.0.lock().unwrap().clear();
        outcomes
    }

    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        if query != Query::latest(query.key, query.generation) {
            return Ok(truth.get(query));
        }
        let cached = (query.key.clone(), query.generation);
        if let Some(answer) = self.0.lock().unwrap().get(&cached) {
            return Ok(answer.clone());
        }
        let answer = truth.get(query);
        yield_now().await;
        self.0.lock().unwrap().insert(cached, answer.clone());
        Ok(answer)
    }

    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        let deleted = truth.delete(key, selection);
        self.0.lock().unwrap().clear();
        Ok(deleted)
    }
}

/// Reads all that is kept of the aggregates, adds to it, and writes it back.
#[derive(Default)]
struct LostUpdate;

impl Mutant for LostUpdate {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let incoming: Vec<_> = records.into_iter().map(|record| truth.incoming(record)).collect();
        let mut own = Disk::default();
        for Incoming { place, key, .. } in &incoming {
            own.written.extend(truth.rows(key).map(|rows| (place.clone(), rows)));
        }
        let outcomes = incoming.into_iter().map(|incoming| own.insert(incoming, options));
        let outcomes = outcomes.collect();
        yield_now().await;
        let mut disk = truth.disk();
        disk.written.append(&mut own.written);
        disk.dirty.append(&mut own.dirty);
        disk.sync();
        Ok(outcomes)
    }
}

#[derive(Default)]
struct CheckThenInsert;

impl Mutant for CheckThenInsert {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let free = |record: &Record| {
            let Incoming { key, id, .. } = truth.incoming(record.clone());
            !truth.rows(&key).is_some_and(|rows| rows.by_id.contains_key(&id))
        };
        let all_free = records.iter().all(free);
        yield_now().await;
        if all_free && records.len() == 1 {
            truth.put(records, &PutOptions::default().replace(true))?;
            return Ok(vec![PutOutcome::Stored]);
        }
        truth.put(records, options)
    }
}

/// Looks the version up, and then reads it.
#[derive(Default)]
struct FindThenRead;

impl Mutant for FindThenRead {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let Lookup::Found(found) = truth.get(query) else { return Ok(truth.get(query)) };
        yield_now().await;
        match truth.get(query.at_most(found.version)) {
            Lookup::Found(still) if still.version == found.version => Ok(Lookup::Found(still)),
            _ => Err(Error::new(ErrorKind::Store, "get", "the row has gone")),
        }
    }
}

struct LeaksTheLock(Semaphore);

impl Default for LeaksTheLock {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl Mutant for LeaksTheLock {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        self.0.acquire().await.unwrap().forget();
        yield_now().await;
        let outcomes = truth.put(records, options);
        self.0.add_permits(1);
        outcomes
    }
}

/// Deletes what the cancelled put would have stored, also where another was there before.
#[derive(Default)]
struct RollsBackTooMuch;

impl Mutant for RollsBackTooMuch {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let rollback = OnDrop::new(|| {
            for record in &records {
                let Incoming { place, id, .. } = truth.incoming(record.clone());
                truth.disk().remove(&place, id);
            }
            truth.disk().sync();
        });
        yield_now().await;
        rollback.disarm();
        truth.put(records, options)
    }
}

#[derive(Default)]
struct LeavesTorn;

impl Mutant for LeavesTorn {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let cut_off = OnDrop::new(|| {
            for record in &records {
                truth.disk().insert(torn(truth.incoming(record.clone())), options);
            }
        });
        yield_now().await;
        cut_off.disarm();
        truth.put(records, options)
    }
}

/// What is done when a call is given up.
struct OnDrop<F: FnMut()>(Option<F>);

impl<F: FnMut()> OnDrop<F> {
    fn new(done: F) -> Self {
        Self(Some(done))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(done) = &mut self.0 {
            done();
        }
    }
}
