//! [`PostgresPublications`] and its calls.

use async_trait::async_trait;
use sqlx::postgres::PgRow;

use super::calls::{PublicationRead, PublicationWrite, WRITE};
use super::removals::{self, removal_of};
use super::rows::{assignments, bind, names, parameters, publication_of, selection, unchanged};
use crate::backend::postgres::call::Call;
use crate::backend::postgres::key_text::{KeyText, encode};
use crate::backend::postgres::statement::Bound;
use crate::backend::postgres::store::PostgresStore;
use crate::error::{Error, ErrorKind, Retry};
use crate::publication::{
    ArtifactRemoval, Publication, PublicationCreated, PublicationId, PublicationStore,
    PublicationsRequest,
};
use crate::store::Page;
use crate::timestamp::Timestamp;

/// The maximum number of publications in one answer, whatever the requested limit.
const MAX_ROWS: usize = 1_000;
/// How often a publication is created again that others delete, or let fail, just then.
const MAX_ATTEMPTS: usize = 16;

/// A [`PublicationStore`] in PostgreSQL, in a table beside those of a [`PostgresStore`].
///
/// It uses the pool, the options and the [`migrations`](PostgresStore::migrations) of that store,
/// and its tenant ([`PostgresStore::for_tenant`]): a project is a tenant. With row-level security,
/// a connection sees the publications of one project. [`expired`](PublicationStore::expired) then
/// needs a role that sees all.
///
/// A page is limited to 1,000 publications. Each call is one statement, and a second one if a publication could not be created
/// or replaced.
///
/// # Cancellation
/// Dropping the future of a call closes its connection. The statement takes effect completely or
/// not at all.
#[derive(Clone, Debug)]
pub struct PostgresPublications {
    store: PostgresStore,
}

impl PostgresPublications {
    /// Creates a store in the database of `store`. Does not connect.
    pub const fn new(store: PostgresStore) -> Self {
        Self { store }
    }

    fn table(&self) -> &str {
        &self.store.names().publications
    }

    async fn read(&self, call: Call<'_>) -> Result<Vec<PgRow>, Error> {
        self.store.connections().run(&mut PublicationRead(call)).await
    }

    async fn write(&self, call: Call<'_>) -> Result<Vec<PgRow>, Error> {
        self.store.connections().run(&mut PublicationWrite(call)).await
    }

    /// Returns the publication that keeps another one from being created, if it is still there.
    async fn in_the_way(
        &self,
        key: &KeyText<'_>,
        publication: &Publication,
    ) -> Result<Option<Publication>, Error> {
        let sql = format!(
            "SELECT {} FROM {} WHERE tenant = $1 AND (id = $2::text::uuid \
               OR (request_key = $3::bytea AND status <> 'failed')) \
             ORDER BY id = $2::text::uuid DESC LIMIT 1",
            selection(),
            self.table()
        );
        let request_key = publication.request_key.map(|key| key.to_vec());
        let call =
            Call::ask(&sql, "", |query| of(query, key, publication.id).bind(request_key.clone()));
        self.read(call).await?.first().map(publication_of).transpose()
    }
}

/// Binds the parameters 1 and 2.
fn of<'q>(query: Bound<'q>, key: &KeyText<'_>, id: PublicationId) -> Bound<'q> {
    query.bind(key.tenant.to_string()).bind(id.to_string())
}

#[async_trait]
impl PublicationStore for PostgresPublications {
    async fn create(&self, publication: &Publication) -> Result<PublicationCreated, Error> {
        publication.check()?;
        if publication.revision != 1 {
            return Err(Error::new(ErrorKind::InvalidInput, WRITE, "a new one has revision 1"));
        }
        let key = key_of(&publication.project)?;
        let sql = |meant: &str| {
            format!(
                "INSERT INTO {} ({}) SELECT {} WHERE {meant} ON CONFLICT DO NOTHING RETURNING 1",
                self.table(),
                names(),
                parameters()
            )
        };
        for _ in 0..MAX_ATTEMPTS {
            let call = Call::change("$24", sql, |query| bind(query, &key, publication));
            if !self.write(call).await?.is_empty() {
                return Ok(PublicationCreated::New);
            }
            if let Some(other) = self.in_the_way(&key, publication).await? {
                return Ok(PublicationCreated::Existing(Box::new(other)));
            }
        }
        let message = "others create and delete the same publication all the time";
        Err(Error::new(ErrorKind::Store, WRITE, message).with_retry(Retry::Later))
    }

    async fn get(&self, project: &str, id: PublicationId) -> Result<Option<Publication>, Error> {
        let key = key_of(project)?;
        let sql = format!(
            "SELECT {} FROM {} WHERE tenant = $1 AND id = $2::text::uuid",
            selection(),
            self.table()
        );
        let rows = self.read(Call::ask(&sql, "", |query| of(query, &key, id))).await?;
        rows.first().map(publication_of).transpose()
    }

    async fn replace(&self, publication: &Publication) -> Result<bool, Error> {
        publication.check()?;
        let key = key_of(&publication.project)?;
        let sql = |meant: &str| {
            format!(
                "UPDATE {} SET {} WHERE tenant = $1::text AND id = $2::text::uuid \
                   AND revision = $3::int8 - 1 AND status = 'generating' AND {} AND {meant} \
                 RETURNING 1",
                self.table(),
                assignments(),
                unchanged()
            )
        };
        let call = Call::change("$24", sql, |query| bind(query, &key, publication));
        if !self.write(call).await?.is_empty() {
            return Ok(true);
        }
        let Some(there) = self.get(&publication.project, publication.id).await? else {
            return Ok(false);
        };
        let is_next = there.revision.checked_add(1) == Some(publication.revision);
        if is_next && there.ended_at.is_none() {
            there.check_unchanged(publication)?;
        }
        // It may have been this call, or the one before, whose answer was lost.
        Ok(there == *publication)
    }

    async fn list(
        &self,
        request: PublicationsRequest<'_>,
    ) -> Result<Page<Publication, PublicationId>, Error> {
        let key = key_of(request.project)?;
        let mut texts = vec![key.tenant.to_string()];
        let mut parameter = |text: String| {
            texts.push(text);
            format!("${}::text", texts.len())
        };
        let mut wanted = vec!["tenant = $1::text".to_owned()];
        if request.completed {
            wanted.push("status = 'completed'".to_owned());
        }
        if let Some(collection) = request.collection {
            let text = parameter(encode(collection).into_owned());
            wanted.push(format!(
                "hashtextextended(collection, 0) = hashtextextended({text} COLLATE \"C\", 0) \
                 AND collection = {text}"
            ));
        }
        if let Some(tag) = request.tag {
            wanted.push(format!("tags @> ARRAY[{}]", parameter(encode(tag).into_owned())));
        }
        if let Some(after) = request.after {
            wanted.push(format!("id < {}::uuid", parameter(after.to_string())));
        }
        let wanted = wanted.join(" AND ");
        let sql = format!(
            "SELECT {} FROM {} WHERE {wanted} ORDER BY place DESC LIMIT ${}",
            selection(),
            self.table(),
            texts.len() + 1
        );
        let limit = request.limit.clamp(1, MAX_ROWS);
        let call = Call::ask(&sql, "ORDER BY place DESC", |query| {
            let query = texts.iter().fold(query, |query, text| query.bind(text.clone()));
            query.bind(count(limit + 1))
        });
        let rows = self.read(call).await?;
        let items: Vec<_> =
            rows.iter().take(limit).map(publication_of).collect::<Result<_, _>>()?;
        let next = items.last().map(|last| last.id).filter(|_| rows.len() > limit);
        Ok(Page::new(items, next))
    }

    async fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<Publication>, Error> {
        const ORDER: &str = "ORDER BY expires_at, tenant, place";
        let (limit, mut found) = (limit.max(1), Vec::<Publication>::new());
        while found.len() < limit {
            let rows_wanted = (limit - found.len()).min(MAX_ROWS);
            let after = found.last().map(|last| {
                let tenant = encode(&last.project).into_owned();
                (last.expires_at.as_micros(), tenant, last.id.to_string())
            });
            let further = after.as_ref().map_or(
                "",
                |_| " AND (expires_at, tenant, id) > ($3::int8, $4::text, $5::text::uuid)",
            );
            let sql = format!(
                "SELECT {} FROM {} WHERE status = 'generating' AND expires_at <= $1{further} \
                 {ORDER} LIMIT $2",
                selection(),
                self.table()
            );
            let call = Call::ask(&sql, ORDER, |query| {
                let query = query.bind(now.as_micros()).bind(count(rows_wanted));
                match after.clone() {
                    Some((at, tenant, id)) => query.bind(at).bind(tenant).bind(id),
                    None => query,
                }
            });
            let rows = self.read(call).await?;
            for row in &rows {
                found.push(publication_of(row)?);
            }
            if rows.len() < rows_wanted {
                break;
            }
        }
        Ok(found)
    }

    async fn delete(&self, project: &str, id: PublicationId) -> Result<(), Error> {
        let key = key_of(project)?;
        let sql = |meant: &str| {
            format!(
                "DELETE FROM {} WHERE tenant = $1 AND id = $2::text::uuid AND {meant} RETURNING 1",
                self.table()
            )
        };
        self.write(Call::change("$3", sql, |query| of(query, &key, id))).await.map(drop)
    }

    async fn removal(&self, project: &str) -> Result<Option<ArtifactRemoval>, Error> {
        let key = key_of(project)?;
        let sql = format!(
            "SELECT revision, artifacts, until FROM {} WHERE tenant = $1",
            self.store.names().removals
        );
        let call = Call::ask(&sql, "", |query| query.bind(key.tenant.to_string()));
        self.read(call).await?.first().map(removal_of).transpose()
    }

    async fn replace_removal(
        &self,
        project: &str,
        removal: &ArtifactRemoval,
    ) -> Result<bool, Error> {
        removal.check()?;
        let key = key_of(project)?;
        let table = &self.store.names().removals;
        let sql = |meant: &str| {
            format!(
                "INSERT INTO {table} AS t (tenant, revision, artifacts, until) \
                 SELECT $1::text, $2::int8, $3::bytea, $4::int8 \
                 WHERE ($2::int8 = 1 OR EXISTS (SELECT 1 FROM {table} WHERE tenant = $1::text)) \
                   AND {meant} \
                 ON CONFLICT (tenant) DO UPDATE SET revision = excluded.revision, \
                   artifacts = excluded.artifacts, until = excluded.until \
                   WHERE t.revision = excluded.revision - 1 \
                 RETURNING 1"
            )
        };
        let call = Call::change("$5", sql, |query| removals::bind(query, &key, removal));
        if !self.write(call).await?.is_empty() {
            return Ok(true);
        }
        // It may have been this call, or the one before, whose answer was lost.
        Ok(self.removal(project).await?.as_ref() == Some(removal))
    }
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn key_of(project: &str) -> Result<KeyText<'_>, Error> {
    Publication::check_project(project)?;
    KeyText::fitting(project).ok_or_else(|| {
        let message = "the name of the project is too long for PostgreSQL";
        Error::new(ErrorKind::InvalidInput, WRITE, message)
    })
}
