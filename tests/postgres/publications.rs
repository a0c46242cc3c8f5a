//! Publications in PostgreSQL: what is stored comes back, one of many calls wins, and a connection
//! bound to one project gets nothing of another.

use std::collections::BTreeSet;
use std::sync::Arc;

use snapfold::artifact::{Artifact, ArtifactId};
use snapfold::postgres::{PostgresOptions, PostgresPublications, PostgresStore, TenantBinding};
use snapfold::publication::{
    Publication, PublicationCreated, PublicationDetails, PublicationFailure, PublicationId,
    PublicationPart, PublicationStatus, PublicationStore, PublicationsRequest,
};
use snapfold::{ErrorKind, Retry, Timestamp};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor};

use crate::support::TestDb;

async fn stores(db: &TestDb) -> (PostgresStore, PostgresPublications) {
    let options = PostgresOptions::new().schema(&db.schema);
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    let publications = PostgresPublications::new(store.clone());
    (store, publications)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(second)
}

fn id(number: u8) -> PublicationId {
    // From the lowest to the highest, in the form of a UUID of version 7.
    let mut bytes = [number; 16];
    (bytes[6], bytes[8]) = (0x70 | number & 0x0f, 0x80 | number & 0x3f);
    PublicationId::from_bytes(bytes)
}

fn begun(project: &str, number: u8) -> Publication {
    Publication::new(project, id(number), at(1), at(10 + i64::from(number)))
}

fn ended(mut publication: Publication, status: PublicationStatus) -> Publication {
    publication.revision += 1;
    publication.status = status;
    publication.ended_at = Some(at(5));
    publication
}

const FAILED: PublicationStatus = PublicationStatus::Failed(PublicationFailure::Aborted);

/// Everything is there, and as odd as it may be.
fn full(project: &str, number: u8) -> Publication {
    let odd = || Some("\0\u{1}'\"\\\u{e9}\u{1f600}{,}\n".to_owned());
    let mut publication = begun(project, number);
    let mut details = PublicationDetails::default();
    details.collection = odd();
    details.title = Some(String::new());
    details.author = odd();
    details.description = Some("d\0".repeat(32 << 10));
    details.tags = vec!["b".into(), "a".into(), "\0".into(), "NULL".into(), "{\",\"}".into()];
    details.repo_owner = odd();
    details.repo_name = odd();
    details.commit_sha = odd();
    details.branch = odd();
    details.pull_request = Some(u64::MAX);
    details.run_id = odd();
    details.run_url = odd();
    publication.details = details;
    let plot = Artifact::of(b"plot");
    let mut stored = PublicationPart::new().size(u64::MAX).sha256(plot.id).content_type("x/y");
    stored.stored = Some(plot.content_type("x/y; z"));
    publication.parts.insert("plot.png".into(), stored);
    publication.parts.insert("-_Z".into(), PublicationPart::new());
    publication.request_key = Some([0; 32]);
    publication.created_by = odd().unwrap();
    (publication.created_at, publication.expires_at) = (Timestamp::MIN, Timestamp::MAX);
    publication
}

async fn create(store: &PostgresPublications, publication: &Publication) {
    assert_eq!(store.create(publication).await.unwrap(), PublicationCreated::New);
}

/// All items of all pages, which must be no longer than the limit.
async fn listed(
    store: &PostgresPublications,
    request: PublicationsRequest<'_>,
) -> Vec<Publication> {
    let (mut all, mut request) = (Vec::new(), request);
    loop {
        let page = store.list(request).await.unwrap();
        assert!(page.items.len() <= request.limit.max(1));
        all.extend(page.items);
        match page.next {
            Some(next) => request = request.after(next),
            None => return all,
        }
    }
}

/// Each case has a schema of its own in one database.
#[cfg(feature = "conformance")]
struct InPostgres(tokio::sync::Mutex<Vec<TestDb>>);

#[cfg(feature = "conformance")]
#[async_trait::async_trait]
impl snapfold::conformance::PublicationFactory for InPostgres {
    async fn nodes(
        &self,
        count: usize,
    ) -> Result<Vec<Arc<dyn PublicationStore>>, snapfold::BoxError> {
        let db = TestDb::new().await;
        let (store, _) = stores(&db).await;
        self.0.lock().await.push(db);
        let node = || Arc::new(PostgresPublications::new(store.clone())) as _;
        Ok((0..count).map(|_| node()).collect())
    }
}

#[cfg(feature = "conformance")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publications_in_postgres_keep_every_obligation() {
    let factory = InPostgres(tokio::sync::Mutex::default());
    let card = snapfold::conformance::publications(&factory).await;
    println!("{card:#}");
    let card = card.into_result().unwrap();
    assert_eq!(card.skipped().count(), 0);
    for db in factory.0.into_inner() {
        db.close().await;
    }
}

#[tokio::test]
async fn what_was_stored_comes_back_whatever_it_contains() {
    let db = TestDb::new().await;
    let (_, store) = stores(&db).await;
    for (number, publication) in
        [begun("p", 1), full("p", 2), full("a\0\u{1}b", 2), full("", 2)].into_iter().enumerate()
    {
        create(&store, &publication).await;
        let project = publication.project.clone();
        let found = store.get(&project, publication.id).await.unwrap();
        assert_eq!(found, Some(publication.clone()), "{number}");
        for why in
            [PublicationFailure::Aborted, PublicationFailure::Expired, PublicationFailure::Refused]
        {
            let mut failed = ended(publication.clone(), PublicationStatus::Failed(why));
            failed.ended_at = Some(Timestamp::MIN);
            assert!(store.replace(&failed).await.unwrap());
            assert_eq!(store.get(&project, failed.id).await.unwrap(), Some(failed));
            store.delete(&project, publication.id).await.unwrap();
            create(&store, &publication).await;
        }
    }
    let mut completed = ended(begun("p", 1), PublicationStatus::Completed);
    completed.parts.insert("n".into(), {
        let mut part = PublicationPart::new();
        part.stored = Some(Artifact::of(b""));
        part
    });
    assert!(store.replace(&completed).await.unwrap());
    assert_eq!(listed(&store, PublicationsRequest::new("p")).await, [completed]);
    db.close().await;
}

#[tokio::test]
async fn one_of_many_calls_creates_and_the_others_get_what_it_created() {
    let db = TestDb::new().await;
    let (_, store) = stores(&db).await;
    let store = Arc::new(store);
    for round in 0..8_u8 {
        // Half of them have the same id, and all have the same key.
        let running: Vec<_> = (0..12_u8)
            .map(|task| {
                let store = Arc::clone(&store);
                let mut own = begun("p", round * 20 + task % 6);
                own.request_key = Some([round; 32]);
                own.created_by = task.to_string();
                tokio::spawn(async move { (own.clone(), store.create(&own).await.unwrap()) })
            })
            .collect();
        let (mut created, mut existing) = (Vec::new(), Vec::new());
        for task in running {
            match task.await.unwrap() {
                (own, PublicationCreated::New) => created.push(own),
                (_, PublicationCreated::Existing(other)) => existing.push(*other),
                (_, other) => panic!("{other:?}"),
            }
        }
        assert_eq!((created.len(), existing.len()), (1, 11), "round {round}");
        assert!(existing.iter().all(|other| *other == created[0]));
        // Another project has its own.
        let mut other = created[0].clone();
        other.project = "q".into();
        create(&store, &other).await;
        // A key is free again when its publication has failed or is deleted, and not before.
        let mut next = begun("p", round * 20 + 10);
        next.request_key = Some([round; 32]);
        assert_eq!(
            store.create(&next).await.unwrap(),
            PublicationCreated::Existing(Box::new(created[0].clone()))
        );
        let failed = ended(created[0].clone(), FAILED);
        assert!(store.replace(&failed).await.unwrap());
        create(&store, &next).await;
        // The failed one still has its id, and does not get the key again.
        assert_eq!(
            store.create(&created[0]).await.unwrap(),
            PublicationCreated::Existing(Box::new(failed.clone()))
        );
        let mut again = failed;
        again.revision += 1;
        (again.status, again.ended_at) = (PublicationStatus::Generating, None);
        assert!(!store.replace(&again).await.unwrap(), "it has ended");
        store.delete("p", next.id).await.unwrap();
        store.delete("p", next.id).await.unwrap();
        assert_eq!(store.get("p", next.id).await.unwrap(), None);
        let mut last = begun("p", round * 20 + 11);
        last.request_key = Some([round; 32]);
        create(&store, &last).await;
    }
    db.close().await;
}

#[tokio::test]
async fn one_of_many_calls_replaces_and_may_repeat_that() {
    let db = TestDb::new().await;
    let (_, store) = stores(&db).await;
    let store = Arc::new(store);
    create(&store, &begun("p", 1)).await;
    for revision in 2..8 {
        let version = |task: u64| {
            let mut own = begun("p", 1);
            (own.revision, own.details.title) = (revision, Some(task.to_string()));
            own
        };
        let running: Vec<_> = (0..10)
            .map(|task| {
                let (store, own) = (Arc::clone(&store), version(task));
                tokio::spawn(async move { store.replace(&own).await.unwrap() })
            })
            .collect();
        let mut winners = Vec::new();
        for (task, running) in (0..).zip(running) {
            if running.await.unwrap() {
                winners.push(version(task));
            }
        }
        assert_eq!(winners.len(), 1, "revision {revision}");
        assert_eq!(store.get("p", id(1)).await.unwrap().as_ref(), Some(&winners[0]));
        assert!(store.replace(&winners[0]).await.unwrap(), "its answer may have been lost");
        for wrong in [revision - 1, revision, revision + 2] {
            let mut other = begun("p", 1);
            (other.revision, other.details.title) = (wrong, Some("wrong".into()));
            assert!(!store.replace(&other).await.unwrap(), "{wrong}");
        }
    }
    assert!(!store.replace(&begun("p", 2)).await.unwrap(), "there is none");
    assert!(!store.replace(&begun("q", 1)).await.unwrap(), "that is of another project");
    db.close().await;
}

#[tokio::test]
async fn lists_have_what_is_admitted_in_descending_order() {
    let db = TestDb::new().await;
    let (_, store) = stores(&db).await;
    let mut all = Vec::new();
    let (collections, tags) = ([None, Some("a"), Some("")], ["x", "X", "\0", "x y"]);
    for number in 0..60_u8 {
        let mut publication = begun(if number % 7 == 0 { "q" } else { "p" }, number);
        let place = usize::from(number);
        publication.details.collection = collections[place % 3].map(str::to_owned);
        publication.details.tags =
            tags.iter().skip(place % 5).map(|tag| (*tag).to_owned()).collect();
        create(&store, &publication).await;
        if number % 4 != 0 {
            let status = if number % 4 == 1 { FAILED } else { PublicationStatus::Completed };
            publication = ended(publication, status);
            assert!(store.replace(&publication).await.unwrap());
        }
        all.push(publication);
    }
    all.reverse();
    let mut seen = BTreeSet::new();
    for project in ["p", "q", "", "P"] {
        for collection in [None, Some("a"), Some(""), Some("A")] {
            for tag in [None, Some("x"), Some("\0"), Some("x y"), Some("y"), Some("")] {
                for completed in [true, false] {
                    for limit in [0, 1, 7, usize::MAX] {
                        let mut request =
                            PublicationsRequest::new(project).completed(completed).limit(limit);
                        (request.collection, request.tag) = (collection, tag);
                        let expected: Vec<_> = all
                            .iter()
                            .filter(|it| it.project == project && request.admits(it))
                            .cloned()
                            .collect();
                        let found = listed(&store, request).await;
                        assert_eq!(found, expected, "{request:?}");
                        seen.insert(found.len());
                    }
                }
            }
        }
    }
    assert!(seen.len() > 8, "{seen:?}");
    // From any place, also one that is not there.
    for number in [0, 30, 31, 200] {
        let request = PublicationsRequest::new("p").completed(false).after(id(number));
        let found = store.list(request).await.unwrap().items;
        let expected: Vec<_> =
            all.iter().filter(|it| it.project == "p" && it.id < id(number)).cloned().collect();
        assert_eq!(found, expected);
    }
    db.close().await;
}

#[tokio::test]
async fn what_has_expired_is_found_in_all_projects() {
    let db = TestDb::new().await;
    let (_, store) = stores(&db).await;
    for number in 0..30_u8 {
        let mut publication = begun(if number % 2 == 0 { "p" } else { "q\0" }, number);
        // Some at the same time.
        publication.expires_at = at(i64::from(number / 5));
        create(&store, &publication).await;
        if number % 3 == 0 {
            assert!(store.replace(&ended(publication, FAILED)).await.unwrap());
        }
    }
    for second in [-1, 0, 3, 100] {
        let expected: BTreeSet<_> = (0..30_u8)
            .filter(|number| number % 3 != 0 && i64::from(number / 5) <= second)
            .map(id)
            .collect();
        let found = store.expired(at(second), usize::MAX).await.unwrap();
        assert!(found.is_sorted_by_key(|it| it.expires_at));
        assert_eq!(found.len(), expected.len(), "each once");
        assert_eq!(found.iter().map(|it| it.id).collect::<BTreeSet<_>>(), expected);
        for limit in [0, 1, 4] {
            let some = store.expired(at(second), limit).await.unwrap();
            assert_eq!(some, found[..limit.max(1).min(found.len())]);
        }
    }
    // More than one answer of the server.
    db.run(
        "INSERT INTO {schema}.snapfold_snapshots_publication \
           (tenant, id, revision, status, created_by, created_at, expires_at) \
         SELECT 'many', gen_random_uuid(), 1, 'generating', '', 0, n % 7 \
         FROM generate_series(1, 2500) AS n",
    )
    .await;
    let found = store.expired(Timestamp::MAX, 2_400).await.unwrap();
    let ids: BTreeSet<_> = found.iter().map(|it| (it.project.clone(), it.id)).collect();
    assert_eq!((found.len(), ids.len()), (2_400, 2_400));
    assert_eq!(store.expired(Timestamp::MAX, usize::MAX).await.unwrap().len(), 2_520);
    assert_eq!(
        listed(&store, PublicationsRequest::new("many").completed(false).limit(900)).await.len(),
        2_500
    );
    db.close().await;
}

#[tokio::test]
async fn limits_are_checked_before_the_database_is_asked() {
    let db = TestDb::new().await;
    let (_, store) = stores(&db).await;
    // U+0000 takes two bytes in the database.
    let most = Publication::MAX_PROJECT_BYTES;
    let (longest, long) = ("\0".repeat(most), "p".repeat(most + 1));
    let mut publication = begun(&longest, 1);
    // Both are as long as they can be, and are in one index.
    publication.details.collection = Some("\0".repeat(PublicationDetails::MAX_TEXT_BYTES));
    publication.details.tags = vec!["\0".repeat(PublicationDetails::MAX_TEXT_BYTES)];
    create(&store, &publication).await;
    let mut request = PublicationsRequest::new(&longest).completed(false);
    request.collection = publication.details.collection.as_deref();
    request.tag = publication.details.tags.first().map(String::as_str);
    assert_eq!(listed(&store, request).await, [publication]);
    for error in [
        store.create(&begun(&long, 1)).await.map(drop),
        store.get(&long, id(1)).await.map(drop),
        store.replace(&begun(&long, 1)).await.map(drop),
        store.delete(&long, id(1)).await,
        store.list(PublicationsRequest::new(&long)).await.map(drop),
    ] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let mut wrong = begun("p", 1);
    wrong.revision = 0;
    for error in [store.create(&wrong).await.map(drop), store.replace(&wrong).await.map(drop)] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(store.get("p", id(1)).await.unwrap(), None);
    db.close().await;
}

#[tokio::test]
async fn a_connection_bound_to_one_project_gets_no_publication_of_another() {
    let db = TestDb::new().await;
    let (owner, all) = stores(&db).await;
    for project in ["north", "south", ""] {
        create(&all, &begun(project, 1)).await;
    }
    let role = format!("{}_publisher", db.schema);
    db.run(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {{schema}} TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {{schema}} TO {role}"
    ))
    .await;
    owner.migrations().enable_row_security(TenantBinding::Setting).await.unwrap();
    let become_role = format!("SET ROLE {role}");
    let pool = PgPoolOptions::new().max_connections(2).after_connect(move |c, _| {
        let become_role = become_role.clone();
        Box::pin(
            async move { c.execute(sqlx::raw_sql(AssertSqlSafe(become_role))).await.map(drop) },
        )
    });
    let pool = pool.connect_with(db.options.clone()).await.unwrap();
    let options = PostgresOptions::new().schema(&db.schema);
    let unbound = PostgresStore::with_options(pool, &options).unwrap();
    let bound = PostgresPublications::new(unbound.for_tenant("north"));
    create(&bound, &begun("north", 2)).await;
    assert_eq!(bound.get("north", id(1)).await.unwrap(), Some(begun("north", 1)));
    for other in ["south", ""] {
        assert_eq!(bound.get(other, id(1)).await.unwrap(), None);
        let request = PublicationsRequest::new(other).completed(false);
        assert!(listed(&bound, request).await.is_empty());
        assert!(!bound.replace(&ended(begun(other, 1), FAILED)).await.unwrap());
        bound.delete(other, id(1)).await.unwrap();
        assert_eq!(all.get(other, id(1)).await.unwrap(), Some(begun(other, 1)));
        // Whether it is new or there already: no answer tells.
        for number in [1, 9] {
            let error = bound.create(&begun(other, number)).await.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Never));
        }
    }
    let expired = bound.expired(Timestamp::MAX, 10).await.unwrap();
    assert_eq!(expired, [begun("north", 1), begun("north", 2)]);
    let nobody = PostgresPublications::new(unbound);
    assert!(nobody.expired(Timestamp::MAX, 10).await.unwrap().is_empty());
    owner.migrations().disable_row_security().await.unwrap();
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    db.close().await;
}

#[tokio::test]
async fn a_row_that_somebody_else_changed_is_reported() {
    let db = TestDb::new().await;
    let (_, store) = stores(&db).await;
    let mut publication = begun("p", 1);
    publication.request_key = Some(*ArtifactId::of(b"request").as_bytes());
    create(&store, &publication).await;
    for (set, back) in [
        ("parts = '{\"a\": 1}'", "parts = '{}'"),
        ("title = E'\\x01'", "title = NULL"),
        (
            "status = 'failed', failure = 'bored', ended_at = 1",
            "status = 'generating', failure = NULL, ended_at = NULL",
        ),
    ] {
        db.run(&format!("UPDATE {{schema}}.snapfold_snapshots_publication SET {set}")).await;
        let error = store.get("p", id(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CorruptStore, "{set}");
        db.run(&format!("UPDATE {{schema}}.snapfold_snapshots_publication SET {back}")).await;
    }
    assert_eq!(store.get("p", id(1)).await.unwrap(), Some(publication));
    db.close().await;
}
