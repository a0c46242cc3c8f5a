//! [`Scratch`]: a directory for one input.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::sign::Files;

/// A directory of its own, in memory where there is one; removed when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(parent.join(format!("snapfold-fuzz-{}-{number}", std::process::id())))
    }

    /// Makes it a directory of these files and no others.
    pub fn write(&self, files: &Files) {
        let _ = fs::remove_dir_all(&self.0);
        fs::create_dir(&self.0).unwrap();
        for (name, content) in files {
            fs::write(self.0.join(name), content).unwrap();
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
