//! [`Call`]: a statement with its parameters.

use sqlx::postgres::PgRow;

use super::connection::{CallFailure, Session};
use super::statement::{Bound, Statement, select};

/// Binds the parameters of a statement.
pub(super) type Bind<'q> = Box<dyn Fn(Bound<'q>) -> Bound<'q> + Send + Sync + 'q>;

/// A statement and its parameters.
pub(super) struct Call<'q> {
    pub(super) statement: Statement,
    pub(super) bind: Bind<'q>,
}

impl<'q> Call<'q> {
    /// Returns the rows of a query, ordered by `order` (over the columns of `q`).
    pub(super) fn ask(
        rows: &str,
        order: &str,
        bind: impl Fn(Bound<'q>) -> Bound<'q> + Send + Sync + 'q,
    ) -> Self {
        let statement = Statement::new(|guard| select(guard, rows, order));
        Self { statement, bind: Box::new(bind) }
    }

    /// Runs the statement that `change` builds with a condition, and returns its result. The
    /// statement must change nothing if the condition is false. The condition compares the
    /// parameter `last`.
    pub(super) fn change(
        last: &str,
        change: impl Fn(&str) -> String,
        bind: impl Fn(Bound<'q>) -> Bound<'q> + Send + Sync + 'q,
    ) -> Self {
        let statement = Statement::new(|guard| {
            let change = change(&format!("{last}::int8 = {guard}"));
            format!("WITH c AS ({change}) {}", select(guard, "SELECT * FROM c", ""))
        });
        let guard = statement.guard();
        Self { statement, bind: Box::new(move |query| bind(query).bind(guard)) }
    }

    /// Runs the statement, and returns its rows.
    pub(super) async fn rows(&self, session: &mut Session<'_>) -> Result<Vec<PgRow>, CallFailure> {
        self.statement.all((self.bind)(self.statement.query(session)), session).await
    }
}
