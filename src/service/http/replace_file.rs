//! [`replace_file`].

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Replaces a file as a whole: whoever reads it sees the old content or the new one. The new content
/// is first written to a file with `.tmp` at the end of its name. With `permissions`, nobody else
/// reads it before it has them.
///
/// The content is durable afterwards. The name is, too, once the folder is
/// [synced](sync_folder_of).
pub(super) fn replace_file(
    path: &Path,
    content: &[u8],
    permissions: Option<Permissions>,
) -> io::Result<()> {
    let mut written = path.as_os_str().to_owned();
    written.push(".tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if permissions.is_some() {
        options.mode(0o600);
    }
    let mut file = options.open(&written)?;
    if let Some(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&written, path)
}

/// Makes the name of a file durable.
#[cfg(unix)]
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Folders cannot be opened for syncing here, but the file system journals their entries.
#[cfg(not(unix))]
pub(super) fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(())
}
