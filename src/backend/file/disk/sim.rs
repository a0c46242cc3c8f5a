//! [`SimDisk`]: a disk in memory that loses power or fails on command.
//!
//! When the power fails, unsynced content is kept or dropped in pieces of 512 bytes, in any
//! combination. The same applies to each change of a name. The length of a file may or may not
//! survive.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, Lock, Locking, PathKind};

/// The calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Create,
    Write,
    Sync,
    SetLen,
    Rename,
    Link,
    Remove,
    SyncDir,
}

impl Call {
    pub(crate) const ALL: [Self; 8] = [
        Self::Create,
        Self::Write,
        Self::Sync,
        Self::SetLen,
        Self::Rename,
        Self::Link,
        Self::Remove,
        Self::SyncDir,
    ];
}

/// Which unsynced changes survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survival {
    Nothing,
    Everything,
    /// Each piece survives with probability 1/2, drawn from this seed.
    Random(u64),
    /// The first pieces survive, up to this number.
    Prefix(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    renames: Vec<NameChange>,
    calls: u64,
    crash_at: Option<u64>,
    crashed: bool,
    fail: Option<(Call, u64, io::ErrorKind)>,
    panic: Option<(Call, u64)>,
    counts: BTreeMap<Call, u64>,
    /// The number of bytes that [`DiskFile::begin_sync`] was called for.
    begun: u64,
    /// No file grows once the total size of all files has reached this many bytes.
    space: Option<u64>,
    /// Each write accepts at most this many bytes.
    most_per_write: Option<usize>,
    random: u64,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    content: Vec<u8>,
    /// The end of the range that was ever written. A range that was only added by `set_len` takes
    /// no space.
    written: usize,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

impl Inode {
    fn used(&self) -> u64 {
        self.written.min(self.content.len()) as u64
    }
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

#[derive(Clone, Debug)]
struct NameChange {
    gone: Option<PathBuf>,
    there: Option<(PathBuf, usize)>,
}

pub(crate) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::SetLen(len) => content.resize(*len, 0),
        Change::Write(at, bytes) => {
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*at..end].copy_from_slice(bytes);
        }
    }
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { random: seed, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic on command poisons the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of calls so far that change something.
    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    pub(crate) fn begun(&self) -> u64 {
        self.state().begun
    }

    pub(crate) fn count(&self, call: Call) -> u64 {
        self.state().counts.get(&call).copied().unwrap_or(0)
    }

    /// Makes the power fail at the call with this number.
    pub(crate) fn crash_at(&self, call: u64) {
        self.state().crash_at = Some(call);
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// Makes the `nth` call of this kind fail once.
    pub(crate) fn fail(&self, call: Call, nth: u64, kind: io::ErrorKind) {
        self.state().fail = Some((call, nth, kind));
    }

    /// Makes the `nth` call of this kind panic.
    pub(crate) fn panic(&self, call: Call, nth: u64) {
        self.state().panic = Some((call, nth));
    }

    pub(crate) fn limit_space(&self, bytes: Option<u64>) {
        self.state().space = bytes;
    }

    pub(crate) fn limit_writes(&self, bytes: usize) {
        self.state().most_per_write = Some(bytes);
    }

    pub(crate) fn used(&self) -> u64 {
        self.state().used()
    }

    /// Returns the disk as it would be after a power failure now.
    pub(crate) fn after_crash(&self, survival: Survival) -> Self {
        let state = self.state();
        let mut dice = match survival {
            Survival::Random(seed) => seed,
            _ => 0,
        };
        let mut pieces = 0;
        let mut keep = || {
            pieces += 1;
            match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::Random(_) => random(&mut dice) & 1 == 0,
                Survival::Prefix(first) => pieces <= first,
            }
        };
        let mut names = state.durable_names.clone();
        for change in &state.renames {
            if keep() {
                if let Some(gone) = &change.gone {
                    names.remove(gone);
                }
                if let Some((path, inode)) = &change.there {
                    names.insert(path.clone(), *inode);
                }
            }
        }
        let inodes = state.inodes.iter().map(|inode| {
            let mut content = inode.durable.clone();
            for change in &inode.pending {
                match change {
                    Change::SetLen(_) if keep() => apply(&mut content, change),
                    Change::SetLen(_) => {}
                    Change::Write(at, bytes) => {
                        let mut from = 0;
                        while from < bytes.len() {
                            let to = ((at + from) / 512 + 1) * 512 - at;
                            let to = to.min(bytes.len());
                            if keep() {
                                apply(
                                    &mut content,
                                    &Change::Write(at + from, bytes[from..to].to_vec()),
                                );
                            }
                            from = to;
                        }
                    }
                }
            }
            if content.len() < inode.content.len() && keep() {
                content.resize(inode.content.len(), 0);
            }
            let durable = content.clone();
            Inode { written: content.len(), durable, content, pending: Vec::new() }
        });
        let next = State {
            inodes: inodes.collect(),
            durable_names: names.clone(),
            names,
            random: state.random ^ 0x5555,
            ..State::default()
        };
        Self(Arc::new(Mutex::new(next)))
    }
}

impl State {
    /// Counts a call. Fails if the power has failed or the call is set to fail.
    fn call(&mut self, call: Call) -> io::Result<()> {
        self.alive()?;
        self.calls += 1;
        let count = self.counts.entry(call).or_default();
        *count += 1;
        assert!(self.panic != Some((call, *count)), "on purpose");
        if let Some((failing, nth, kind)) = self.fail
            && failing == call
            && nth == *count
        {
            return Err(kind.into());
        }
        if self.crash_at == Some(self.calls) {
            self.crashed = true;
        }
        Ok(())
    }

    fn alive(&mut self) -> io::Result<()> {
        if self.crashed { Err(io::Error::other("no power")) } else { Ok(()) }
    }

    fn used(&self) -> u64 {
        let mut inodes: Vec<_> = self.names.values().collect();
        inodes.sort_unstable();
        inodes.dedup();
        inodes.iter().map(|inode| self.inodes[**inode].used()).sum()
    }

    fn rename(&mut self, gone: Option<&Path>, there: Option<(&Path, usize)>) {
        if let Some(gone) = gone {
            self.names.remove(gone);
        }
        if let Some((path, inode)) = there {
            self.names.insert(path.into(), inode);
        }
        let there = there.map(|(path, inode)| (path.into(), inode));
        self.renames.push(NameChange { gone: gone.map(Into::into), there });
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        self.state().alive()
    }

    fn look(&self, path: &Path) -> io::Result<PathKind> {
        let mut state = self.state();
        state.alive()?;
        if state.names.contains_key(path) {
            return Ok(PathKind::File);
        }
        // Directories are not simulated: one is there if a file is in it.
        let is_dir = state.names.keys().any(|name| name.starts_with(path));
        if is_dir { Ok(PathKind::Dir) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn files(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.alive()?;
        let names = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.call(Call::Create)?;
        let inode = if let Some(inode) = state.names.get(path).copied() {
            state.inodes[inode].content.clear();
            state.inodes[inode].pending.push(Change::SetLen(0));
            inode
        } else {
            state.inodes.push(Inode::default());
            let inode = state.inodes.len() - 1;
            state.rename(None, Some((path, inode)));
            inode
        };
        state.alive()?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn open(&self, path: &Path, _: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.alive()?;
        let inode = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(Call::Rename)?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.rename(Some(from), Some((to, inode)));
        state.alive()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.call(Call::Remove)?;
        state.rename(Some(path), None);
        state.alive()
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(Call::Link)?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if state.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.rename(None, Some((to, inode)));
        state.alive()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(Call::SyncDir)?;
        state.alive()?;
        state.durable_names = state.names.clone();
        state.renames.clear();
        Ok(())
    }

    fn lock(&self, _: &Path, _: bool) -> io::Result<Locking> {
        Ok(Locking::Held(Box::new(SimLock)))
    }

    fn random(&self) -> u64 {
        random(&mut self.state().random)
    }
}

/// A lock on a disk that has no other users.
struct SimLock;

impl Lock for SimLock {
    fn is_in_place(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.alive()?;
        Ok(state.inodes[self.inode].content.len() as u64)
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut state = self.disk.state();
        state.alive()?;
        let content = &state.inodes[self.inode].content;
        let from = usize::try_from(offset).unwrap().min(content.len());
        Ok(content[from..from.saturating_add(len).min(content.len())].to_vec())
    }

    fn read_cached(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.read(offset, len)
    }

    fn write(&self, offset: u64, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.call(Call::Write)?;
        let mut bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        bytes.truncate(state.most_per_write.unwrap_or(usize::MAX));
        let at = usize::try_from(offset).unwrap();
        if let Some(space) = state.space {
            let len = usize::try_from(state.inodes[self.inode].used()).unwrap();
            let room = usize::try_from(space.saturating_sub(state.used())).unwrap();
            bytes.truncate((len + room).saturating_sub(at));
            if bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let len = bytes.len();
        let change = Change::Write(at, bytes);
        let inode = &mut state.inodes[self.inode];
        inode.written = inode.written.min(inode.content.len()).max(at + len);
        apply(&mut inode.content, &change);
        inode.pending.push(change);
        state.alive()?;
        Ok(len)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.call(Call::Sync)?;
        state.alive()?;
        let inode = &mut state.inodes[self.inode];
        let pending = std::mem::take(&mut inode.pending);
        for change in &pending {
            apply(&mut inode.durable, change);
        }
        Ok(())
    }

    fn begin_sync(&self, _: u64, len: u64) {
        self.disk.state().begun += len;
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.call(Call::SetLen)?;
        let change = Change::SetLen(usize::try_from(len).unwrap());
        let inode = &mut state.inodes[self.inode];
        inode.written = inode.written.min(usize::try_from(len).unwrap());
        apply(&mut inode.content, &change);
        inode.pending.push(change);
        state.alive()
    }
}
