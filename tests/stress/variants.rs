//! Threads, locale, time zone and other surroundings: the same bits under each.

use std::path::{Path, PathBuf};

use super::room::{contents, differences, furnish, rescribe};

/// Work whose every number ends in a file.
const LINES: [&str; 5] = [
    "edit insert.toml --model model --out export --json",
    "edit insert.toml --patch atlas.patch.safetensors --json",
    "edit batch.toml --model model --json",
    "edit learn.toml --model model --json",
    "edit forget.toml --model model --json",
];

const FLAGS: [&str; 4] = ["--threads 1", "--threads 2", "--threads 3", "--threads 7"];

const VARIABLES: [(&str, &str); 12] = [
    ("LC_ALL", "tr_TR.UTF-8"),
    ("LC_ALL", "de_DE.UTF-8"),
    ("LC_ALL", "C"),
    ("LC_NUMERIC", "de_DE.UTF-8"),
    ("LANG", "ar_SA.UTF-8"),
    ("LANG", ""),
    ("TZ", "Pacific/Kiritimati"),
    ("TZ", "nonsense"),
    ("COLUMNS", "20"),
    ("TERM", "dumb"),
    ("RAYON_NUM_THREADS", "5"),
    ("RUST_BACKTRACE", "full"),
];

type Files = Vec<(PathBuf, Vec<u8>)>;

/// Everything that a line writes into a fresh room.
fn files(room: &Path, line: &str, variable: Option<(&str, &str)>) -> Files {
    if room.exists() {
        std::fs::remove_dir_all(room).expect("a room of ours");
    }
    std::fs::create_dir(room).expect("a new folder");
    furnish(room);
    let mut command = rescribe(room, line);
    command.envs(variable);
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line} under {variable:?}\n{said}");
    let mut found = contents(room);
    found.push(("what is printed".into(), without_times(&output.stdout)));
    found
}

/// A result without what it took.
fn without_times(json: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(json);
    let is_kept = |line: &&str| !line.contains("seconds") && !line.contains("a fact\"");
    text.lines().filter(is_kept).flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

fn compare(lines: &[&str], variables: &[(&str, &str)], flags: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let room = folder.path().join("room");
    let mut count = 0;
    for line in lines {
        let expected = files(&room, line, None);
        let mut check = |line: &str, variable| {
            let found = files(&room, line, variable);
            let differences = differences(&found, &expected);
            assert_eq!(differences, Vec::<String>::new(), "{line} under {variable:?}");
            count += 1;
        };
        flags.iter().for_each(|flag| check(&format!("{line} {flag}"), None));
        variables.iter().for_each(|variable| check(line, Some(*variable)));
    }
    println!("{:>30}  {count} runs, the same bits", "threads, locale and others");
}

#[test]
fn threads_and_locale_change_no_bit() {
    compare(&LINES[..1], &VARIABLES[..1], &FLAGS[2..]);
    compare(&LINES[3..4], &[], &FLAGS[2..3]);
}

#[test]
#[ignore = "takes a minute"]
fn long_variants() {
    compare(&LINES, &VARIABLES, &FLAGS);
}
