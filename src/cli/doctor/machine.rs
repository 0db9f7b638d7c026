//! What the machine of `rescribe doctor` offers, as far as the system says it without being changed.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Cores, memory and disk of this machine; nothing stands for what the system does not say.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Threads that a run uses by default.
    pub cores: usize,
    /// The widest vectors that the products use.
    pub vectors: &'static str,
    /// Bytes of memory that this process may have altogether.
    pub memory_total: Option<u64>,
    /// Bytes of memory that are free.
    pub memory_free: Option<u64>,
    /// Bytes that are free on the disk of the cache.
    pub disk_free: Option<u64>,
}

impl Machine {
    /// This machine, with the disk that `cache` is or would be on.
    pub fn here(cache: &Path) -> Self {
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let limit = |name: &str| number(&format!("/sys/fs/cgroup/{name}"));
        let total = meminfo(&memory, "MemTotal");
        let free = meminfo(&memory, "MemAvailable");
        let allowed = limit("memory.max");
        let left = allowed.zip(limit("memory.current")).map(|(all, used)| all.saturating_sub(used));
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            vectors: vectors(),
            memory_total: least(total, allowed),
            memory_free: least(free, left),
            disk_free: existing(cache).and_then(|folder| disk_free(&folder)),
        }
    }
}

/// The smaller of two numbers of which either may be unknown.
fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// The only number in a file of the system.
fn number(file: &str) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Bytes at a key of `/proc/meminfo`.
fn meminfo(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> &'static str {
    let has_fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    match (is_x86_feature_detected!("avx512f"), has_fma) {
        (true, _) => "AVX-512",
        (false, true) => "AVX2",
        (false, false) => "SSE2",
    }
}

#[cfg(target_arch = "aarch64")]
fn vectors() -> &'static str {
    "NEON"
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn vectors() -> &'static str {
    "none"
}

/// The folder, or the closest one above it that exists.
pub fn existing(folder: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(folder).ok()?;
    whole.ancestors().find(|it| it.is_dir()).map(Path::to_owned)
}

#[cfg(unix)]
fn disk_free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail * found.f_frsize)
}

#[cfg(not(unix))]
fn disk_free(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "MemTotal:       24545248 kB\nMemFree:  1 kB\nMemAvailable:   12000 kB\n";
        assert_eq!(meminfo(text, "MemTotal"), Some(24_545_248 * 1024));
        assert_eq!(meminfo(text, "MemAvailable"), Some(12_000 * 1024));
        assert_eq!(meminfo(text, "Mem"), None);
        assert_eq!(meminfo("MemTotal: many", "MemTotal"), None);
        assert_eq!(least(Some(3), None), Some(3));
        assert_eq!(least(Some(3), Some(2)), Some(2));
        assert_eq!(least(None, None), None);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_lies_in_one_that_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let found = existing(&folder.path().join("a/b/c"));
        assert_eq!(found.as_deref(), Some(folder.path()));
    }
}
