//! Windows: a handle keeps a process's number from being given again, and reports its end.
//!
//! Nothing is ever ended here: the system does not tell who holds a file lock. A job object would end the sidecar with its
//! gateway, but only the gateway could make one that does; the handle of the parent serves as well.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_INVALID_PARAMETER, FILETIME, GetLastError, HANDLE, INVALID_HANDLE_VALUE, WAIT_FAILED,
    WAIT_OBJECT_0,
};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetProcessTimes, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE,
    QueryFullProcessImageNameW, WaitForSingleObject,
};

/// A process, whatever becomes of its number. It gives no right to end it.
#[derive(Debug)]
pub struct Handle(HANDLE);

// SAFETY: a process handle belongs to the process, not to a thread, and the calls on it may be made at once.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// Why there is no handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHandle {
    /// Nobody has this number.
    NoProcess,
    /// The system does not give one; there may be a process.
    Refused,
}

impl Handle {
    /// Of the process that has this number now, dead or alive.
    pub fn open(pid: u32) -> Result<Handle, NoHandle> {
        // Not a process, although the system opens something for it.
        if pid == 0 {
            return Err(NoHandle::Refused);
        }
        // SAFETY: plain numbers.
        let (handle, error) = unsafe {
            let handle = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE, 0, pid);
            (handle, GetLastError())
        };
        match (handle.is_null(), error) {
            (false, _) => Ok(Handle(handle)),
            (true, ERROR_INVALID_PARAMETER) => Err(NoHandle::NoProcess),
            (true, _) => Err(NoHandle::Refused),
        }
    }

    /// Whether the process has ended.
    pub fn has_ended(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits for its end; returns whether it came in time.
    pub fn wait(&self, at_most: Duration) -> bool {
        // The largest number means for ever.
        let time = u32::try_from(at_most.as_millis()).unwrap_or(u32::MAX - 1);
        // SAFETY: the handle is open until it is dropped.
        match unsafe { WaitForSingleObject(self.0, time) } {
            WAIT_OBJECT_0 => true,
            WAIT_FAILED => {
                std::thread::sleep(at_most);
                false
            }
            _ => false,
        }
    }

    /// Not done.
    pub fn terminate(&self) -> bool {
        false
    }

    /// Not done.
    pub fn kill(&self) -> bool {
        false
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody uses it any more.
        unsafe { CloseHandle(self.0) };
    }
}

/// Tenths of microseconds since 1601.
pub fn start_time(pid: u32) -> Option<i64> {
    let handle = Handle::open(pid).ok()?;
    let mut times = [FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 }; 4];
    let [created, ended, kernel, user] = &mut times;
    // SAFETY: the handle is open, and there is room for all four.
    let told = unsafe { GetProcessTimes(handle.0, created, ended, kernel, user) };
    let started = i64::from(times[0].dwHighDateTime) << 32 | i64::from(times[0].dwLowDateTime);
    (told != 0 && started > 0).then_some(started)
}

/// The parent of any process; `None` also where it has ended: its number may be another's.
pub fn parent_of(pid: u32) -> Option<u32> {
    let parent = written_parent(pid)?;
    (start_time(parent)? <= start_time(pid)?).then_some(parent)
}

/// The number that the parent had, whoever has it now.
fn written_parent(pid: u32) -> Option<u32> {
    // SAFETY: plain numbers.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0) };
    if snapshot == INVALID_HANDLE_VALUE {
        return None;
    }
    // Closed when it is dropped.
    let snapshot = Handle(snapshot);
    // SAFETY: numbers only; zeros are valid for all of them.
    let mut entry: PROCESSENTRY32W = unsafe { std::mem::zeroed() };
    entry.dwSize = size_of::<PROCESSENTRY32W>() as u32;
    // SAFETY: the snapshot is open, and `entry` says how large it is.
    let mut more = unsafe { Process32FirstW(snapshot.0, &mut entry) };
    while more != 0 {
        if entry.th32ProcessID == pid {
            return Some(entry.th32ParentProcessID);
        }
        // SAFETY: as above.
        more = unsafe { Process32NextW(snapshot.0, &mut entry) };
    }
    None
}

/// The own parent; 0 when it has ended.
pub fn parent_pid() -> u32 {
    static PARENT: OnceLock<Option<(u32, i64)>> = OnceLock::new();
    // A process keeps the number of a parent that has ended: whoever has it later is younger than this process.
    let parent = PARENT.get_or_init(|| {
        let parent = parent_of(std::process::id())?;
        Some((parent, start_time(parent)?))
    });
    match parent {
        Some((pid, started)) => {
            let lives = Handle::open(*pid).is_ok_and(|handle| !handle.has_ended());
            if lives && start_time(*pid) == Some(*started) { *pid } else { 0 }
        }
        None => 0,
    }
}

/// Start times are absolute: with its own, a number means the same process in every boot.
pub fn boot_id() -> Option<String> {
    Some("windows".to_owned())
}

/// The path of the executable stands for its device and inode, which are not told without opening it.
pub fn program(pid: u32) -> Option<String> {
    let handle = Handle::open(pid).ok()?;
    let mut text = [0_u16; 1024];
    let mut length = text.len() as u32;
    // SAFETY: the handle is open, and `text` has room for `length` characters.
    let told = unsafe { QueryFullProcessImageNameW(handle.0, 0, text.as_mut_ptr(), &mut length) };
    let path = PathBuf::from(String::from_utf16(text.get(..length as usize)?).ok()?);
    (told != 0).then_some(())?;
    let folder = path.parent()?.to_string_lossy().replace(':', "");
    Some(format!("{folder}:0:{}", path.file_name()?.to_string_lossy()))
}

/// Not told.
pub fn holds_lock(_pid: u32, _file: &Path) -> Option<bool> {
    None
}

/// This process's working set, in bytes.
pub fn resident_bytes() -> Option<u64> {
    let size = u32::try_from(size_of::<PROCESS_MEMORY_COUNTERS>()).ok()?;
    // SAFETY: numbers only; zeros are valid for all of them.
    let mut counters: PROCESS_MEMORY_COUNTERS = unsafe { std::mem::zeroed() };
    // SAFETY: the handle stands for this process and needs no closing, and `counters` has `size` bytes.
    let told = unsafe { K32GetProcessMemoryInfo(GetCurrentProcess(), &mut counters, size) };
    (told != 0).then_some(counters.WorkingSetSize as u64)
}

/// What is free on a path's disk for this user, in bytes.
pub fn free_bytes(path: &std::path::Path) -> Option<u64> {
    use std::os::windows::ffi::OsStrExt as _;
    use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;
    let wide: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let mut free = 0u64;
    // SAFETY: the path ends with a zero, `free` is written, and null is allowed for the rest.
    let done = unsafe { GetDiskFreeSpaceExW(wide.as_ptr(), &mut free, std::ptr::null_mut(), std::ptr::null_mut()) };
    (done != 0).then_some(free)
}

/// Not asked for here: a copy is made.
pub fn share_content(_original: &std::fs::File, _copy: &std::fs::File) -> bool {
    false
}

/// With this flag a folder is opened as a file is.
pub const FOLDERS_TOO: u32 = windows_sys::Win32::Storage::FileSystem::FILE_FLAG_BACKUP_SEMANTICS;

/// Where an open file or folder lies, all links followed.
pub fn final_path(file: &std::fs::File) -> std::io::Result<PathBuf> {
    use std::os::windows::ffi::OsStringExt as _;
    use std::os::windows::io::AsRawHandle as _;
    use windows_sys::Win32::Storage::FileSystem::GetFinalPathNameByHandleW;
    let mut buffer = vec![0u16; 1024];
    loop {
        let room = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        // SAFETY: the handle is open, and the buffer as long as it is said to be.
        let length = unsafe { GetFinalPathNameByHandleW(file.as_raw_handle(), buffer.as_mut_ptr(), room, 0) } as usize;
        if length == 0 {
            return Err(std::io::Error::last_os_error());
        }
        if length < buffer.len() {
            return Ok(PathBuf::from(std::ffi::OsString::from_wide(&buffer[..length])));
        }
        buffer.resize(length + 1, 0);
    }
}

/// There is no such limit.
pub fn raise_open_files() {}

/// Makes the consoles of stdout and stderr understand escape sequences, which they do not by themselves. `false`: one cannot.
pub fn enable_escapes() -> bool {
    use windows_sys::Win32::System::Console::{
        ENABLE_VIRTUAL_TERMINAL_PROCESSING, GetConsoleMode, GetStdHandle, STD_ERROR_HANDLE, STD_OUTPUT_HANDLE,
        SetConsoleMode,
    };
    [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE].into_iter().all(|which| {
        let mut mode = 0;
        // SAFETY: the handle is the system's own and needs no closing; whether it is a console's, the call says.
        unsafe {
            let handle = GetStdHandle(which);
            GetConsoleMode(handle, &mut mode) == 0
                || SetConsoleMode(handle, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING) != 0
        }
    })
}
