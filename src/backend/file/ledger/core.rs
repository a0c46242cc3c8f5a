//! [`Core`]: an open ledger.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use super::super::disk::{Disk, DiskFile, Place, write_file};
use super::super::fault::io_error;
use super::entry::{Fact, frame_bytes};
use super::group::{Answer, Group};
use super::log::{Log, WRITE};
use super::manifest::{Known, Manifest};
use super::maps::{Change, Maps, Pending};
use super::names;
use super::trail::Trail;
use crate::error::{Error, ErrorKind, Retry};

pub(super) struct Core {
    pub(super) disk: Arc<Place>,
    pub(super) dir: PathBuf,
    pub(super) ledger: [u8; 16],
    // Taken in this order: audit, state; a log before what readers see of it.
    audit: Mutex<Log>,
    state: Mutex<State>,
    pub(super) appends: Group<Vec<u8>, u64>,
    pub(super) changes: Group<Change, bool>,
    pub(super) trail: RwLock<Trail>,
    pub(super) maps: RwLock<Maps>,
    pub(super) audit_file: Arc<dyn DiskFile>,
    pub(super) audit_path: PathBuf,
    pub(super) audit_salt: u64,
    /// What of the log of schedules and statistics may be out of date besides a half.
    slack: u64,
    poison: OnceLock<String>,
    closed: AtomicBool,
}

pub(super) struct State {
    pub(super) log: Log,
    /// It is not rewritten before it has this length: the last attempt failed.
    pub(super) wait_until: u64,
}

/// What opening finds.
pub(super) struct Found {
    pub(super) ledger: [u8; 16],
    pub(super) audit: Log,
    pub(super) state: Log,
    pub(super) trail: Trail,
    pub(super) maps: Maps,
}

impl Core {
    pub(super) fn new(disk: Arc<Place>, dir: PathBuf, slack: u64, found: Found) -> Self {
        let Found { ledger, audit, state, trail, maps } = found;
        Self {
            disk,
            dir,
            ledger,
            audit_file: Arc::clone(&audit.file),
            audit_path: audit.path.clone(),
            audit_salt: audit.salt,
            audit: Mutex::new(audit),
            state: Mutex::new(State { log: state, wait_until: 0 }),
            appends: Group::new(),
            changes: Group::new(),
            trail: RwLock::new(trail),
            maps: RwLock::new(maps),
            slack,
            poison: OnceLock::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Queues the body of an entry of the audit trail.
    pub(super) fn queue_append(&self, body: Vec<u8>) -> Answer<u64> {
        let bytes = body.len();
        self.appends.queue(body, bytes)
    }

    /// Appends what was queued to the audit trail; returns its sequence. Blocks.
    pub(super) fn finish_append(&self, queued: &Answer<u64>) -> Result<u64, Error> {
        self.appends.run(&self.audit, queued, |log, bodies| self.append_all(log, &bodies))
    }

    /// Appends the body of an entry to the audit trail; returns its sequence. Blocks.
    #[cfg(test)]
    pub(super) fn append(&self, body: Vec<u8>) -> Result<u64, Error> {
        self.finish_append(&self.queue_append(body))
    }

    pub(super) fn append_all(&self, log: &mut Log, bodies: &[Vec<u8>]) -> Result<Vec<u64>, Error> {
        self.check_writable()?;
        let first = log.next_seq;
        log.append(bodies).map_err(|error| self.failed(error))?;
        let mut trail = self.trail.write().unwrap_or_else(PoisonError::into_inner);
        for body in bodies {
            trail.push(frame_bytes(body.len()));
        }
        Ok((first..log.next_seq).collect())
    }

    /// Queues a change.
    pub(super) fn queue_change(&self, change: Change) -> Answer<bool> {
        let bytes = change.bytes();
        self.changes.queue(change, bytes)
    }

    /// Makes the change that was queued; tells whether there was something to change. Blocks.
    pub(super) fn finish_change(&self, queued: &Answer<bool>) -> Result<bool, Error> {
        self.changes.run(&self.state, queued, |state, changes| self.change_all(state, changes))
    }

    /// Makes a change; tells whether there was something to change. Blocks.
    #[cfg(test)]
    pub(super) fn change(&self, change: Change) -> Result<bool, Error> {
        self.finish_change(&self.queue_change(change))
    }

    pub(super) fn change_all(
        &self,
        state: &mut State,
        changes: Vec<Change>,
    ) -> Result<Vec<bool>, Error> {
        self.check_writable()?;
        let (facts, answers) = {
            let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
            let mut pending = Pending::on(&maps);
            let decided = changes.into_iter().map(|change| pending.decide(change));
            let (facts, answers): (Vec<_>, Vec<_>) = decided.unzip();
            (facts.into_iter().flatten().collect::<Vec<_>>(), answers)
        };
        if facts.is_empty() {
            return Ok(answers);
        }
        let bodies: Vec<_> = facts.iter().map(Fact::to_bytes).collect();
        state.log.append(&bodies).map_err(|error| self.failed(error))?;
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        for fact in facts {
            maps.apply(fact);
        }
        drop(maps);
        self.tidy(state);
        Ok(answers)
    }

    /// Rewrites the log of schedules and statistics if most of it is out of date. What fails here
    /// is no failure of the write that led to it.
    fn tidy(&self, state: &mut State) {
        let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
        let enough = maps.live_bytes.saturating_mul(2).saturating_add(self.slack);
        if state.log.end <= enough.max(state.wait_until) {
            return;
        }
        if let Err(error) = self.rewrite(&mut state.log, &maps) {
            state.wait_until = state.log.end.saturating_mul(2);
            self.failed(error);
        }
    }

    /// Ends all use: notes how long the logs are, and gives the lock up. Does nothing the second
    /// time. Blocks.
    pub(super) fn close(&self) -> Result<(), Error> {
        let (audit, state) = (self.audit(), self.state());
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let written = if self.poison.get().is_some() {
            Ok(())
        } else {
            let known = |log: &Log| Known { salt: log.salt, bytes: log.end };
            let (audit, state) = (known(&audit), known(&state.log));
            let manifest = Manifest { ledger: self.ledger, audit, state };
            write_manifest(&*self.disk, &self.dir, "close a ledger", manifest)
        };
        self.disk.release();
        written
    }

    /// The error of a write, noted if its outcome is not known.
    fn failed(&self, error: Error) -> Error {
        if error.retry() == Retry::Unknown {
            let _ = self.poison.set(error.to_string());
        }
        error
    }

    fn check_writable(&self) -> Result<(), Error> {
        if let Some(why) = self.poison.get() {
            let message = format!("the ledger stopped writing ({why}); reopen it");
            return Err(Error::new(ErrorKind::Poisoned, WRITE, message));
        }
        self.check_open(WRITE)
    }

    pub(super) fn check_open(&self, operation: &'static str) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Store, operation, "the ledger was closed"));
        }
        Ok(())
    }

    // What the locks guard is changed only after everything that can fail.
    pub(super) fn audit(&self) -> MutexGuard<'_, Log> {
        self.audit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Without it the next opening is less strict, and nothing else.
        let _ = self.close();
    }
}

/// Replaces the manifest, durably when this returns.
pub(super) fn write_manifest(
    disk: &dyn Disk,
    dir: &Path,
    operation: &'static str,
    manifest: Manifest,
) -> Result<(), Error> {
    let path = dir.join(names::MANIFEST);
    let [temporary, _] = names::TEMPORARY.map(|name| dir.join(name));
    write_file(disk, &temporary, &manifest.to_bytes())
        .and_then(|()| disk.rename(&temporary, &path))
        .and_then(|()| disk.sync_dir(dir))
        .map_err(|error| io_error(operation, &path, error))
}
