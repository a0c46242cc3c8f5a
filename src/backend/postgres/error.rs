//! Converts errors of sqlx to the crate's [`Error`].

use std::borrow::Cow;
use std::fmt;

use crate::error::{Error, ErrorKind, Retry};

/// The message for a clash of prepared statements. The server and the guard of a statement do not
/// show whether there is a pooler.
const CLASH: &str = "the answer is that of another prepared statement, or the statement is \
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
            Some(code) => write!(f, "PostgreSQL says {}: {}", code, self.message),
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

/// Whether the connection is unusable: closed, or bound to outdated state.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // The server is going down; it has failed over.
        sqlx::Error::Database(error) => {
            matches!(error.code().as_deref(), Some("57P01" | "57P02" | "57P03" | "25006"))
        }
        _ => false,
    }
}

/// Whether a prepared statement is missing, or was prepared before a column changed its type.
/// Nothing was done.
pub(super) fn is_stale(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("0A000" | "26000"))
}

/// Whether a savepoint was refused because there is no transaction.
pub(super) fn is_outside_transaction(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("25P01")
}

/// The SQLSTATE.
pub(super) fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code)
}

/// Whether the same statement on another connection may succeed immediately.
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
            (ErrorKind::Timeout, Retry::Later, "no connection of the pool became free in time")
        }
        sqlx::Error::PoolClosed => (ErrorKind::Store, Retry::Never, "the pool is closed"),
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            (ErrorKind::Store, unknown, "the connection to PostgreSQL broke")
        }
        sqlx::Error::Tls(_) => (ErrorKind::Store, Retry::Never, "the TLS handshake failed"),
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => {
            (ErrorKind::InvalidInput, Retry::Never, "the connection string is not valid")
        }
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::TypeNotFound { .. } => {
            (ErrorKind::Store, Retry::Never, "a column is missing or of another type")
        }
        _ => (ErrorKind::Store, Retry::Never, "PostgreSQL could not be asked"),
    };
    Error::new(kind, operation, message).with_retry(retry).with_source(cause(error))
}

fn by_code(code: &str, unknown: Retry) -> (ErrorKind, Retry, &'static str) {
    use ErrorKind::{CorruptStore, InvalidInput, OutOfSpace, Store, Timeout};
    match code {
        "40001" => (Store, Retry::Later, "the transaction conflicts with a concurrent one"),
        "40P01" => (Store, Retry::Later, "the transaction was part of a deadlock"),
        "57014" => (Timeout, Retry::Later, "the statement was cancelled or ran out of time"),
        "55P03" => (Timeout, Retry::Later, "a lock was not granted in time"),
        "25P03" | "57P05" => (Timeout, Retry::Later, "the session was idle for too long"),
        "53100" => (OutOfSpace, Retry::Later, "the disk of the server is full"),
        "53200" => (OutOfSpace, Retry::Later, "the server is out of memory"),
        "53300" | "53400" => (Store, Retry::Later, "the server has too many connections"),
        "25006" => (Store, Retry::Later, "the server is read-only: a replica, or set so"),
        "42P01" | "3F000" => {
            (Store, Retry::Never, "a table is missing: run the migrations, or check the names")
        }
        "42703" | "42883" => {
            (Store, Retry::Never, "a table differs from what this release expects: migrate it")
        }
        "42501" => (Store, Retry::Never, "the role may not do this"),
        "22P05" => {
            (InvalidInput, Retry::Never, "the database cannot hold this text: it must be UTF8")
        }
        "22P02" | "22003" => {
            (InvalidInput, Retry::Never, "a part of the key is not a value of its column's type")
        }
        // The parameters differ in number, form or encoding from what the statement expects. The
        // parameters of this crate always match their own statements.
        "08P01" | "26000" | "42P05" | "42804" => (Store, Retry::Later, CLASH),
        "54000" => (InvalidInput, Retry::Never, "a value exceeds a limit of PostgreSQL"),
        "25P02" => (Store, Retry::Never, "the caller's transaction has failed before"),
        "XX001" | "XX002" => (CorruptStore, Retry::Never, "the server found damaged data"),
        "0A000" => (Store, Retry::Later, "a prepared statement is out of date"),
        _ => match code.get(..2).unwrap_or("") {
            "22" => (Store, Retry::Later, CLASH),
            "08" | "57" | "58" => (Store, unknown, "the server is going down or not ready"),
            "28" | "3D" => (Store, Retry::Never, "the server refuses the connection"),
            "53" => (OutOfSpace, Retry::Later, "the server lacks a resource"),
            "XX" => (Store, unknown, "the server failed"),
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
            SqlCause { code: None, message: format!("column {index} does not decode") }
        }
        sqlx::Error::ColumnNotFound(name) => {
            SqlCause { code: None, message: format!("there is no column {name}") }
        }
        // The texts of other errors may quote the connection string.
        _ => SqlCause { code: None, message: "sqlx could not run the statement".into() },
    }
}

/// The error for an answer of another statement.
pub(super) fn foreign(operation: &'static str) -> Error {
    Error::new(ErrorKind::Store, operation, CLASH).with_retry(Retry::Later)
}

/// The error for a row that this crate cannot have written.
pub(super) fn damaged(operation: &'static str, what: &str) -> Error {
    Error::new(ErrorKind::CorruptStore, operation, format!("a row has {what}"))
}
