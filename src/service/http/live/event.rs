//! [`LiveEvent`]: what clients are told.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;

const NAME: &str = "announce a change";
/// Names that mean something else: to the service, or to the `EventSource` of a browser.
const RESERVED: [&str; 5] = ["gap", "message", "open", "error", "close"];

/// Something that happened in a project, for [`LiveChanges::publish`](super::LiveChanges::publish).
///
/// Clients see its name and a JSON object, which has `type` and `id` for an event of an aggregate,
/// `version` if it is set, and `data` if it is set.
///
/// An event of an aggregate is sent to those who may read the kind of the aggregate. One of the
/// project is sent to those who may read all kinds of it.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveEvent {
    name: String,
    tenant: String,
    key: Option<AggregateKey>,
    version: Option<u64>,
    data: Option<Value>,
}

impl LiveEvent {
    /// The maximum length of a name, in bytes (inclusive).
    pub const MAX_NAME_BYTES: usize = 64;
    /// The maximum length of the data as JSON, in bytes (inclusive).
    pub const MAX_DATA_BYTES: usize = 16 << 10;

    /// Creates an event of an aggregate. [`data`](Self::data) and [`version`](Self::version) are
    /// empty.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless the name consists of 1 to
    /// [`MAX_NAME_BYTES`](Self::MAX_NAME_BYTES) characters `a-z 0-9 . - _`, or if it is `gap`,
    /// `message`, `open`, `error` or `close`.
    pub fn of_aggregate(name: impl Into<String>, key: &AggregateKey) -> Result<Self, Error> {
        let event = Self::of_project(name, key.tenant())?;
        Ok(Self { key: Some(key.clone()), ..event })
    }

    /// Creates an event of a project, which concerns no aggregate. The empty tenant is the default
    /// one.
    ///
    /// # Errors
    /// Those of [`of_aggregate`](Self::of_aggregate).
    pub fn of_project(name: impl Into<String>, tenant: impl Into<String>) -> Result<Self, Error> {
        let (name, tenant) = (name.into(), tenant.into());
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
        let has_form = (1..=Self::MAX_NAME_BYTES).contains(&name.len());
        if !has_form || !name.bytes().all(is_plain) || RESERVED.contains(&name.as_str()) {
            let message =
                "the name of an event has 1 to 64 characters a-z 0-9 . - _ and is not reserved";
            return Err(Error::new(ErrorKind::InvalidInput, NAME, message));
        }
        Ok(Self { name, tenant, key: None, version: None, data: None })
    }

    /// The event of [`LiveChanges`](super::LiveChanges) itself, whose names are right.
    pub(super) fn known(name: &'static str, key: &AggregateKey, version: Option<u64>) -> Self {
        let (name, tenant) = (name.to_owned(), key.tenant().to_owned());
        Self { name, tenant, key: Some(key.clone()), version, data: None }
    }

    /// Sets the version of the aggregate that the event concerns.
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets what else clients are told. Every reader of the project sees it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if `data` has no form in JSON, or has more than
    /// [`MAX_DATA_BYTES`](Self::MAX_DATA_BYTES).
    pub fn data(mut self, data: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        let data = serde_json::to_value(data).map_err(|source| {
            let message = "the data of an event has no form in JSON";
            Error::new(ErrorKind::InvalidInput, NAME, message).with_source(source)
        })?;
        let length = data.to_string().len();
        if length > Self::MAX_DATA_BYTES {
            let limit = Self::MAX_DATA_BYTES;
            let message = format!("the data of an event has {length} bytes, above {limit}");
            return Err(Error::new(ErrorKind::InvalidInput, NAME, message));
        }
        self.data = Some(data);
        Ok(self)
    }

    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    pub(super) fn key(&self) -> Option<&AggregateKey> {
        self.key.as_ref()
    }

    /// The lines that follow the id. JSON escapes all control characters, so the data is one line.
    pub(super) fn lines(&self) -> String {
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
        if let Some(key) = &self.key {
            put("type", key.kind().into());
            put("id", key.id().into());
        }
        if let Some(version) = self.version {
            put("version", version.into());
        }
        if let Some(data) = &self.data {
            put("data", data.clone());
        }
        let mut lines = String::new();
        // Writing to a String never fails.
        let _ = write!(lines, "event: {}\ndata: {}\n\n", self.name, Value::Object(members));
        lines
    }
}
