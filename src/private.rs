//! Files and directories that only this user may read: they hold credentials and what people wrote. Where the system has no
//! modes, its own rules for the user's folders stand.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a directory (0700) and those above it. One that is there stays as it is, even where nothing can be made.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Makes a directory (0700) and those above it, and takes from others what they may do with one that somebody else made. Where
/// that is not allowed, it stays as it is.
pub fn own_dir(dir: &Path) -> io::Result<()> {
    make_dir(dir)?;
    if let Err(error) = set_mode(dir, 0o700) {
        tracing::warn!(%error, dir = %dir.display(), "others may look into the channel's folder");
    }
    Ok(())
}

/// Opens a file (0600) for the locks that are taken on it; makes it where there is none.
pub fn lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    // It holds nothing. Whoever may write it can keep it locked, so only this user may; what is another user's stays so.
    let _ = set_mode(path, 0o600);
    Ok(file)
}

/// Makes a file (0600) to write to. One that is there is an error.
pub fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Takes from others what they may do with a file that somebody else made. It is not opened: on Unix, closing any handle of
/// a file lets go of all POSIX locks that this process has on it, SQLite's among them.
pub fn close_to_others(path: &Path) -> io::Result<()> {
    set_mode(path, 0o600)
}

/// Sets the mode of what others may do something with.
#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::metadata(path)?.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => std::fs::set_permissions(path, PermissionsExt::from_mode(mode)),
    }
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_this_users_alone_and_what_was_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        make_dir(&deep).unwrap();
        assert_eq!((mode(&dir.path().join("a")), mode(&deep)), (0o700, 0o700));
        fs::set_permissions(&deep, fs::Permissions::from_mode(0o750)).unwrap();
        make_dir(&deep).unwrap();
        assert_eq!(mode(&deep), 0o750);
        own_dir(&deep).unwrap();
        assert_eq!(mode(&deep), 0o700);
        let lock = deep.join("lock");
        fs::write(&lock, "").unwrap();
        fs::set_permissions(&lock, fs::Permissions::from_mode(0o666)).unwrap();
        lock_file(&lock).unwrap();
        lock_file(&deep.join("new")).unwrap();
        assert_eq!((mode(&lock), mode(&deep.join("new"))), (0o600, 0o600));
        let file = deep.join("file");
        new_file(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
        assert_eq!(new_file(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        close_to_others(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
    }
}
