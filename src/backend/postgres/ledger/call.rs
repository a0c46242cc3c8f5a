//! The calls of the ledger, and the decoding of their rows.

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use crate::backend::postgres::call::Call;
use crate::backend::postgres::connection::{CallFailure, Operation, Session};
use crate::backend::postgres::error::{self, StatementEffect};
use crate::backend::postgres::key_text::{self, KeyText, MAX_BYTES};
use crate::backend::postgres::statement::Bound;
use crate::backend::postgres::store::PostgresStore;
use crate::error::{Error, ErrorKind};
use crate::store::Page;
use crate::timestamp::Timestamp;

/// The maximum number of rows in one answer, whatever the requested limit.
pub(super) const MAX_ROWS: usize = 10_000;

pub(super) const READ: &str = "read the ledger";
pub(super) const WRITE: &str = "write to the ledger";

/// A call that changes nothing.
pub(super) struct Ask<'q>(Call<'q>);

/// A call that changes something.
pub(super) struct LedgerChange<'q>(Call<'q>);

impl Operation for Ask<'_> {
    type Output = Vec<PgRow>;
    const NAME: &'static str = READ;
    const EFFECT: StatementEffect = StatementEffect::Read;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Vec<PgRow>, CallFailure> {
        self.0.rows(session).await
    }
}

impl Operation for LedgerChange<'_> {
    type Output = Vec<PgRow>;
    const NAME: &'static str = WRITE;
    const EFFECT: StatementEffect = StatementEffect::Write;
    /// Repeating it would count sums and entries twice.
    const ADDS_UP: bool = true;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Vec<PgRow>, CallFailure> {
        self.0.rows(session).await
    }
}

impl PostgresStore {
    pub(super) async fn ask(&self, call: Call<'_>) -> Result<Vec<PgRow>, Error> {
        self.connections().run(&mut Ask(call)).await
    }

    pub(super) async fn change(&self, call: Call<'_>) -> Result<Vec<PgRow>, Error> {
        self.connections().run(&mut LedgerChange(call)).await
    }

    pub(super) async fn change_in(
        &self,
        connection: &mut PgConnection,
        call: Call<'_>,
    ) -> Result<Vec<PgRow>, Error> {
        self.connections().run_on(connection, &mut LedgerChange(call)).await
    }
}

pub(super) fn too_long() -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        WRITE,
        format!("the key is longer than {MAX_BYTES} bytes, the limit for PostgreSQL: shorten it"),
    )
}

pub(super) fn bind_key<'q>(query: Bound<'q>, key: &KeyText<'_>) -> Bound<'q> {
    query.bind(key.tenant.to_string()).bind(key.kind.to_string()).bind(key.id.to_string())
}

/// Takes the error by value for `map_err`.
#[expect(clippy::needless_pass_by_value, reason = "see above")]
pub(super) fn unread(error: sqlx::Error) -> Error {
    error::classify(READ, StatementEffect::Read, &error)
}

pub(super) fn text(row: &PgRow, at: usize) -> Result<String, Error> {
    let stored: &str = row.try_get(at).map_err(unread)?;
    let text = key_text::decode(stored).ok_or_else(|| error::damaged(READ, "an invalid string"))?;
    Ok(text.into_owned())
}

/// Reads a string that may be NULL.
pub(super) fn optional_text(row: &PgRow, at: usize) -> Result<Option<String>, Error> {
    let stored: Option<&str> = row.try_get(at).map_err(unread)?;
    stored.map(|_| text(row, at)).transpose()
}

pub(super) fn time(row: &PgRow, at: usize) -> Result<Timestamp, Error> {
    row.try_get(at).map(Timestamp::from_micros).map_err(unread)
}

pub(super) fn encoded(text: &str) -> String {
    key_text::encode(text).into_owned()
}

pub(super) fn rows_limit(limit: usize) -> i64 {
    i64::try_from(limit.clamp(1, MAX_ROWS)).unwrap_or(1)
}

/// Returns the first `limit` of `rows`, and the position to continue after if there was one more.
pub(super) fn page<T, C>(
    rows: &[PgRow],
    limit: i64,
    item: impl Fn(&PgRow) -> Result<T, Error>,
    cursor: impl Fn(&T) -> C,
) -> Result<Page<T, C>, Error> {
    let limit = usize::try_from(limit).unwrap_or(1);
    let items = rows.iter().take(limit).map(item).collect::<Result<Vec<_>, _>>()?;
    let next = items.last().map(cursor).filter(|_| rows.len() > limit);
    Ok(Page::new(items, next))
}
