//! Files that are read whole: regular ones alone, and no longer than their kind can be.
//!
//! A pipe would be waited for, and a device or a sparse file read without end.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use memmap2::Mmap;

use super::target::called;

/// Opens a regular file for reading; links are followed.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Asked before it is opened: opening a pipe waits for a writer.
    let found = fs::metadata(path)?.file_type();
    if found.is_file() {
        return File::open(path);
    }
    let reason = format!("it is {}, expected a regular file", called(found));
    Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

/// Maps a regular file for reading.
pub(crate) fn map_regular(path: &Path) -> io::Result<Mmap> {
    let file = open_regular(path)?;
    // SAFETY: a map is sound as long as nobody changes the file meanwhile. That cannot be enforced;
    // it is documented for callers, and this program itself never writes to a file that it has
    // mapped.
    unsafe { Mmap::map(&file) }
}

/// The contents of a regular file of at most `limit` bytes.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let too_large = |bytes: u64| {
        let reason = format!("it has {bytes} bytes, expected at most {limit}");
        Err(io::Error::new(io::ErrorKind::FileTooLarge, reason))
    };
    let length = file.metadata()?.len();
    if length > limit {
        return too_large(length);
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { too_large(bytes.len() as u64) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_files_of_a_fitting_length_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("text"), "12345").expect("a file");
        let sparse = File::create(path("sparse")).expect("a file");
        sparse.set_len(100 << 30).expect("a length without data");
        assert_eq!(read_regular(&path("text"), 5).expect("it fits"), b"12345");
        let message = |name: &str| read_regular(&path(name), 4).expect_err("refused").to_string();
        assert_eq!(message("text"), "it has 5 bytes, expected at most 4");
        assert!(message("sparse").ends_with("bytes, expected at most 4"));
        assert_eq!(message("."), "it is a folder, expected a regular file");
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo runs").success());
        for (path, what) in [(pipe.as_path(), "a pipe"), (Path::new("/dev/zero"), "a device")] {
            let message = read_regular(path, 1 << 20).expect_err("refused").to_string();
            assert_eq!(message, format!("it is {what}, expected a regular file"));
        }
    }
}
