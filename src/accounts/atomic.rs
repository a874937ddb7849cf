//! Replacing a file so that a reader sees the old content or the new, and a crash leaves one of them.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// Writes `content` beside `path` (mode 0600), forces it to disk and renames it into place. Where that fails the old file is
/// untouched, and the half-written one is gone.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut beside = tempfile::Builder::new().prefix(&format!(".{name}.")).suffix(".tmp").tempfile_in(dir)?;
    beside.write_all(content)?;
    beside.as_file().sync_all()?;
    beside.persist(path)?;
    sync_dir(dir);
    Ok(())
}

/// Makes the rename itself durable where the system can; elsewhere it is as durable as it gets.
fn sync_dir(dir: &Path) {
    if cfg!(unix)
        && let Ok(dir) = File::open(dir)
    {
        let _ = dir.sync_all();
    }
}
