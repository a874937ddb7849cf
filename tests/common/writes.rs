//! A disk that turns read-only in the middle: the kernel does that to a mounted filesystem after an error, and every
//! write to files that are open then fails with `EROFS`. No unprivileged process can ask for it, so it happens one layer
//! above: the C library's calls fail for the database while a flag file exists.

use std::fs;
use std::path::PathBuf;

use super::preload::Preloaded;

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int refused(int fd) {
    const char *flag = getenv("READ_ONLY_WHILE");
    if (!flag || access(flag, F_OK) != 0) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    if (!strstr(path, "sidecar.sqlite")) return 0;
    errno = EROFS;
    return 1;
}

#define CALL(result, name, params, args) \
    result name params { \
        static result (*real) params; \
        if (refused(fd)) return -1; \
        if (!real) real = dlsym(RTLD_NEXT, #name); \
        return real args; \
    }

CALL(ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n))
CALL(ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o))
CALL(ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t o), (fd, b, n, o))
CALL(int, ftruncate, (int fd, off_t n), (fd, n))
CALL(int, ftruncate64, (int fd, off64_t n), (fd, n))
CALL(int, fsync, (int fd), (fd))
CALL(int, fdatasync, (int fd), (fd))
"#;

/// A database that can be made read-only while it is in use.
pub struct ReadOnlySwitch(Preloaded);

impl ReadOnlySwitch {
    /// Builds it; `Err` says why that is not possible here.
    pub fn new() -> Result<ReadOnlySwitch, String> {
        Preloaded::build(SOURCE).map(ReadOnlySwitch)
    }

    /// The environment of the process that is to have such a database.
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.0.library()), ("READ_ONLY_WHILE", self.flag())]
    }

    pub fn turn(&self, read_only: bool) {
        match read_only {
            true => fs::write(self.flag(), "").unwrap(),
            false => fs::remove_file(self.flag()).unwrap(),
        }
    }

    fn flag(&self) -> PathBuf {
        self.0.dir().join("read-only")
    }
}
