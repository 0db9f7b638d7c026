//! Runs that are killed, or whose disk fails, at every file-system call that touches the room, by
//! `strace`: EIO at each, ENOSPC and a kill at each that changes what is on the disk, because between
//! two of those all moments are one.
//!
//! A killed run leaves old files or new ones, and the same command then gives the bits of an
//! undisturbed run. A failed call is an error of one line that names the file, or costs nothing but
//! what the cache would have kept.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::asked_for;
use super::room::{
    JOBS, Job, age, at_home, contents, copy, differences, furnished_for, is_temporary, run,
};

/// Calls by which files are found, read, written, named and removed. Where the system has no such
/// call, `?` lets strace read past it.
const CALLS: [&str; 33] = [
    "access",
    "chmod",
    "close",
    "copy_file_range",
    "fallocate",
    "fchmod",
    "fdatasync",
    "flock",
    "fstat",
    "fsync",
    "ftruncate",
    "getdents64",
    "link",
    "linkat",
    "lseek",
    "mkdir",
    "mkdirat",
    "mmap",
    "newfstatat",
    "open",
    "openat",
    "pread64",
    "pwrite64",
    "read",
    "readlink",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "statx",
    "unlink",
    "unlinkat",
    "write",
];
/// Calls that change what is on the disk, as do those that open a new file.
const CHANGES: [&str; 17] = [
    "chmod",
    "copy_file_range",
    "fallocate",
    "fchmod",
    "fdatasync",
    "fsync",
    "ftruncate",
    "link",
    "linkat",
    "mkdir",
    "mkdirat",
    "pwrite64",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "write",
];
/// What `open` is told where it makes a file.
const NEW: [&str; 2] = ["O_CREAT", "O_TMPFILE"];
/// Calls that remove: where one fails, something stays.
const REMOVALS: [&str; 3] = ["rmdir", "unlink", "unlinkat"];

/// A call of a run: the so-manieth of that name in its thread.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Call {
    name: String,
    number: usize,
    /// Whether it changes what is on the disk.
    changes: bool,
}

fn has_strace() -> bool {
    let found = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    let is_there = found.is_ok_and(|status| status.success());
    if !is_there {
        println!("strace is not installed: no calls were killed or failed");
    }
    is_there
}

/// A line of the binary under strace, which writes the calls to `log`.
fn traced(room: &Path, line: &str, log: &Path, flags: &[&str]) -> Output {
    let mut command = at_home("strace", room);
    command.args(["-f", "-qq", "-y", "-o"]).arg(log).args(flags);
    command.arg("--").arg(env!("CARGO_BIN_EXE_rescribe"));
    command.args(line.split_whitespace()).args(["--threads", "1"]);
    command.output().expect("strace runs")
}

/// A room of one path, which is put back into one state again and again.
struct Stage {
    folder: tempfile::TempDir,
    start: tempfile::TempDir,
    log: PathBuf,
}

impl Stage {
    fn new(job: &Job) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let start = furnished_for(job);
        let log = folder.path().join("log");
        let stage = Self { folder, start, log };
        stage.reset();
        stage
    }

    fn room(&self) -> PathBuf {
        self.folder.path().join("room")
    }

    fn reset(&self) {
        let room = self.room();
        if room.exists() {
            fs::remove_dir_all(&room).expect("a room of ours");
        }
        copy(self.start.path(), &room);
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).expect("a log")).into_owned()
    }

    /// The calls of a line that touch the room, and how many cannot be told from a call that the
    /// loader makes in the first thread.
    fn calls(&self, line: &str) -> (Vec<Call>, usize) {
        let names = CALLS.map(|name| format!("?{name}")).join(",");
        let output = traced(&self.room(), line, &self.log, &["-e", &format!("trace={names}")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let room = self.room().display().to_string();
        let (log, mut counts) = (self.log(), HashMap::new());
        let mut touching = Vec::new();
        let main = log.split_whitespace().next().unwrap_or_default().to_owned();
        for entry in log.lines() {
            let Some((thread, rest)) = entry.split_once(' ') else { continue };
            let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
            let count = counts.entry((thread.to_owned(), name.to_owned())).or_insert(0);
            *count += 1;
            if rest.contains(&room) && thread != main {
                let changes = CHANGES.contains(&name)
                    || REMOVALS.contains(&name)
                    || NEW.iter().any(|flag| rest.contains(flag));
                touching.push(Call { name: name.to_owned(), number: *count, changes });
            }
        }
        let of_main = |call: &Call| counts.get(&(main.clone(), call.name.clone())).copied();
        let all = touching.len();
        touching.retain(|call| call.number > of_main(call).unwrap_or(0));
        let hidden = all - touching.len();
        let mut seen = HashSet::new();
        touching.retain(|call| seen.insert(call.clone()));
        (touching, hidden)
    }

    /// Runs a line with a fault at one call.
    fn with_fault(&self, line: &str, call: &Call, fault: &str) -> Output {
        self.reset();
        let Call { name, number, .. } = call;
        let inject = format!("inject={name}:{fault}:when={number}");
        let trace = format!("trace={name}");
        traced(&self.room(), line, &self.log, &["-e", &trace, "-e", &inject])
    }
}

type Files = Vec<(PathBuf, Vec<u8>)>;

/// What a job has found and left.
struct Check<'a> {
    job: &'a Job,
    stage: Stage,
    before: Files,
    after: Files,
    faults: Vec<String>,
}

impl<'a> Check<'a> {
    fn new(job: &'a Job) -> Self {
        let stage = Stage::new(job);
        let before = contents(&stage.room());
        let output = run(&stage.room(), job.line);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let after = contents(&stage.room());
        Self { job, stage, before, after, faults: Vec::new() }
    }

    fn fault(&mut self, call: &Call, fault: &str, what: &str) {
        let Call { name, number, .. } = call;
        self.faults.push(format!("{}: {fault} at {name} {number}: {what}", self.job.name));
    }

    /// Files that are neither as they were nor as they become. A training and a sum over samples are
    /// saved more than once: their states in between are whole, too.
    fn halves(&self, found: &Files) -> Vec<String> {
        let is_whole = |file: &(PathBuf, Vec<u8>)| {
            is_temporary(&file.0)
                || file.0 == Path::new("saved")
                || file.0.extension().is_some_and(|it| it == "partial")
                || self.before.contains(file)
                || self.after.contains(file)
        };
        let halves = found.iter().filter(|file| !is_whole(file));
        halves.map(|(name, _)| format!("{} is half-written", name.display())).collect()
    }

    fn kill(&mut self, call: &Call) {
        let fault = "signal=KILL";
        let output = self.stage.with_fault(self.job.line, call, fault);
        if output.status.success() {
            return self.fault(call, fault, "it was not killed");
        }
        let room = self.stage.room();
        let halves = self.halves(&contents(&room));
        age(&room);
        let again = run(&room, self.job.line);
        if !again.status.success() {
            self.fault(call, fault, &said(&again));
        }
        let differences = differences(&contents(&room), &self.after);
        halves.iter().chain(&differences).for_each(|what| self.fault(call, fault, what));
    }

    /// Whether the run went on without the call.
    fn fail(&mut self, call: &Call, error: &str) -> bool {
        let fault = format!("error={error}");
        let output = self.stage.with_fault(self.job.line, call, &fault);
        let found = contents(&self.stage.room());
        let mut problems = self.halves(&found);
        if !REMOVALS.contains(&call.name.as_str()) {
            problems.extend(self.left(&found));
        }
        let is_done = output.status.success();
        if is_done {
            problems.extend(self.lost(&found));
        } else {
            problems.extend(self.unclear(&output));
        }
        problems.iter().for_each(|what| self.fault(call, &fault, what));
        is_done
    }

    /// Temporary files that the next run does not remove either: a folder that cannot be listed stays
    /// until then.
    fn left(&self, found: &Files) -> Vec<String> {
        let temporary = |files: &Files| -> Vec<PathBuf> {
            files.iter().map(|(name, _)| name.clone()).filter(|name| is_temporary(name)).collect()
        };
        let left = temporary(found);
        if left.is_empty() {
            return Vec::new();
        }
        let room = self.stage.room();
        age(&room);
        run(&room, self.job.line);
        let still = temporary(&contents(&room));
        let still = left.iter().filter(|name| still.contains(name));
        still.map(|name| format!("{} is left", name.display())).collect()
    }

    /// What a run that says that it is done did not leave, outside the cache.
    fn lost(&self, found: &Files) -> Vec<String> {
        let outside = |files: &Files| -> Files {
            let is_result =
                |(name, _): &&(PathBuf, Vec<u8>)| !name.starts_with("cache") && !is_temporary(name);
            files.iter().filter(is_result).cloned().collect()
        };
        differences(&outside(found), &outside(&self.after))
    }

    /// What is wrong with an error.
    fn unclear(&self, output: &Output) -> Vec<String> {
        let said = said(output);
        // The standard library panics where a folder that it listed cannot be closed, which no disk
        // does: here it is enough that nothing is half-written.
        if said.contains("unexpected error during closedir") {
            return Vec::new();
        }
        let mut problems = Vec::new();
        if !matches!(output.status.code(), Some(2 | 3)) || said.contains("panicked") {
            problems.push(format!("{}\n{said}", output.status));
        }
        if self.is_silenced() {
            return problems;
        }
        let injected: Vec<String> = self.injected();
        let compact = |text: &str| text.split_whitespace().collect::<String>();
        let shown = compact(&said);
        // Whether an output can be written is tried on a file without its name.
        let is_trial = injected.iter().any(|name| name.starts_with(".tmp"));
        let is_named = injected.iter().any(|name| shown.contains(&compact(name)))
            || is_trial && shown.contains("cannotwrite");
        if !is_named {
            problems.push(format!("names none of {injected:?}\n{said}"));
        }
        if said.lines().filter(|line| line.starts_with("Error:")).count() != 1 {
            problems.push(format!("not one error\n{said}"));
        }
        problems
    }

    /// Whether a call of the same number failed where the first thread says what happened: calls are
    /// counted by thread.
    fn is_silenced(&self) -> bool {
        let log = self.stage.log();
        log.lines().any(|line| line.contains("(INJECTED)") && line.contains(" write(2<"))
    }

    /// Names of files and folders at the call that failed.
    fn injected(&self) -> Vec<String> {
        let log = self.stage.log();
        let line = log.lines().find(|line| line.contains("(INJECTED)")).unwrap_or_default();
        let arguments = line.rsplit_once(") = ").map_or(line, |(arguments, _)| arguments);
        // Of `openat(AT_FDCWD</room>, "cache/x", ..)` the pieces at odd places are names.
        let names = arguments.split(['"', '<', '>']).skip(1).step_by(2);
        let names = names.flat_map(|path| path.rsplit('/').take(2)).map(final_name);
        names.filter(|name| !name.is_empty() && name != "room").collect()
    }
}

/// The name that a temporary `.NAME.PID-xxxxxx` is to become.
fn final_name(name: &str) -> String {
    let inner = name.strip_prefix('.').and_then(|rest| rest.rsplit_once('.'));
    inner.map_or(name, |(name, _)| name).to_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Kills and fails one in `step` of the calls of a job; what is wrong with it.
fn disturb(job: &Job, step: usize) -> Vec<String> {
    let mut check = Check::new(job);
    check.stage.reset();
    let (calls, hidden) = check.stage.calls(job.line);
    let chosen: Vec<Call> = calls.iter().step_by(step).cloned().collect();
    let (mut kills, mut errors, mut done) = (0, 0, 0);
    for call in &chosen {
        let kinds: &[&str] = if call.changes { &["EIO", "ENOSPC"] } else { &["EIO"] };
        for error in kinds {
            errors += 1;
            done += usize::from(check.fail(call, error));
        }
        if call.changes {
            kills += 1;
            check.kill(call);
        }
    }
    println!(
        "{:>30}  {kills} kills, {errors} errors ({done} without harm) at {} of {} calls, {hidden} \
         hidden, {} faults",
        job.name,
        chosen.len(),
        calls.len(),
        check.faults.len()
    );
    check.faults.iter().for_each(|fault| println!("{fault}"));
    check.faults
}

fn disturb_all(jobs: &[Job], step: usize) {
    if !has_strace() {
        return;
    }
    let faults: Vec<String> = jobs.iter().flat_map(|job| disturb(job, step)).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn kills_and_errors_at_some_calls_leave_nothing_half_written() {
    disturb_all(&JOBS[..1], 37);
}

#[test]
#[ignore = "takes minutes"]
fn long_kills_and_errors_at_every_call() {
    disturb_all(&JOBS, asked_for("EVERY", 1));
}
