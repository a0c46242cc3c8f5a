//! [`PublishOptions`]: the limits of publications.

use std::time::Duration;

use crate::artifact::Upload;
use crate::error::{Error, ErrorKind};

/// The limits of publications. Give the same ones to all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishOptions {
    /// For how long artifacts can be sent, and within which time a publication has to be finalised:
    /// a second to [`Upload::MAX_VALIDITY`]. 15 minutes by default.
    pub validity: Duration,
    /// The maximum declared size of an artifact in bytes (inclusive). 1 GiB by default. The limit of
    /// the artifact store holds as well.
    pub max_bytes: u64,
    /// The maximum size of an artifact whose size or hash was not declared, in bytes (inclusive).
    /// 16 MiB by default. It is held in memory until it is stored.
    pub max_undeclared_bytes: usize,
    /// How many of these are received at the same time by one [`Publisher`](super::Publisher). 8 by
    /// default. Others are refused as [`Busy`](super::PublishRefusal::Busy).
    pub undeclared_at_once: usize,
    /// The maximum number of pending publications of a project (inclusive). 1,000 by default. Only
    /// those among its newest publications count, at least twice as many. They are
    /// counted again when a half of the room is used and after a minute, so that several nodes can
    /// exceed it together.
    pub max_pending: usize,
    /// Whether a request without a key of its own, with a commit and a title, finds the publication
    /// of the project with the same commit and title that has not failed. False by default.
    pub by_commit_and_title: bool,
}

impl PublishOptions {
    /// Creates the default options.
    pub const fn new() -> Self {
        Self {
            validity: Duration::from_secs(15 * 60),
            max_bytes: 1 << 30,
            max_undeclared_bytes: 16 << 20,
            undeclared_at_once: 8,
            max_pending: 1_000,
            by_commit_and_title: false,
        }
    }

    /// Sets [`validity`](Self::validity).
    pub const fn validity(mut self, validity: Duration) -> Self {
        self.validity = validity;
        self
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets [`max_undeclared_bytes`](Self::max_undeclared_bytes).
    pub const fn max_undeclared_bytes(mut self, bytes: usize) -> Self {
        self.max_undeclared_bytes = bytes;
        self
    }

    /// Sets [`undeclared_at_once`](Self::undeclared_at_once).
    pub const fn undeclared_at_once(mut self, count: usize) -> Self {
        self.undeclared_at_once = count;
        self
    }

    /// Sets [`max_pending`](Self::max_pending).
    pub const fn max_pending(mut self, count: usize) -> Self {
        self.max_pending = count;
        self
    }

    /// Sets [`by_commit_and_title`](Self::by_commit_and_title).
    pub const fn by_commit_and_title(mut self, by_commit_and_title: bool) -> Self {
        self.by_commit_and_title = by_commit_and_title;
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        Upload::check_validity(self.validity)?;
        if self.undeclared_at_once > tokio::sync::Semaphore::MAX_PERMITS {
            let message = "too many artifacts are received at the same time";
            return Err(Error::new(ErrorKind::InvalidInput, "build a publisher", message));
        }
        Ok(())
    }
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self::new()
    }
}
