//! Eight processes that share one cache, some of them killed: each of the others gets the bits that it
//! gets alone.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rescribe::model::Random;

use super::room::{age, contents, differences, furnish, is_temporary, rescribe, succeed};
use super::turns;

/// What the eight do; N stands for the number of the process, so that each writes a file of its
/// own.
const LINES: [&str; 4] = [
    "edit insert.toml --model model --patch N.patch.safetensors --force",
    "edit batch.toml --model model --patch N.patch.safetensors --force",
    "ask The --model tiny.gguf --tokens 2",
    "edit learn.toml --model model --patch N.patch.safetensors --force",
];

fn line(number: usize) -> String {
    LINES[number % LINES.len()].replace('N', &format!("patch-{number}"))
}

fn start(room: &Path, number: usize) -> Child {
    let mut command = rescribe(room, &line(number));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the binary runs")
}

/// Rounds of eight at once with an empty cache; in every other one, half of them are killed.
fn crowd(rounds: usize) {
    let alone = tempfile::tempdir().expect("a folder");
    furnish(alone.path());
    (0..8).for_each(|number| succeed(alone.path(), &line(number)));
    let expected = contents(alone.path());
    let room = tempfile::tempdir().expect("a folder");
    let room = room.path();
    furnish(room);
    let mut random = Random::new(11);
    let mut killed = 0;
    for round in 0..rounds {
        if round > 0 {
            std::fs::remove_dir_all(room.join("cache")).expect("a cache");
        }
        let mut children: Vec<Child> = (0..8).map(|number| start(room, number)).collect();
        if round % 2 == 1 {
            for child in children.iter_mut().step_by(2) {
                std::thread::sleep(Duration::from_secs_f64(0.1 * random.uniform()));
                child.kill().expect("killed");
                killed += 1;
            }
        }
        for (number, mut child) in children.into_iter().enumerate() {
            let status = child.wait().expect("a child of ours");
            let is_killed = round % 2 == 1 && number % 2 == 0;
            assert!(is_killed || status.success(), "round {round}: {}: {status}", line(number));
        }
        if round % 2 == 1 {
            age(room);
            (0..8).step_by(2).for_each(|number| succeed(room, &line(number)));
        }
        // Two that write one entry at once both find no leftover to sweep: a killed one's may stay
        // until the entry is written again.
        let mut found = contents(room);
        found.retain(|(name, _)| !is_temporary(name) || round % 2 == 0);
        assert_eq!(differences(&found, &expected), Vec::<String>::new(), "round {round}");
    }
    println!("{:>30}  {rounds} rounds of 8 processes, {killed} killed", "one cache");
}

#[test]
fn a_crowd_shares_one_cache() {
    crowd(2);
}

#[test]
#[ignore = "takes minutes"]
fn long_crowd() {
    crowd(turns() / 50);
}
