//! A wall clock that jumps, as it does for a machine that slept: the C library adds to it what a file says.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::preload::Preloaded;

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, at);
    const char *path = getenv("CLOCK_AHEAD");
    if (result || clock != CLOCK_REALTIME || !path) return result;
    FILE *file = fopen(path, "r");
    long long ahead = 0;
    if (file) {
        if (fscanf(file, "%lld", &ahead) != 1) ahead = 0;
        fclose(file);
    }
    at->tv_sec += ahead;
    return result;
}
"#;

/// A clock that can be set ahead while a process runs.
pub struct JumpingClock(Preloaded);

impl JumpingClock {
    /// Builds it; `Err` says why that is not possible here.
    pub fn new() -> Result<JumpingClock, String> {
        Preloaded::build(SOURCE).map(JumpingClock)
    }

    /// The environment of the process that is to have such a clock.
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.0.library()), ("CLOCK_AHEAD", self.file())]
    }

    /// The process's wall clock is so far ahead from now on.
    pub fn ahead(&self, by: Duration) {
        let half = self.file().with_extension("half");
        fs::write(&half, by.as_secs().to_string()).unwrap();
        fs::rename(half, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.dir().join("ahead")
    }
}
