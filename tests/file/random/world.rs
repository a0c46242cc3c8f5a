//! A store, the model of it, and what is done to both.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};
use snapfold::file::{Compacted, FileStore};
use snapfold::record::{Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, MarkChange, PutOptions, PutOutcome,
    Query, Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, SnapshotId, SnapshotStore, Timestamp};

use super::model::Model;
use super::script::{
    By, KEYS, Leave, Settings, Snapshot, Step, Which, generation, key, too_long, with_base,
};
use crate::property::coverage::Coverage;

type Checked = Result<(), TestCaseError>;

pub(crate) struct World<'a> {
    coverage: &'a Coverage,
    scratch: tempfile::TempDir,
    /// How many directories were made.
    dirs: u32,
    dir: PathBuf,
    /// Open but for the moment of a reopening.
    store: Option<FileStore>,
    settings: Settings,
    model: Model,
    /// How many snapshots were made again.
    made_again: i64,
    /// Copies that nobody uses, with what they hold.
    backups: Vec<(PathBuf, Model)>,
}

/// Short pages, so that there are several.
const LIMIT: usize = 5;

impl<'a> World<'a> {
    pub(crate) fn new(
        settings: &Settings,
        scratch: tempfile::TempDir,
        coverage: &'a Coverage,
    ) -> Self {
        let dir = scratch.path().join("0");
        let store = settings.apply(FileStore::builder(&dir)).open().unwrap();
        let (settings, model) = (settings.clone(), Model::default());
        Self {
            coverage,
            scratch,
            dirs: 1,
            dir,
            store: Some(store),
            settings,
            model,
            made_again: 0,
            backups: Vec::new(),
        }
    }

    fn store(&self) -> &FileStore {
        self.store.as_ref().unwrap()
    }

    fn note(&self, what: &str, happened: bool) {
        self.coverage.note(what, happened);
    }

    fn new_dir(&mut self) -> PathBuf {
        self.dirs += 1;
        self.scratch.path().join(self.dirs.to_string())
    }

    pub(crate) async fn step(&mut self, step: &Step) -> Checked {
        match step {
            Step::Put { snapshots, replace, marks, by } => {
                let records: Vec<_> = snapshots.iter().map(Snapshot::record).collect();
                let options = PutOptions::default().replace(*replace).marks(marks.clone());
                self.put(records, options, *by).await?;
            }
            Step::Again { which, replace, by } => self.again(*which, *replace, *by).await?,
            Step::PutTooLong { part, extra, with, by } => {
                self.put_too_long(too_long(*part, *extra), with, *by).await?;
            }
            Step::Submit { puts, dropped, backwards } => {
                self.submit(puts, *dropped, *backwards).await?;
            }
            Step::Delete { key, which, overrule_pins, by } => {
                let options = DeleteOptions::default().overrule_pins(*overrule_pins);
                self.delete(*key, which, options, *by).await?;
            }
            Step::Mark { key, which, mark, clear, by } => {
                let change = if *clear {
                    MarkChange::Clear { kind: mark.kind, name: &mark.name }
                } else {
                    MarkChange::Set(mark)
                };
                self.mark(*key, which, change, *by).await?;
            }
            Step::DeleteBelow { all, by } => self.delete_below(all, *by).await?,
            Step::Get { key: of, generation: number, at_most, as_of, include_retired } => {
                let key = key(*of);
                let mut query = Query::latest(&key, generation(*number)).at_most(*at_most);
                query.include_retired = *include_retired;
                query.as_of = as_of.map(Timestamp::from_seconds);
                let expected = self.model.get(&query);
                let other = expected == Lookup::OtherGeneration;
                self.note("another generation", other);
                let mut newest = query;
                newest.as_of = None;
                let newest = self.model.get(&newest);
                let found = matches!(expected, Lookup::Found(_));
                self.note("an older one by time", found && expected != newest);
                self.note("none by time", other && matches!(newest, Lookup::Found(_)));
                return self.ask(query, &expected).await;
            }
            Step::List { key: of, at_most, at_least, limit } => {
                let key = key(*of);
                let request = ListRequest::new(&key).at_most(*at_most).at_least(*at_least);
                return self.list(request.limit(*limit)).await;
            }
            Step::Keys { tenant, kind, limit } => {
                let mut request = KeysRequest::new().limit(*limit);
                (request.tenant, request.kind) = (*tenant, *kind);
                return self.keys(request).await;
            }
            Step::Compact => {
                let done = self.store().compact().unwrap();
                self.note("files removed by compaction", done.removed > 0);
                self.note("snapshots moved by compaction", done.copied_bytes > 0);
                if !self.settings.background {
                    prop_assert_eq!(self.store().compact().unwrap(), Compacted::default());
                }
            }
            Step::Backup { go_on_there } => self.back_up(*go_on_there).await?,
            Step::Reopen { leave, settings } => self.reopen(*leave, settings)?,
        }
        self.check().await
    }

    fn apply(&mut self, records: &[Record], options: &PutOptions) -> Vec<PutOutcome> {
        let outcomes: Vec<_> =
            records.iter().map(|record| self.model.put(record, options)).collect();
        for outcome in &outcomes {
            self.note(&format!("{outcome:?}"), true);
        }
        outcomes
    }

    async fn write(
        &self,
        records: Vec<Record>,
        options: PutOptions,
        by: By,
    ) -> Result<Vec<PutOutcome>, Error> {
        match by {
            By::Thread => self.store().put_blocking(records, options),
            By::Task => self.store().put(records, options).await,
        }
    }

    async fn put(&mut self, records: Vec<Record>, options: PutOptions, by: By) -> Checked {
        let expected = self.apply(&records, &options);
        self.note("put with marks", !options.marks.is_empty() && !records.is_empty());
        let outcomes = self.write(records, options, by).await.unwrap();
        prop_assert_eq!(outcomes, expected);
        Ok(())
    }

    async fn again(&mut self, which: usize, replace: bool, by: By) -> Checked {
        let count = self.model.all().count();
        let Some(which) = which.checked_rem(count) else { return Ok(()) };
        let (key, id, stored) = self.model.all().nth(which).unwrap();
        let record = &stored.record;
        let header = record.header().unwrap();
        let again = RecordBuilder::new(key.clone(), id.generation, id.version, header.as_of)
            .created_at(Timestamp::from_seconds(self.made_again))
            .codec(header.codec);
        let again = with_base(again, header.base)
            .build(&record.as_bytes()[header.header_bytes()..])
            .unwrap();
        self.made_again += 1;
        self.put(vec![again], PutOptions::default().replace(replace), by).await
    }

    async fn put_too_long(&mut self, key: AggregateKey, with: &[Snapshot], by: By) -> Checked {
        let snapshot = Snapshot { key: 0, generation: 0, version: 1, at: 0, fill: 0, bytes: 1 };
        let mut records: Vec<_> = with.iter().map(Snapshot::record).collect();
        records.push(snapshot.record_of(key.clone()));
        let options = PutOptions::default().replace(true);
        let error = self.write(records, options, by).await.unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::InvalidInput);
        // And it is no key that could be found, or deleted.
        self.ask(Query::latest(&key, generation(0)), &Lookup::Absent).await?;
        let deleted =
            self.store().delete(&key, Selection::All, DeleteOptions::default()).await.unwrap();
        prop_assert_eq!(deleted, Deleted::default());
        Ok(())
    }

    async fn submit(
        &mut self,
        puts: &[(Vec<Snapshot>, bool)],
        dropped: u8,
        backwards: bool,
    ) -> Checked {
        let mut queued = Vec::new();
        for (number, (snapshots, replace)) in puts.iter().enumerate() {
            let records: Vec<_> = snapshots.iter().map(Snapshot::record).collect();
            let options = PutOptions::default().replace(*replace);
            let expected = self.apply(&records, &options);
            let future = self.store().submit(records, options).unwrap();
            queued.push((future, expected, dropped >> number & 1 == 1));
        }
        if backwards {
            queued.reverse();
        }
        for (future, expected, dropped) in queued {
            if dropped {
                drop(future);
            } else {
                prop_assert_eq!(future.await.unwrap(), expected);
            }
        }
        // What was dropped is written in its turn, before this.
        self.put(Vec::new(), PutOptions::default(), By::Task).await
    }

    async fn delete(
        &mut self,
        of: usize,
        which: &Which,
        options: DeleteOptions,
        by: By,
    ) -> Checked {
        let key = key(of);
        let mut ids = Vec::new();
        let selection = select(which, &mut ids);
        let expected = self.model.delete(&key, selection, options);
        self.note("deleted", expected.snapshots > 0);
        self.note("kept because pinned", expected.pinned > 0);
        self.note("kept because needed", expected.needed > 0);
        let deleted = match by {
            By::Thread => self.store().delete_blocking(&key, selection, options).unwrap(),
            By::Task => self.store().delete(&key, selection, options).await.unwrap(),
        };
        prop_assert_eq!(deleted, expected);
        Ok(())
    }

    async fn mark(&mut self, of: usize, which: &Which, change: MarkChange<'_>, by: By) -> Checked {
        let key = key(of);
        let mut ids = Vec::new();
        let selection = select(which, &mut ids);
        let expected = self.model.mark(&key, selection, change);
        let is_set = matches!(change, MarkChange::Set(_));
        self.note(if is_set { "marked" } else { "cleared" }, expected > 0);
        let marked = match by {
            By::Thread => self.store().mark_blocking(&key, selection, change).unwrap(),
            By::Task => self.store().mark(&key, selection, change).await.unwrap(),
        };
        prop_assert_eq!(marked, expected);
        Ok(())
    }

    async fn delete_below(&mut self, all: &[(usize, u64)], by: By) -> Checked {
        let all: Vec<_> = all.iter().map(|(of, version)| (key(*of), *version)).collect();
        let parts = all.iter().map(|(key, version)| (key, Selection::Below(*version)));
        let options = DeleteOptions::default();
        let expected: Deleted =
            parts.map(|(key, below)| self.model.delete(key, below, options)).sum();
        let deleted = match by {
            By::Thread => self.store().delete_below_blocking(&all).unwrap(),
            By::Task => self.store().delete_below(all).await.unwrap(),
        };
        prop_assert_eq!(deleted, expected);
        Ok(())
    }

    async fn back_up(&mut self, go_on_there: bool) -> Checked {
        let to = self.new_dir();
        let done = self.store().backup(&to).unwrap();
        prop_assert_eq!(done.snapshots, self.model.sums().1);
        self.note("a backup of linked files", done.linked > 0);
        self.note("a backup of copied files", done.copied_bytes > 0);
        self.look_at(&to, false)?;
        let copy = self.settings.apply(FileStore::builder(&to)).open().unwrap();
        let original = self.store.replace(copy).unwrap();
        if go_on_there {
            original.close().unwrap();
            let dir = std::mem::replace(&mut self.dir, to);
            self.backups.push((dir, self.model.clone()));
        } else {
            self.check().await?;
            self.store = Some(original);
            self.backups.push((to, self.model.clone()));
        }
        Ok(())
    }

    fn reopen(&mut self, leave: Leave, settings: &Settings) -> Checked {
        // Compaction in the background would change files between the copying of two.
        let kill = matches!(leave, Leave::Kill) && !self.settings.background;
        let mut dir = self.dir.clone();
        if kill {
            dir = self.new_dir();
            fs::create_dir(&dir).unwrap();
            for entry in fs::read_dir(&self.dir).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
            }
            self.note("killed", true);
        }
        let old = self.store.take().unwrap();
        match leave {
            Leave::Close => old.close().unwrap(),
            Leave::Drop | Leave::Kill => drop(old),
        }
        self.look_at(&dir, kill)?;
        self.store = Some(settings.apply(FileStore::builder(&dir)).open().unwrap());
        self.settings = settings.clone();
        self.dir = dir;
        Ok(())
    }

    /// What the files of a closed store say.
    fn look_at(&self, dir: &Path, killed: bool) -> Checked {
        let found = FileStore::verify(dir).unwrap();
        prop_assert_eq!(found.problems, []);
        // Nothing is torn, but zeros that were written ahead are still there.
        prop_assert!(killed || found.torn_bytes == 0, "{} torn bytes", found.torn_bytes);
        prop_assert!(found.records >= self.model.sums().1);
        let inspection = FileStore::inspect(dir).unwrap();
        prop_assert_eq!(inspection.foreign, Vec::<String>::new());
        let open = inspection.segments.iter().filter(|segment| !segment.sealed).count();
        prop_assert!(open <= 1 && inspection.segments.iter().all(|one| one.bytes.is_some()));
        self.note("a store of many files", inspection.segments.len() > 8);
        Ok(())
    }

    async fn ask(&self, query: Query<'_>, expected: &Lookup) -> Checked {
        let with_bases = matches!(expected, Lookup::Found(found) if !found.bases.is_empty());
        self.note("a delta with its base", with_bases);
        let found = self.store().get(query).await.unwrap();
        prop_assert!(found == *expected, "{query:?}: {found:?} instead of {expected:?}");
        let found = self.store().get_blocking(query).unwrap();
        prop_assert!(found == *expected, "{query:?}: {found:?} instead of {expected:?}");
        Ok(())
    }

    async fn list(&self, mut request: ListRequest<'_>) -> Checked {
        let expected = self.model.list(&request);
        let mut listed = Vec::new();
        loop {
            let page = self.store().list(request).await.unwrap();
            prop_assert!(page.items.len() <= request.limit.max(1));
            for meta in &page.items {
                let stored = self.model.newest_first(request.key).find(|(id, _)| *id == meta.id());
                let (_, stored) = stored.expect("listed, and not in the model");
                prop_assert_eq!(meta.stored_bytes, stored.record.as_bytes().len() as u64);
                prop_assert_eq!((&meta.key, meta.as_of), (request.key, stored.as_of));
                prop_assert_eq!(meta.created_at, stored.created_at);
                prop_assert_eq!(&meta.marks, &stored.marks);
                self.note("a retired one listed", meta.is_retired());
            }
            listed.extend(page.items.iter().map(snapfold::record::SnapshotMeta::id));
            let Some(next) = page.next else { break };
            prop_assert!(!page.items.is_empty());
            self.note("a list of several pages", true);
            request = request.after(next);
        }
        prop_assert_eq!(listed, expected);
        Ok(())
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Checked {
        let expected = self.model.keys(&request);
        let (mut listed, mut cursor) = (Vec::new(), None);
        loop {
            let mut request = request;
            request.after = cursor.as_ref();
            let page = self.store().keys(request).await.unwrap();
            prop_assert!(page.items.len() <= request.limit.max(1));
            prop_assert!(page.next.is_none() || !page.items.is_empty());
            listed.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
            self.note("keys of several pages", true);
        }
        listed.sort_unstable();
        prop_assert_eq!(listed, expected);
        Ok(())
    }

    /// Everything, by each way there is to it.
    async fn check(&self) -> Checked {
        let (aggregates, snapshots, bytes) = self.model.sums();
        let stats = self.store().stats();
        prop_assert_eq!((stats.aggregates, stats.snapshots), (aggregates, snapshots));
        if !self.settings.background {
            prop_assert_eq!(stats.live_bytes, bytes);
        }
        prop_assert!(self.settings.background || stats.log_bytes >= stats.live_bytes);
        self.keys(KeysRequest::new().limit(LIMIT)).await?;
        for number in 0..KEYS {
            let key = key(number);
            self.list(ListRequest::new(&key).limit(LIMIT)).await?;
            for number in 0..super::script::GENERATIONS {
                let query = Query::latest(&key, generation(number));
                let expected = self.model.get(&query);
                let found = self.store().get(query).await.unwrap();
                prop_assert!(found == expected, "{query:?}: {found:?} instead of {expected:?}");
            }
        }
        for (key, id, _) in self.model.all() {
            let query = Query::latest(key, id.generation).at_most(id.version);
            let expected = self.model.get(&query);
            let found = self.store().get_blocking(query).unwrap();
            prop_assert!(found == expected, "{query:?}: {found:?} instead of {expected:?}");
        }
        Ok(())
    }

    /// The last opening, and that of each backup: nothing has changed them since.
    pub(crate) async fn end(mut self) -> Checked {
        let settings = self.settings.clone();
        self.reopen(Leave::Close, &settings)?;
        self.check().await?;
        for (dir, model) in std::mem::take(&mut self.backups) {
            self.model = model;
            self.look_at(&dir, false)?;
            self.store = Some(settings.apply(FileStore::builder(&dir)).open().unwrap());
            self.check().await?;
        }
        Ok(())
    }
}

fn select<'a>(which: &Which, ids: &'a mut Vec<SnapshotId>) -> Selection<'a> {
    match which {
        Which::All => Selection::All,
        Which::Below(version) => Selection::Below(*version),
        Which::Ids(all) => {
            let id = |(number, version): &(usize, u64)| SnapshotId {
                generation: generation(*number),
                version: *version,
            };
            ids.extend(all.iter().map(id));
            Selection::Ids(ids)
        }
        Which::Generation(number) => Selection::Generation(generation(*number)),
        Which::ExceptGeneration(number) => Selection::ExceptGeneration(generation(*number)),
    }
}
