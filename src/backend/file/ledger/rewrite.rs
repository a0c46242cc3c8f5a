//! Writing the log of schedules and statistics anew, without what is out of date.

use std::io::{self, IoSlice};

use super::super::disk::{Disk, DiskFile, write_all};
use super::super::fault::io_error;
use super::super::layout::HEAD_BYTES;
use super::core::Core;
use super::entry::{daily_body, mark, schedule_body};
use super::log::{Log, WRITE, Which, head, put_frame, unknown};
use super::maps::Maps;
use super::names;
use crate::error::Error;

/// So much is written at a time.
const CHUNK: usize = 1 << 20;

impl Core {
    /// Puts a log that holds only `maps` in the place of `log`. An error that is not
    /// [`Retry::Unknown`](crate::error::Retry::Unknown) leaves the old one in place.
    pub(super) fn rewrite(&self, log: &mut Log, maps: &Maps) -> Result<(), Error> {
        let [_, temporary] = names::TEMPORARY.map(|name| self.dir.join(name));
        let written = self.disk.create(&temporary).and_then(|file| {
            let salt = self.disk.random();
            let (end, next_seq) = fill(&*file, &head(self.ledger, Which::State, salt), salt, maps)?;
            Ok(Log { file, path: log.path.clone(), salt, end, next_seq })
        });
        let new = written.map_err(|error| {
            // If it stays, the next opening removes it.
            let _ = self.disk.remove(&temporary);
            io_error(WRITE, &temporary, error)
        })?;
        self.disk
            .rename(&temporary, &log.path)
            .and_then(|()| self.disk.sync_dir(&self.dir))
            .map_err(|error| unknown(&log.path, error))?;
        *log = new;
        Ok(())
    }
}

/// Writes a whole log, durable when this returns. Returns its length and its next sequence.
fn fill(file: &dyn DiskFile, head: &[u8], salt: u64, maps: &Maps) -> io::Result<(u64, u64)> {
    let mut out = Out { file, bytes: head.to_vec(), start: 0 };
    let mut seq = 1;
    let schedules = maps.schedules.values().map(schedule_body);
    let daily = maps
        .daily
        .iter()
        .flat_map(|(key, days)| days.iter().map(|(day, sum)| daily_body(key, *day, sum)));
    for body in schedules.chain(daily) {
        put_frame(&mut out.bytes, salt, out.start, seq, HEAD_BYTES, &body);
        seq += 1;
        if out.bytes.len() >= CHUNK {
            out.flush()?;
        }
    }
    out.flush()?;
    file.sync()?;
    // From here on, damage to what is before can be told from a write that was cut short.
    put_frame(&mut out.bytes, salt, out.start, seq, out.start, &mark());
    out.flush()?;
    file.sync()?;
    Ok((out.start, seq + 1))
}

struct Out<'a> {
    file: &'a dyn DiskFile,
    bytes: Vec<u8>,
    /// Where in the file `bytes` begins.
    start: u64,
}

impl Out<'_> {
    fn flush(&mut self) -> io::Result<()> {
        write_all(self.file, self.start, &mut [IoSlice::new(&self.bytes)])?;
        self.start += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }
}
