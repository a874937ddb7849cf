//! Replacing a file so that a reader sees the old content or the new, and a crash leaves one of them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::private;

/// Writes `content` beside `path` (mode 0600), forces it to disk and renames it into place.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = dir.join(format!(".{name}.{}-{:08x}.tmp", std::process::id(), rand::random::<u32>()));
    let written = write_new(&beside, content).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The old file is untouched; only the half-written one goes.
        let _ = fs::remove_file(&beside);
        return written;
    }
    sync_dir(dir);
    Ok(())
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = private::new_file(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes the rename itself durable where the system can; elsewhere it is as durable as it gets.
fn sync_dir(dir: &Path) {
    if cfg!(unix)
        && let Ok(dir) = File::open(dir)
    {
        let _ = dir.sync_all();
    }
}
