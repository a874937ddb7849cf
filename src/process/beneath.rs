//! Opening a file that lies in a folder, and no other one, whatever somebody does to the names on the way meanwhile.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens `relative`, a path without links and without `..`, in `root` for reading. A link that takes the place of a part of it
/// is an error. What is no file is opened without waiting for it (a FIFO would wait for a writer).
pub fn open_beneath(root: &Path, relative: &Path) -> io::Result<File> {
    system::open(root, relative)
}

#[cfg(unix)]
mod system {
    use std::fs::File;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::{Component, Path};

    use rustix::fs::{Mode, OFlags, open as open_at_path, openat};

    const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);
    const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    pub fn open(root: &Path, relative: &Path) -> io::Result<File> {
        let root = open_at_path(root, FOLDER, Mode::empty())?;
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{ResolveFlags, openat2};
            let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match openat2(&root, relative, READ, Mode::empty(), beneath) {
                Ok(file) => return Ok(File::from(file)),
                // A kernel before 5.6, or a sandbox that knows no such call.
                Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        walk(root, relative)
    }

    /// The same, a part of the path after the other.
    pub fn walk(root: OwnedFd, relative: &Path) -> io::Result<File> {
        let mut parts = relative.components().peekable();
        let mut folder = root;
        while let Some(part) = parts.next() {
            let Component::Normal(name) = part else {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a path inside the folder"));
            };
            if parts.peek().is_none() {
                return Ok(File::from(openat(&folder, name, READ | OFlags::NOFOLLOW, Mode::empty())?));
            }
            folder = openat(&folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"))
    }
}

#[cfg(windows)]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::windows::fs::OpenOptionsExt as _;
    use std::path::Path;

    use super::super::system::{FOLDERS_TOO, final_path};

    pub fn open(root: &Path, relative: &Path) -> io::Result<File> {
        let open = |path: &Path| OpenOptions::new().read(true).custom_flags(FOLDERS_TOO).open(path);
        let (folder, file) = (open(root)?, open(&root.join(relative))?);
        // Where the handles lead cannot be changed any more.
        if final_path(&file)?.starts_with(final_path(&folder)?) {
            return Ok(file);
        }
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "a link leads out of the folder"))
    }
}

#[cfg(not(any(unix, windows)))]
mod system {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub fn open(root: &Path, relative: &Path) -> io::Result<File> {
        File::open(root.join(relative))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn read(file: io::Result<File>) -> io::Result<String> {
        let mut text = String::new();
        file?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_file_in_the_folder_is_opened_and_nothing_that_a_link_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(root.join("a/b/in"), "inside").unwrap();
        std::fs::write(outside.join("in"), "secret").unwrap();
        symlink(&outside, root.join("a/away")).unwrap();
        symlink(outside.join("in"), root.join("a/b/link")).unwrap();
        let by_walk = |path: &str| {
            let root = rustix::fs::open(&root, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
            read(system::walk(root, Path::new(path)))
        };
        type Open<'a> = &'a dyn Fn(&str) -> io::Result<String>;
        let at_once = |path: &str| read(open_beneath(&root, Path::new(path)));
        for open in [&at_once as Open<'_>, &by_walk] {
            assert_eq!(open("a/b/in").unwrap(), "inside");
            for wrong in ["a/away/in", "a/b/link", "../outside/in", "a/../../outside/in", "a/b", "", "a/none"] {
                assert!(open(wrong).is_err(), "{wrong}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fifo_is_not_waited_for() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = tempfile::tempdir().unwrap();
        mknodat(CWD, dir.path().join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let fifo = open_beneath(dir.path(), Path::new("fifo")).unwrap();
        assert!(!fifo.metadata().unwrap().is_file());
    }
}
