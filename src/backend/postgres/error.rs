//! Converts errors from sqlx to the crate's [`Error`].

use std::borrow::Cow;
use std::fmt;

use crate::error::{Error, ErrorKind, Retry};

/// The message for a mix-up of prepared statements. The server and the guard of a statement do not
/// show whether there is a pooler.
const CLASH: &str = "the result belongs to another prepared statement, or the statement is \
     missing: if a connection pooler in transaction mode (such as PgBouncer) is in use, set \
     transaction_pooler(true) on PostgresOptions and PostgresEvents";

/// The effect of a statement, for the retry advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatementEffect {
    Read,
    Write,
}

/// PostgreSQL's message, without the parts that may contain values of rows or of the connection
/// string.
pub(super) struct SqlCause {
    code: Option<String>,
    message: String,
}

impl fmt::Display for SqlCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "PostgreSQL error {}: {}", code, self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl fmt::Debug for SqlCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SqlCause {}

/// Returns whether the connection is unusable: closed, or bound to outdated state.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // The server is shutting down, or it has failed over.
        sqlx::Error::Database(error) => {
            matches!(error.code().as_deref(), Some("57P01" | "57P02" | "57P03" | "25006"))
        }
        _ => false,
    }
}

/// Returns whether a prepared statement is missing, or was prepared before a column changed its
/// type. The statement had no effect.
pub(super) fn is_stale(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("0A000" | "26000"))
}

/// Returns whether a savepoint was refused because there is no transaction.
pub(super) fn is_outside_transaction(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("25P01")
}

/// Returns the SQLSTATE.
pub(super) fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code)
}

/// Returns whether the same statement may succeed immediately on another connection.
pub(super) fn is_worth_another(error: &sqlx::Error) -> bool {
    is_broken(error) && code(error).as_deref() != Some("25006")
}

pub(super) fn classify(
    operation: &'static str,
    effect: StatementEffect,
    error: &sqlx::Error,
) -> Error {
    let unknown = match effect {
        StatementEffect::Read => Retry::Later,
        StatementEffect::Write => Retry::Unknown,
    };
    let (kind, retry, message) = match error {
        sqlx::Error::Database(error) => by_code(error.code().as_deref().unwrap_or(""), unknown),
        sqlx::Error::PoolTimedOut => {
            (ErrorKind::Timeout, Retry::Later, "no connection in the pool became available in time")
        }
        sqlx::Error::PoolClosed => (ErrorKind::Store, Retry::Never, "the pool is closed"),
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            (ErrorKind::Store, unknown, "the connection to PostgreSQL was lost")
        }
        sqlx::Error::Tls(_) => (ErrorKind::Store, Retry::Never, "the TLS handshake failed"),
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => {
            (ErrorKind::InvalidInput, Retry::Never, "the connection string is invalid: correct it")
        }
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::TypeNotFound { .. } => {
            (ErrorKind::Store, Retry::Never, "a column is missing or has an unexpected type")
        }
        _ => (ErrorKind::Store, Retry::Never, "the statement could not be sent to PostgreSQL"),
    };
    Error::new(kind, operation, message).with_retry(retry).with_source(cause(error))
}

fn by_code(code: &str, unknown: Retry) -> (ErrorKind, Retry, &'static str) {
    use ErrorKind::{CorruptStore, InvalidInput, OutOfSpace, Store, Timeout};
    match code {
        "40001" => (Store, Retry::Later, "the transaction conflicted with another: retry it"),
        "40P01" => (Store, Retry::Later, "the transaction was part of a deadlock: retry it"),
        "57014" => (Timeout, Retry::Later, "the statement was cancelled or timed out"),
        "55P03" => (Timeout, Retry::Later, "waiting for a lock timed out"),
        "25P03" | "57P05" => (Timeout, Retry::Later, "the session was idle for too long"),
        "53100" => (OutOfSpace, Retry::Later, "the disk of the server is full"),
        "53200" => (OutOfSpace, Retry::Later, "the server is out of memory"),
        "53300" | "53400" => (Store, Retry::Later, "the server has too many connections"),
        "25006" => (Store, Retry::Later, "the server is read-only: connect to the primary"),
        "42P01" | "3F000" => (
            Store,
            Retry::Never,
            "a table is missing: run the migrations, or check the table names",
        ),
        "42703" | "42883" => {
            (Store, Retry::Never, "a table does not fit this release: run the migrations")
        }
        "42501" => (Store, Retry::Never, "the role lacks a privilege: grant it"),
        "22P05" => {
            (InvalidInput, Retry::Never, "the database cannot store this text: use encoding UTF8")
        }
        "22P02" | "22003" => {
            (InvalidInput, Retry::Never, "a part of the key does not fit its column's type")
        }
        // The number, form or encoding of the parameters does not match the statement. The
        // parameters of this crate always match their own statements.
        "08P01" | "26000" | "42P05" | "42804" => (Store, Retry::Later, CLASH),
        "54000" => (InvalidInput, Retry::Never, "a value exceeds a limit of PostgreSQL"),
        "25P02" => {
            (Store, Retry::Never, "the caller's transaction has already failed: roll it back")
        }
        "XX001" | "XX002" => {
            (CorruptStore, Retry::Never, "the server found damaged data: restore it from a backup")
        }
        "0A000" => (Store, Retry::Later, "a prepared statement is out of date: retry the call"),
        _ => match code.get(..2).unwrap_or("") {
            "22" => (Store, Retry::Later, CLASH),
            "08" | "57" | "58" => (Store, unknown, "the server is shutting down or not ready"),
            "28" | "3D" => {
                let message = "the server refused the connection: check the role and the database";
                (Store, Retry::Never, message)
            }
            "53" => (OutOfSpace, Retry::Later, "the server ran out of a resource"),
            "XX" => (Store, unknown, "the server reported an internal error"),
            _ => (Store, Retry::Never, "PostgreSQL refused the statement"),
        },
    }
}

pub(super) fn cause(error: &sqlx::Error) -> SqlCause {
    match error {
        sqlx::Error::Database(error) => SqlCause {
            code: error.code().map(Cow::into_owned),
            message: error.message().to_owned(),
        },
        sqlx::Error::Io(error) => SqlCause { code: None, message: error.kind().to_string() },
        sqlx::Error::PoolTimedOut => SqlCause { code: None, message: "pool timed out".into() },
        sqlx::Error::PoolClosed => SqlCause { code: None, message: "pool closed".into() },
        sqlx::Error::ColumnDecode { index, .. } => {
            SqlCause { code: None, message: format!("column {index} cannot be decoded") }
        }
        sqlx::Error::ColumnNotFound(name) => {
            SqlCause { code: None, message: format!("there is no column {name}") }
        }
        // The texts of other errors may quote the connection string.
        _ => SqlCause { code: None, message: "sqlx could not run the statement".into() },
    }
}

/// Creates the error for the result of another statement.
pub(super) fn foreign(operation: &'static str) -> Error {
    Error::new(ErrorKind::Store, operation, CLASH).with_retry(Retry::Later)
}

/// Creates the error for a row that this crate cannot have written.
pub(super) fn damaged(operation: &'static str, what: &str) -> Error {
    Error::new(ErrorKind::CorruptStore, operation, format!("a row contains {what}"))
}
