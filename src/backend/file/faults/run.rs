//! [`Run`]: a workload on a simulated disk, and the expected content afterwards.

use std::sync::Arc;

use super::workload::{Doing, Model, Step, chain, generation, record};
use crate::backend::file::config::FileStoreConfig;
use crate::backend::file::core::Core;
use crate::backend::file::disk::Disk;
use crate::backend::file::disk::sim::{SimDisk, Survival};
use crate::backend::file::format::names;
use crate::backend::file::maintain::repair;
use crate::backend::file::maintain::verify::verify;
use crate::backend::file::problem::Problem;
use crate::backend::file::read::{Patience, Unread};
use crate::backend::file::recover::open;
use crate::backend::file::write::flight::Flight;
use crate::backend::file::write::group::Begun;
use crate::error::{ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::mark::{Mark, Marks};
use crate::snapshot_id::SnapshotId;
use crate::store::{KeysRequest, ListRequest, Lookup, Query};
use crate::timestamp::Timestamp;

pub(super) fn config() -> FileStoreConfig {
    FileStoreConfig::new("/store".into()).segment_bytes(4096).reserve_bytes(0).background(false)
}

/// Opens a store after a power failure, with and without index files, and checks that its content
/// is the same.
pub(super) fn reopened(disk: &SimDisk, config: &FileStoreConfig, core: Core) -> (SimDisk, Core) {
    let before = content(&core);
    drop(core);
    let disk = disk.after_crash(Survival::Nothing);
    let open = || open::open(Arc::new(disk.clone()), config.clone()).unwrap();
    assert!(content(&open()) == before, "with the index files");
    for name in disk.files(&config.dir).unwrap() {
        if names::hints_id(&name).is_some() {
            disk.remove(&config.dir.join(name)).unwrap();
        }
    }
    let core = open();
    assert!(content(&core) == before, "without the index files");
    (disk, core)
}

/// Collects everything in a store through every way of reading it.
pub(super) fn content(core: &Core) -> Model {
    fn fine<T>(read: Result<T, Unread>) -> T {
        match read {
            Ok(value) => value,
            Err(Unread::Failed(error)) => panic!("{error:?}"),
            Err(Unread::WouldWait) => panic!("would wait"),
        }
    }
    let mut model = Model::new();
    let mut found_bases = Vec::new();
    let all = KeysRequest::new().limit(usize::MAX);
    let keys = fine(core.keys(Patience::Unlimited, &all));
    for key in keys.items {
        let page = fine(core.list(Patience::Unlimited, &ListRequest::new(&key)));
        assert!(!page.items.is_empty() && page.next.is_none());
        for meta in page.items {
            let query = Query::exact(&key, meta.id());
            let Lookup::Found(found) = fine(core.get(Patience::Unlimited, &query)) else {
                panic!("listed and not found: {meta:?}");
            };
            assert_eq!(found.version, meta.version);
            found.record.verify().expect("a stored record verifies");
            let in_use = fine(core.get(Patience::Unlimited, &query.include_retired(false)));
            assert_eq!(matches!(in_use, Lookup::Found(_)), !meta.is_retired(), "{meta:?}");
            found_bases.push((key.clone(), meta.id(), found.bases));
            model.insert((key.clone(), meta.id()), (found.record, meta.marks.clone()));
        }
    }
    for (key, id, bases) in found_bases {
        assert!(bases == chain(&model, &key, id), "{key} {id} comes with other bases");
    }
    assert_eq!(core.snapshots.load(std::sync::atomic::Ordering::Relaxed), model.len() as u64);
    // Marks are removed with their snapshots.
    assert!(core.index.notes() <= model.len());
    model
}

/// A run of a workload, with what must be and what may be in the store.
pub(super) struct Run {
    /// The content that is certain.
    pub(super) model: Model,
    /// The content after each further part of a group whose outcome is unknown.
    pub(super) maybe: Vec<Model>,
    pub(super) core: Option<Core>,
}

impl Run {
    /// Runs until the workload ends or the store accepts no more operations.
    pub(super) fn of(disk: &SimDisk, config: &FileStoreConfig, steps: &[Step]) -> Self {
        let open = || open::open(Arc::new(disk.clone()), config.clone());
        let mut run = Self { model: Model::new(), maybe: Vec::new(), core: open().ok() };
        for step in steps {
            let Some(core) = &run.core else { break };
            match step {
                Step::Group(group) => run.groups(std::slice::from_ref(group)),
                Step::Overlapping(groups) => run.groups(groups),
                Step::Compact => {
                    let _ = core.compact(&mut |_| true);
                }
                Step::Prepare => {
                    if let Ok(prepared) = core.prepare(core.zero_bytes()) {
                        core.offer(prepared);
                    }
                }
                Step::Reopen { cleanly } => {
                    if *cleanly {
                        let _ = core.shut_down();
                    }
                    run.core = None;
                    run.core = open().ok();
                    if let (Some(core), true) = (&run.core, run.maybe.is_empty()) {
                        assert!(content(core) == run.model, "a reopened store differs");
                    } else if let Some(core) = &run.core {
                        run.model = content(core);
                        assert!(run.maybe.contains(&run.model), "a reopened store differs");
                        run.maybe.clear();
                    }
                }
            }
        }
        run
    }

    /// Starts each group before the previous one is visible, if they can share the log.
    fn groups(&mut self, groups: &[Vec<Doing>]) {
        let Some(core) = &self.core else { return };
        let mut doings = Vec::new();
        let mut answers = Vec::new();
        let mut flights = Vec::new();
        let land = |flight: Flight<'_>| flight.land(core.flights.turn()).answers;
        for group in groups {
            let mut works = Vec::new();
            for doing in group {
                match doing.work(core) {
                    Ok(Some(work)) => {
                        works.push(work);
                        doings.push(doing);
                    }
                    Ok(None) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Poisoned),
                }
            }
            // A poisoned store answers each work item of the group with an error.
            match core.begin(works) {
                Begun::Written(flight) => flights.push(flight),
                Begun::Done(done) => {
                    answers.extend(flights.drain(..).flat_map(land));
                    answers.extend(done);
                }
                Begun::Alone(alone) => {
                    answers.extend(flights.drain(..).flat_map(land));
                    answers.extend(core.commit_alone(alone));
                }
            }
        }
        answers.extend(flights.drain(..).flat_map(land));
        let mut unknown = None;
        for (doing, answer) in doings.iter().zip(&answers) {
            match answer {
                Ok(answer) => {
                    let already = unknown.is_some().then(|| self.model.clone());
                    doing.apply(&mut self.model, Some(answer));
                    // After a failure, only work that had nothing to write has succeeded.
                    assert!(already.is_none_or(|already| already == self.model));
                }
                // The work may be done completely, up to this part, or not at all.
                Err(error) if error.retry() == Retry::Unknown => {
                    let after = unknown.get_or_insert_with(|| {
                        self.maybe = vec![self.model.clone()];
                        self.model.clone()
                    });
                    doing.apply(after, None);
                    self.maybe.push(after.clone());
                }
                Err(_) => {}
            }
        }
    }

    fn allows(&self, found: &Model) -> bool {
        *found == self.model || self.maybe.contains(found)
    }
}

/// Opens and checks the store that a crash left, and continues to use it.
pub(super) fn check_recovery(
    run: &Run,
    disk: &SimDisk,
    config: &FileStoreConfig,
    what: &dyn Fn() -> String,
) {
    // The remains of a crash do not count as damage.
    let verified = verify(disk, &config.dir).unwrap();
    let no_store = Problem::new(names::MANIFEST, None, "the file is missing");
    let problems = verified.problems;
    assert!(problems.is_empty() || problems == [no_store], "{}: {problems:?}", what());
    // A repair agrees, and the store opens afterwards as it would have without the repair. Half of
    // the cases are repaired first; the others are opened directly.
    if problems.is_empty() && verified.records.is_multiple_of(2) {
        let repaired = repair::repair(disk, &config.dir).unwrap();
        assert_eq!((repaired.problems, repaired.replaced), (vec![], vec![]), "{}", what());
    }
    let core = open::open(Arc::new(disk.clone()), config.clone())
        .unwrap_or_else(|error| panic!("{}: {error:?}", what()));
    let found = content(&core);
    assert!(run.allows(&found), "{}: the store differs from what was acknowledged", what());
    let mut dice = 5;
    let key = AggregateKey::new("k", "after").unwrap();
    let id = SnapshotId { generation: generation(1), version: 3 };
    let record = record(&key, id, &mut dice);
    let marks = Marks::new([Mark::pin("after", Timestamp::from_seconds(1))]).unwrap();
    let put = Doing::Put { records: vec![(key, id, record)], replace: false, marks };
    let work = put.work(&core).unwrap().unwrap();
    let answer = core.commit(vec![work], || ()).answers.remove(0);
    let answer = answer.unwrap_or_else(|error| panic!("{}: {error:?}", what()));
    let mut expected = found.clone();
    put.apply(&mut expected, Some(&answer));
    core.compact(&mut |_| true).unwrap_or_else(|error| panic!("{}: {error:?}", what()));
    drop(core);
    let core = open::open(Arc::new(disk.after_crash(Survival::Nothing)), config.clone())
        .unwrap_or_else(|error| panic!("{} and again: {error:?}", what()));
    assert!(content(&core) == expected, "{}: the second opening differs", what());
}
