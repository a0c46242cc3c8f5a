//! [`EventRow`]: a row of an event table, and its push into a fold.

use std::sync::Arc;

use sqlx::postgres::{PgRow, PgValueRef};
use sqlx::{Row, TypeInfo, ValueRef};

use crate::error::BoxError;
use crate::events::{Recorded, Replay};
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

/// Converts rows to events; provided by the application.
pub(super) type Decode<E> = Arc<dyn Fn(EventRow<'_>) -> Result<E, BoxError> + Send + Sync>;

/// PostgreSQL counts from 2000-01-01, this crate from 1970-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The earliest `timestamptz` except `-infinity`, in microseconds since 2000: 4714-11-24 BC.
const EARLIEST: i64 = -211_813_488_000_000_000;

/// The parts of an event that the application's decoder receives.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EventRow<'r> {
    /// The payload: the bytes of a `bytea` column, or the text of a `text`, `json` or `jsonb`
    /// column.
    pub payload: &'r [u8],
    /// The type of the event, if the event table has a column for it.
    pub event_type: Option<&'r str>,
    /// The version of the event's schema, such as `1.0` or `2`, if the event table has a
    /// [column](super::EventTable::event_version) for it.
    pub event_version: Option<&'r str>,
    /// The version of the event: its number within the aggregate.
    pub version: u64,
    /// When the event was recorded; [`Timestamp::MAX`] if the table has
    /// [no times](super::EventTable::untimed).
    pub recorded_at: Timestamp,
    /// The metadata, in the same form as a payload. `None` if it is NULL, or if the event table has
    /// no column for it.
    pub metadata: Option<&'r [u8]>,
}

/// The columns of an event: version, recorded time and payload, then the optional ones. Columns
/// that are not needed are not selected, which matters for many small rows.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each one says whether there is a column")]
pub(super) struct EventColumns {
    /// Whether the recorded time has a value.
    pub(super) timed: bool,
    pub(super) anchor: bool,
    pub(super) event_type: bool,
    pub(super) event_version: bool,
    pub(super) metadata: bool,
}

impl EventColumns {
    pub(super) const RECORDED_AT: usize = 1;
    pub(super) const PAYLOAD: usize = 2;

    /// Reads when the event in `row` was recorded; `None` if the table has no times.
    pub(super) fn recorded_at(self, row: &PgRow) -> Result<Option<Timestamp>, BoxError> {
        if !self.timed {
            return Ok(None);
        }
        time(&row.try_get_raw(Self::RECORDED_AT)?).map(Some)
    }

    pub(super) fn anchor(self) -> Option<usize> {
        self.anchor.then(|| self.after(0))
    }

    pub(super) fn event_type(self) -> Option<usize> {
        self.event_type.then(|| self.after(1))
    }

    pub(super) fn event_version(self) -> Option<usize> {
        self.event_version.then(|| self.after(2))
    }

    pub(super) fn metadata(self) -> Option<usize> {
        self.metadata.then(|| self.after(3))
    }

    /// Returns the number of columns.
    pub(super) fn count(self) -> usize {
        self.after(4)
    }

    /// Returns the place after the first `optional` of the optional columns.
    fn after(self, optional: usize) -> usize {
        let all = [self.anchor, self.event_type, self.event_version, self.metadata];
        Self::PAYLOAD + 1 + all.into_iter().take(optional).map(usize::from).sum::<usize>()
    }
}

/// An event as stored in its row, not decoded.
pub(super) struct RawEvent<'r> {
    pub(super) version: u64,
    /// `None` if the table has no times.
    pub(super) recorded_at: Option<Timestamp>,
    pub(super) payload: &'r [u8],
    pub(super) anchor: Option<&'r [u8]>,
    pub(super) event_type: Option<&'r str>,
    pub(super) event_version: Option<&'r str>,
    pub(super) metadata: Option<&'r [u8]>,
}

impl<'r> RawEvent<'r> {
    /// Reads the event in `row`, whose version is known.
    pub(super) fn of(
        row: &'r PgRow,
        columns: EventColumns,
        version: u64,
    ) -> Result<Self, BoxError> {
        let optional = |at: Option<usize>| match at.map(|at| row.try_get_raw(at)).transpose() {
            Ok(value) => Ok(value.filter(|value| !value.is_null())),
            Err(error) => Err(error),
        };
        Ok(Self {
            version,
            recorded_at: columns.recorded_at(row)?,
            payload: payload(&row.try_get_raw(EventColumns::PAYLOAD)?)?
                .ok_or("an event has NULL as its payload")?,
            anchor: optional(columns.anchor())?.map(|value| value.as_bytes()).transpose()?,
            event_type: optional(columns.event_type())?.map(|value| value.as_str()).transpose()?,
            event_version: optional(columns.event_version())?
                .map(|value| value.as_str())
                .transpose()?,
            metadata: optional(columns.metadata())?.as_ref().map_or(Ok(None), payload)?,
        })
    }

    /// Pushes the event, and decodes it if it is applied. Returns whether further events are
    /// wanted.
    pub(super) fn push<A: Aggregate>(
        &self,
        decode: &Decode<A::Event>,
        replay: &mut Replay<'_, A>,
    ) -> Result<bool, BoxError> {
        let &Self { version, recorded_at, event_type, event_version, metadata, .. } = self;
        let mut recorded = match recorded_at {
            Some(recorded_at) => Recorded::new(version, recorded_at, self.payload),
            None => Recorded::untimed(version, self.payload),
        };
        recorded.anchor = self.anchor;
        let recorded_at = recorded.recorded_at;
        let pushed = replay.push_encoded(recorded, |payload| {
            decode(EventRow { payload, event_type, event_version, version, recorded_at, metadata })
        })?;
        Ok(pushed.is_continue())
    }
}

/// Reads the version in the first column of `row`, or `None` if that is NULL.
pub(super) fn version_of(row: &PgRow) -> Result<Option<i64>, sqlx::Error> {
    let value = row.try_get_raw(0)?;
    if value.is_null() {
        return Ok(None);
    }
    let bytes = value.as_bytes().map_err(sqlx::Error::Decode)?;
    let bytes = bytes
        .try_into()
        .map_err(|_| sqlx::Error::Decode("the version of an event is not 8 bytes long".into()))?;
    Ok(Some(i64::from_be_bytes(bytes)))
}

/// Reads the bytes of a payload or of metadata, or `None` if it is NULL.
fn payload<'r>(value: &PgValueRef<'r>) -> Result<Option<&'r [u8]>, BoxError> {
    if value.is_null() {
        return Ok(None);
    }
    let bytes = value.as_bytes()?;
    // The binary form of jsonb begins with a format number.
    if value.type_info().name() == "JSONB" {
        return Ok(Some(bytes.split_first().map_or(bytes, |(_, text)| text)));
    }
    Ok(Some(bytes))
}

fn time(value: &PgValueRef<'_>) -> Result<Timestamp, BoxError> {
    if value.is_null() {
        return Err("an event has NULL as its recorded time".into());
    }
    let bytes = value.as_bytes()?.try_into().map_err(|_| "a recorded time is not 8 bytes long")?;
    let number = i64::from_be_bytes(bytes);
    match value.type_info().name() {
        "TIMESTAMPTZ" => Ok(match number {
            // `-infinity`. `infinity` becomes the highest time without a special case.
            i64::MIN => Timestamp::MIN,
            number => Timestamp::from_micros(number.saturating_add(EPOCH_MICROS)),
        }),
        "INT8" => Ok(Timestamp::from_micros(number)),
        name => {
            Err(format!("the column of recorded times has type {name}: use timestamptz or bigint")
                .into())
        }
    }
}

/// A time as a `timestamptz` parameter. PostgreSQL compares it with recorded times in the same way
/// as [`time`] converts them: values out of range become infinite.
pub(super) struct PgTime(pub(super) Timestamp);

impl sqlx::Type<sqlx::Postgres> for PgTime {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        const TIMESTAMPTZ: sqlx::postgres::types::Oid = sqlx::postgres::types::Oid(1184);
        sqlx::postgres::PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}

impl sqlx::Encode<'_, sqlx::Postgres> for PgTime {
    fn encode_by_ref(
        &self,
        buffer: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, BoxError> {
        let micros = match self.0.as_micros() {
            i64::MAX => i64::MAX,
            micros => micros.saturating_sub(EPOCH_MICROS),
        };
        let micros = if micros < EARLIEST { i64::MIN } else { micros };
        buffer.extend_from_slice(&micros.to_be_bytes());
        Ok(sqlx::encode::IsNull::No)
    }
}
