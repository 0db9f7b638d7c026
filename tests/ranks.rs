//! Runs of several processes, and journals from which a run goes on.
//!
//! The runs over MPI need the feature `mpi` and a launcher; `.ci/ranks` runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Records that the tests edit.
const RECORDS: &str = "9";
/// A tiny model, and how it is edited in a moment.
const MODEL: [&str; 2] =
    ["--model", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama/model")];
const SETTINGS: [&str; 8] =
    ["--layer", "1", "--max-delta", "100", "--second-moment-tokens", "300", "--steps", "6"];

/// A folder with records of the built-in world, and the cache of all tests, which holds what would
/// be the same in each.
struct Room {
    folder: TempDir,
    cache: PathBuf,
}

impl Room {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ranks-cache");
        let room = Self { folder, cache };
        room.succeed(&["atlas", "data", "--out", "data"]);
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn rescribe(&self) -> Command {
        self.prepared(Command::new(env!("CARGO_BIN_EXE_rescribe")))
    }

    fn prepared(&self, mut command: Command) -> Command {
        command.current_dir(self.folder.path()).env("RESCRIBE_CACHE", &self.cache);
        command.env_remove("RUST_BACKTRACE");
        command
    }

    /// What a run of one process prints.
    fn succeed(&self, words: &[&str]) -> Output {
        let output = self.rescribe().args(words).output().expect("the binary runs");
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        output
    }
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// The words of an edit of a few records, and more.
fn edit<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let limit: &[&str] = if more.contains(&"--limit") { &[] } else { &["--limit", RECORDS] };
    let words = ["edit", "data/records.json", "--json", "--threads", "1"];
    [&words[..], limit, &MODEL, &SETTINGS, more].concat()
}

/// The JSON of a run without what differs from run to run: times, ranks, and where values came from.
fn measured(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let start = text.find('{').unwrap_or_else(|| panic!("no JSON: {}", said(output)));
    let mut value: Value = serde_json::from_str(&text[start..]).expect("JSON");
    without_times(&mut value);
    value
}

fn without_times(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.retain(|key, _| {
                !key.contains("seconds")
                    && !["ranks", "notes", "values_from_cache"].contains(&key.as_str())
            });
            let is_time = |row: &Value| row["label"] == "seconds";
            if let Some(Value::Array(rows)) = entries.get_mut("rows") {
                rows.retain(|row| !is_time(row));
            }
            entries.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// Waits until the journal has so many lines.
fn wait_for_lines(journal: &Path, lines: usize) {
    let started = Instant::now();
    let count = || std::fs::read_to_string(journal).map_or(0, |text| text.lines().count());
    while count() < lines {
        assert!(started.elapsed() < Duration::from_secs(300), "{} lines", count());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_edit_goes_on_from_its_journal_to_the_same_result() {
    let room = Room::new();
    let whole = measured(&room.succeed(&edit(&[])));
    let kept = edit(&["--journal", "journal"]);
    let mut command = room.rescribe();
    command.args(&kept).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the binary runs");
    // The head, the base's answers and some records.
    wait_for_lines(&room.path("journal"), 4);
    child.kill().expect("killed");
    child.wait().expect("gone");
    let again = room.succeed(&kept);
    assert_eq!(measured(&again), whole);
    assert!(said(&again).contains("journal  "), "{}", said(&again));
    let third = room.succeed(&kept);
    assert_eq!(measured(&third), whole, "all of it from the journal");
    assert!(said(&third).contains(&format!("{RECORDS} of {RECORDS} records are done")));

    let other = room.rescribe().args(edit(&["--journal", "journal", "--ridge", "0.02"])).output();
    let other = other.expect("the binary runs");
    assert_eq!(other.status.code(), Some(2), "{}", said(&other));
    let expected = "journal is the journal of another job: edit data/records.json of model";
    assert!(said(&other).contains(expected), "{}", said(&other));
    let records = room.rescribe().args(edit(&["--journal", "data/records.json"])).output();
    let records = records.expect("the binary runs");
    assert!(said(&records).contains("this is no journal"), "{}", said(&records));
}

#[cfg(target_os = "linux")]
#[test]
fn a_journal_without_room_is_one_error_and_keeps_what_it_has() {
    let room = Room::new();
    let kept = edit(&["--journal", "journal"]);
    let whole = measured(&room.succeed(&edit(&["--journal", "whole"])));
    let size = std::fs::metadata(room.path("whole")).expect("a journal").len();
    // In blocks of 512 bytes. A signal that is ignored becomes an error of the write.
    let limit = format!("trap '' XFSZ; ulimit -f {};", size * 3 / 4 / 512);
    let script = format!("{limit} exec {} \"$@\"", env!("CARGO_BIN_EXE_rescribe"));
    let mut full = room.prepared(Command::new("sh"));
    let full = full.args(["-c", &script, "sh"]).args(&kept).output().expect("a shell");
    assert_eq!(full.status.code(), Some(3), "{}", said(&full));
    assert!(said(&full).contains("cannot write journal"), "{}", said(&full));
    assert!(
        said(&full).contains("in journal; the same command goes on from there"),
        "{}",
        said(&full)
    );
    let lines = std::fs::read(room.path("journal")).expect("a journal");
    assert!((lines.len() as u64) < size && lines.len() > 1024, "{} bytes", lines.len());
    assert_eq!(measured(&room.succeed(&kept)), whole);
}

#[cfg(not(feature = "mpi"))]
#[test]
fn without_the_feature_a_launcher_is_told_how_to_get_it_and_by_one_process() {
    let room = Room::new();
    let started = |rank: &str, size: &str| {
        let mut command = room.rescribe();
        command.args(["doctor"]).env("OMPI_COMM_WORLD_RANK", rank);
        command.env("OMPI_COMM_WORLD_SIZE", size).output().expect("the binary runs")
    };
    let first = started("0", "4");
    assert_eq!(first.status.code(), Some(2));
    let told = said(&first);
    assert!(told.contains("started 4 times") && told.contains("--features mpi"), "{told}");
    assert_eq!(told.trim().lines().count(), 1, "{told}");
    let other = started("3", "4");
    assert_eq!((other.status.code(), said(&other)), (Some(2), String::new()));
    assert!(started("0", "1").status.success(), "one process is no launch of many");
}

#[cfg(feature = "mpi")]
mod over_mpi {
    use super::*;

    /// A launcher of so many ranks, all on this machine.
    fn mpirun(room: &Room, ranks: usize) -> Command {
        let mut command = room.prepared(Command::new("mpirun"));
        let version = Command::new("mpirun").arg("--version").output().expect("mpirun");
        if said(&version).contains("Open MPI") || said(&version).contains("open-mpi") {
            command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]);
        }
        command.args(["-n", &ranks.to_string(), env!("CARGO_BIN_EXE_rescribe")]);
        command
    }

    /// What a launcher says of a rank that was killed: Open MPI its number, MPICH the first process that
    /// it found dead, which may be one that it ended itself.
    fn assert_is_named(told: &str, rank: usize) {
        let told = told.to_lowercase();
        let is_mpich = told.contains("bad termination") && told.contains("exit code: 9");
        assert!(told.contains(&format!("rank {rank}")) || is_mpich, "{told}");
    }

    fn run(room: &Room, ranks: usize, words: &[&str]) -> Output {
        mpirun(room, ranks).args(words).output().expect("mpirun")
    }

    #[test]
    fn an_edit_and_a_probe_have_the_same_bits_on_any_number_of_ranks() {
        let room = Room::new();
        let probe = ["probe", "data/records.json", "--limit", "40", "--json", "--threads", "1"];
        let probe = [&probe[..], &MODEL].concat();
        for words in [
            edit(&[]),
            edit(&["--erase"]),
            edit(&["--method", "memit", "--batch", "4"]),
            probe.to_vec(),
        ] {
            let alone = measured(&room.succeed(&words));
            for ranks in [1, 2, 4] {
                let found = run(&room, ranks, &words);
                assert!(found.status.success(), "{words:?} on {ranks}: {}", said(&found));
                assert_eq!(measured(&found), alone, "{words:?} on {ranks}");
                let text = String::from_utf8_lossy(&found.stdout);
                let whole: Value = serde_json::from_str(&text).expect("one rank prints");
                let by_rank = whole["ranks"].as_array().map_or(0, Vec::len);
                assert_eq!(by_rank, if ranks == 1 { 0 } else { ranks });
            }
        }
    }

    #[test]
    fn a_comparison_has_the_same_bits_on_any_number_of_ranks_and_is_resumed() {
        let room = Room::new();
        let spec = "[gradient]\nsteps = 3\nbatch = 1\ngeneral_batch = 0\nmax_drift = 100\n\
                    attack = false\n[[forget]]\npassages = \"data/forget.txt\"\n\
                    retain = \"data/retain.txt\"\n";
        let first = |file: &str, passages: usize| {
            let text = std::fs::read_to_string(room.path(file)).expect("passages");
            let some: Vec<&str> = text.split("\n\n").take(passages).collect();
            std::fs::write(room.path(file), some.join("\n\n")).expect("a write");
        };
        first("data/forget.txt", 3);
        first("data/retain.txt", 3);
        std::fs::write(room.path("forget.toml"), spec).expect("a spec");
        let words = ["compare", "forget.toml", "--methods", "npo,simnpo", "--seeds", "2", "--json"];
        let words = [&words[..], &["--threads", "1"], &MODEL].concat();
        // A column of its table has seconds.
        let alone = measured(&room.succeed(&words))["data"].take();
        for ranks in [2, 4] {
            let kept = [&words[..], &["--journal", "journal"]].concat();
            let found = run(&room, ranks, &kept);
            assert!(found.status.success(), "{}", said(&found));
            assert_eq!(measured(&found)["data"], alone, "{ranks} ranks");
            assert_eq!(said(&found).contains("4 of 4 runs are done"), ranks == 4);
        }
    }

    /// A spec of trainings that do much in few steps to a model that knows nothing.
    fn training(room: &Room, operations: &str, steps: usize) {
        let passages = |verb: &str, place: &str| -> String {
            (0..6)
                .map(|i| format!("{verb} {i}: the {place} stands at gate {}.\n\n", i * i))
                .collect()
        };
        for (name, place) in [("learn", "mill"), ("forget", "tower"), ("retain", "river")] {
            std::fs::write(room.path(&format!("{name}.txt")), passages(name, place))
                .expect("passages");
        }
        let spec = format!(
            "[gradient]\nsteps = {steps}\nbatch = 4\ngeneral_batch = 0\nmax_drift = 100\n\
             known = 1\nattack = false\nshares = 4\n{operations}"
        );
        std::fs::write(room.path("training.toml"), spec).expect("a spec");
    }

    const PATCH: &str = "patch.safetensors";
    const FORGET: &str = "[[forget]]\npassages = \"forget.txt\"\nretain = \"retain.txt\"\n";

    fn trains<'a>(more: &[&'a str]) -> Vec<&'a str> {
        let words = ["edit", "training.toml", "--json", "--patch", PATCH, "--threads", "1"];
        [&words[..], &MODEL, more].concat()
    }

    /// The numbers of the patch, each tensor by its name; the patch is taken away.
    fn patch(room: &Room) -> Vec<u8> {
        let file = room.path(PATCH);
        let bytes = std::fs::read(&file).expect("a patch");
        std::fs::remove_file(file).expect("a patch");
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("a head")) as usize;
        let mut head: Value = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
        // Times stand in its recipe.
        head.as_object_mut().expect("tensors").remove("__metadata__");
        assert!(bytes.len() > 8 + length + 1000 && head.as_object().is_some_and(|it| it.len() > 1));
        [head.to_string().as_bytes(), &bytes[8 + length..]].concat()
    }

    #[test]
    fn learning_and_forgetting_have_the_same_bits_on_any_number_of_ranks() {
        let room = Room::new();
        let learn = "[[learn]]\npassages = \"learn.txt\"\n";
        training(&room, &format!("{learn}{FORGET}"), 4);
        let alone = measured(&room.succeed(&trains(&[])));
        let alone = (alone, patch(&room));
        for ranks in [1, 2, 4] {
            let found = run(&room, ranks, &trains(&[]));
            assert!(found.status.success(), "{ranks}: {}", said(&found));
            assert_eq!(measured(&found), alone.0, "{ranks} ranks");
            assert!(patch(&room) == alone.1, "{ranks} ranks");
        }
        let refused = run(&room, 3, &trains(&[]));
        let told = said(&refused);
        assert!(!refused.status.success(), "{told}");
        assert_eq!(told.matches("set `shares = 12` in [gradient]").count(), 1, "{told}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_training_that_lost_a_rank_goes_on_from_its_checkpoint_on_another_number_of_ranks() {
        let room = Room::new();
        training(&room, FORGET, 100);
        let whole = measured(&room.succeed(&trains(&[])));
        let whole = (whole, patch(&room));
        let kept = trains(&["--checkpoint", "saved", "--checkpoint-every", "1"]);
        let mut command = mpirun(&room, 4);
        let child = command.args(&kept).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = child.spawn().expect("mpirun");
        let started = Instant::now();
        while !room.path("saved").exists() {
            assert!(started.elapsed() < Duration::from_secs(300), "nothing is saved");
            std::thread::sleep(Duration::from_millis(5));
        }
        let process = process_of(2, &room).to_string();
        assert!(Command::new("kill").args(["-9", &process]).status().expect("kill").success());
        let ended = child.wait_with_output().expect("the job ends");
        assert!(!ended.status.success());
        assert_is_named(&said(&ended), 2);
        assert!(!room.path(PATCH).exists());
        let again = run(&room, 2, &kept);
        assert!(again.status.success(), "{}", said(&again));
        assert_eq!(measured(&again), whole.0);
        assert!(patch(&room) == whole.1);
    }

    #[test]
    fn a_second_moment_has_the_same_bytes_on_any_number_of_ranks() {
        let room = Room::new();
        let paragraph = |i: usize| format!("Paragraph {i} says that {} is a number.\n\n", i * i);
        let text: String = (0..4000).map(paragraph).collect();
        std::fs::write(room.path("corpus.txt"), text).expect("a text");
        let words =
            ["stats", "--layer", "2", "--tokens", "40000", "--corpus", "corpus.txt", "--json"];
        let file = |cache: &str, ranks: usize| {
            let mut command = if ranks == 0 { room.rescribe() } else { mpirun(&room, ranks) };
            let output = command.env("RESCRIBE_CACHE", room.path(cache)).args(words).output();
            let output = output.expect("a run");
            assert!(output.status.success(), "{}", said(&output));
            let found = measured(&output);
            let file = found["data"]["file"].as_str().expect("a file").to_owned();
            let condition = found["data"]["condition"].as_f64().expect("a number");
            (std::fs::read(file).expect("a moment"), condition.to_bits())
        };
        let alone = file("alone", 0);
        assert!(alone.0.len() > 1 << 20);
        for ranks in [2, 4] {
            assert!(file(&format!("on {ranks}"), ranks) == alone, "{ranks} ranks");
        }
    }

    /// The process of a rank.
    #[cfg(target_os = "linux")]
    fn process_of(rank: usize, room: &Room) -> u32 {
        let cwd = std::fs::canonicalize(room.folder.path()).expect("the folder");
        let is_it = |process: &PathBuf| {
            let own = std::fs::read_link(process.join("cwd")).is_ok_and(|it| it == cwd);
            let variables = std::fs::read(process.join("environ")).unwrap_or_default();
            let numbers = ["OMPI_COMM_WORLD_RANK", "PMI_RANK"].map(|name| format!("{name}={rank}"));
            let mut set = variables.split(|byte| *byte == 0);
            own && set.any(|it| numbers.iter().any(|number| number.as_bytes() == it))
        };
        let processes = std::fs::read_dir("/proc").expect("processes").flatten();
        let process = processes.map(|entry| entry.path()).find(is_it).expect("the rank");
        process.file_name().and_then(|it| it.to_str()?.parse().ok()).expect("a number")
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_rank_that_is_killed_ends_the_job_and_another_number_of_ranks_goes_on() {
        let room = Room::new();
        let many = |more: &[&'static str]| edit(&[&["--limit", "60"], more].concat());
        let whole = measured(&room.succeed(&many(&[])));
        let kept = many(&["--journal", "journal"]);
        let mut command = mpirun(&room, 4);
        let child = command.args(&kept).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = child.spawn().expect("mpirun");
        wait_for_lines(&room.path("journal"), 3);
        let process = process_of(2, &room).to_string();
        assert!(Command::new("kill").args(["-9", &process]).status().expect("kill").success());
        let ended = child.wait_with_output().expect("the job ends");
        assert!(!ended.status.success());
        assert_is_named(&said(&ended), 2);
        let again = run(&room, 2, &kept);
        assert!(again.status.success(), "{}", said(&again));
        assert_eq!(measured(&again), whole);
        assert!(said(&again).contains("are done"), "{}", said(&again));
    }

    #[test]
    fn a_rank_that_cannot_go_on_is_named_and_ends_the_job() {
        let room = Room::new();
        let mut command = mpirun(&room, 1);
        command.args(edit(&["--journal", "journal"]));
        command.args([":", "-n", "1", env!("CARGO_BIN_EXE_rescribe")]);
        let told = said(&command.args(edit(&["--limit", "5"])).output().expect("mpirun"));
        assert!(told.contains("rank 1 came to before (1 tasks)"), "{told}");
        assert_eq!(told.matches("Error:").count(), 1, "{told}");

        let mut command = mpirun(&room, 1);
        command.args(edit(&[])).args([":", "-n", "2", env!("CARGO_BIN_EXE_rescribe")]);
        let nothing: Vec<&str> = edit(&["--corpus", "nothing.txt"]);
        let told = said(&command.args(nothing).output().expect("mpirun"));
        assert!(told.contains("Error: rank"), "{told}");
        assert_eq!(told.matches("Error:").count(), 1, "{told}");
    }

    #[test]
    fn processes_that_the_library_cannot_see_are_refused_by_one_of_them() {
        let room = Room::new();
        // Variables of a launcher that neither Open MPI nor MPICH reads.
        let started = |rank: &str| {
            let mut command = room.rescribe();
            command.args(edit(&[])).env("MV2_COMM_WORLD_RANK", rank);
            command.env("MV2_COMM_WORLD_SIZE", "2").output().expect("the binary runs")
        };
        let (first, second) = (started("0"), started("1"));
        let told = said(&first);
        assert!(told.contains("started 2 times, but its MPI library finds one"), "{told}");
        assert_eq!((first.status.code(), second.status.code()), (Some(2), Some(2)), "{told}");
        assert_eq!(said(&second), "");
    }

    #[test]
    fn verbs_whose_work_is_not_shared_out_are_refused_by_one_rank() {
        let room = Room::new();
        for words in [&["doctor"][..], &["ask", "The"], &["atlas", "data", "--out", "more"]] {
            let refused = run(&room, 3, words);
            let told = said(&refused);
            assert!(!refused.status.success(), "{told}");
            assert_eq!(told.matches("share out their work").count(), 1, "{told}");
        }
        assert!(!room.path("more").exists());
        let misspelt = said(&run(&room, 3, &["edot"]));
        assert_eq!(misspelt.matches("unrecognized subcommand").count(), 1, "{misspelt}");
    }
}
