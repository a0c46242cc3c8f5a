//! The operations on the table of publications.

use sqlx::postgres::PgRow;

use crate::backend::postgres::call::Call;
use crate::backend::postgres::connection::{CallFailure, Operation, Session};
use crate::backend::postgres::error::{self, StatementEffect};
use crate::error::{Error, ErrorKind};

pub(super) const READ: &str = "read publications";
pub(super) const WRITE: &str = "store a publication";

/// A call that changes nothing.
pub(super) struct PublicationRead<'q>(pub(super) Call<'q>);

/// A call that changes one publication. It can be repeated.
pub(super) struct PublicationWrite<'q>(pub(super) Call<'q>);

impl Operation for PublicationRead<'_> {
    type Output = Vec<PgRow>;
    const NAME: &'static str = READ;
    const EFFECT: StatementEffect = StatementEffect::Read;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Vec<PgRow>, CallFailure> {
        self.0.rows(session).await
    }
}

impl Operation for PublicationWrite<'_> {
    type Output = Vec<PgRow>;
    const NAME: &'static str = WRITE;
    const EFFECT: StatementEffect = StatementEffect::Write;

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        // A creation has no conflict: it returns the other one.
        (error::code(error).as_deref() == Some("23505")).then(|| {
            let message = "another publication of the project has this request key";
            Error::new(ErrorKind::InvalidInput, WRITE, message)
        })
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Vec<PgRow>, CallFailure> {
        self.0.rows(session).await
    }
}
