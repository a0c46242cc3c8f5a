//! A time decides which snapshot a load starts from. The stores that come with the crate find it
//! without a walk over newer ones; they must find just what a walk would find, also where times do not
//! rise with versions, as after a history was restored and went on.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::scratch;
use snapfold::codec::CodecId;
use snapfold::file::FileStore;
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{DeleteOptions, Lookup, PutOptions, Query, Selection};
use snapfold::{AggregateKey, MemoryStore, SnapshotId, SnapshotStore, Timestamp};

type Model = BTreeMap<(u64, Generation), (Timestamp, Record)>;

const GENERATIONS: [Generation; 2] = [
    Generation { schema_version: 1, fingerprint: 7 },
    Generation { schema_version: 2, fingerprint: 9 },
];

fn open(dir: &Path) -> FileStore {
    FileStore::builder(dir)
        .segment_bytes(1 << 15)
        .reserve_bytes(0)
        .background(false)
        .open()
        .unwrap()
}

/// What a walk from the newest on finds.
fn walk(model: &Model, query: &Query<'_>) -> Lookup {
    let mut others = false;
    for ((version, generation), (time, record)) in model.iter().rev() {
        if query.admits(*version, *time) {
            others = true;
            if *generation == query.generation {
                return Lookup::Found(snapfold::store::Found::new(*version, record.clone()));
            }
        }
    }
    if others { Lookup::OtherGeneration } else { Lookup::Absent }
}

#[derive(Clone, Copy, Debug)]
enum Times {
    Rising,
    /// Rises, and was set back at times.
    SetBack,
    Any,
    Same,
}

impl Times {
    fn of(self, version: u64, dice: &mut fastrand::Rng) -> Timestamp {
        let version = i64::try_from(version).unwrap();
        Timestamp::from_micros(match self {
            Self::Rising => version * 10,
            Self::SetBack => (version % 100) * 10 + version,
            Self::Any => {
                [dice.i64(0..4000), i64::MIN, i64::MAX][dice.usize(..40).saturating_sub(37)]
            }
            Self::Same => 77,
        })
    }
}

#[tokio::test]
async fn stores_find_at_a_time_what_a_walk_finds() {
    let key = AggregateKey::new("k", "a").unwrap();
    for seed in 0..16 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let times = [Times::Rising, Times::SetBack, Times::Any, Times::Same][dice.usize(..4)];
        let size = [6, 40, 300][dice.usize(..3)];
        let dir = scratch();
        let (memory, mut file, mut model) = (MemoryStore::new(), open(dir.path()), Model::new());
        for round in 0..4 {
            let mut batch = Vec::new();
            for _ in 0..size {
                let version = dice.u64(1..400);
                let generation = GENERATIONS[dice.usize(..2)];
                let time = times.of(version, &mut dice);
                let record = RecordBuilder::new(key.clone(), generation, version, time)
                    .codec(CodecId::custom(1))
                    .build(&[u8::try_from(seed).unwrap(), round])
                    .unwrap();
                batch.push(record.clone());
                if round % 2 == 1 {
                    model.insert((version, generation), (time, record));
                } else {
                    model.entry((version, generation)).or_insert((time, record));
                }
            }
            let options = PutOptions::default().replace(round % 2 == 1);
            let stored = memory.put(batch.clone(), options.clone()).await.unwrap();
            assert_eq!(file.put(batch, options).await.unwrap(), stored);
            match dice.usize(..4) {
                0 => {
                    let below = dice.u64(..100);
                    memory
                        .delete(&key, Selection::Below(below), DeleteOptions::default())
                        .await
                        .unwrap();
                    file.delete(&key, Selection::Below(below), DeleteOptions::default())
                        .await
                        .unwrap();
                    model.retain(|(version, _), _| *version >= below);
                }
                1 => {
                    let id = |(version, generation): &(u64, Generation)| SnapshotId {
                        generation: *generation,
                        version: *version,
                    };
                    // The newest ones, too.
                    let ids: Vec<_> = model.keys().rev().step_by(3).map(id).collect();
                    memory
                        .delete(&key, Selection::Ids(&ids), DeleteOptions::default())
                        .await
                        .unwrap();
                    file.delete(&key, Selection::Ids(&ids), DeleteOptions::default())
                        .await
                        .unwrap();
                    model.retain(|place, _| !ids.contains(&id(place)));
                }
                2 => drop(file.compact().unwrap()),
                _ => {
                    file.close().unwrap();
                    file = open(dir.path());
                }
            }
            for _ in 0..200 {
                let generation = GENERATIONS[dice.usize(..2)];
                let mut query = Query::latest(&key, generation);
                if dice.bool() {
                    query = query.at_most(dice.u64(..420));
                }
                let time = [dice.i64(-5..4100), i64::MIN, i64::MAX, 77, 76][dice.usize(..5)];
                query = query.as_of(Timestamp::from_micros(time));
                let expected = walk(&model, &query);
                let what = format!("seed {seed}, {times:?}, {query:?}");
                assert_eq!(memory.get(query).await.unwrap(), expected, "{what}");
                for found in [file.get(query).await.unwrap(), file.get_blocking(query).unwrap()] {
                    // The file store does not look whether another generation is within the time.
                    let vague = found == Lookup::OtherGeneration && expected == Lookup::Absent;
                    assert!(found == expected || vague, "{what}: {found:?}, not {expected:?}");
                }
            }
        }
    }
}
