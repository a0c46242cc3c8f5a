//! [`Shared`]: the open store and its threads, which all clones of a handle share.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::submitted::Submitted;
use crate::backend::file::config::FileStoreConfig;
use crate::backend::file::core::Core;
use crate::backend::file::disk::Disk;
use crate::backend::file::maintain::keeper::Keeper;
use crate::backend::file::recover::open;
use crate::backend::file::recover::open_read_only::open_read_only;
use crate::backend::file::write::queue::Queue;
use crate::backend::file::write::work::{Answer, Work};
use crate::error::{Error, ErrorKind};

/// The part that all clones of a handle share.
pub(crate) struct Shared {
    pub(crate) core: Arc<Core>,
    queue: Arc<Queue>,
    // The threads are stopped in this order, before the core is closed.
    keeper: Option<Keeper>,
    writers: Vec<JoinHandle<()>>,
}

/// The number of threads that write for tasks: one can write a group while the other one syncs the
/// previous group.
const WRITERS: usize = 2;

impl Shared {
    /// Opens the store and starts its threads.
    pub(super) fn open(disk: Arc<dyn Disk>, config: FileStoreConfig) -> Result<Self, Error> {
        let background = config.background;
        let core = Arc::new(open::open(disk, config)?);
        let queue = Arc::new(Queue::new());
        let failed = |error: std::io::Error| {
            Error::new(
                ErrorKind::Store,
                "open a store",
                "the operating system could not start a thread",
            )
            .with_source(error)
        };
        let mut shared = Self { core, queue, keeper: None, writers: Vec::new() };
        for _ in 0..WRITERS {
            let writer = thread::Builder::new().name("snapfold-writer".into()).spawn({
                let (core, queue) = (Arc::clone(&shared.core), Arc::clone(&shared.queue));
                move || queue.run(&core)
            });
            shared.writers.push(writer.map_err(failed)?);
        }
        if background {
            shared.keeper = Some(Keeper::start(&shared.core).map_err(failed)?);
        } else {
            shared.core.fill_reserve();
        }
        Ok(shared)
    }

    /// Opens the store for reading only. It has no threads, because nothing is written.
    pub(super) fn open_read_only(
        disk: Arc<dyn Disk>,
        config: FileStoreConfig,
    ) -> Result<Self, Error> {
        let core = Arc::new(open_read_only(disk, config)?);
        Ok(Self { core, queue: Arc::new(Queue::new()), keeper: None, writers: Vec::new() })
    }

    pub(super) fn write(&self, work: Work) -> Result<Answer, Error> {
        self.queue.write(&self.core, work)
    }

    pub(crate) fn submit(&self, work: Work) -> Submitted {
        let (answer, started) = self.queue.submit(work);
        Submitted::new(Arc::clone(&self.queue), answer, started)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.keeper = None;
        self.queue.stop();
        let (core, writers) = (Arc::clone(&self.core), std::mem::take(&mut self.writers));
        let this = thread::current().id();
        let on_writer = writers.iter().any(|writer| writer.thread().id() == this);
        let end = move || {
            for writer in writers {
                // A caller could not do anything about a panic of this thread.
                let _ = writer.join();
            }
            // Without a clean close, the next open only takes longer.
            if let Err(error) = core.shut_down() {
                core.troubles.report(&error);
            }
        };
        if on_writer {
            // An answer woke a task that dropped the last handle, so this is a writer thread, which
            // cannot wait for itself. If no new thread can be started, the writers continue until
            // the queue is empty.
            let _ = thread::Builder::new().name("snapfold-closer".into()).spawn(end);
        } else {
            end();
        }
    }
}
