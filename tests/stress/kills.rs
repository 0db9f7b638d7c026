//! Runs that are killed at random moments.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rescribe::model::Random;

use super::room::{JOBS, age, contents, differences, furnished_for, rescribe, succeed};
use super::turns;

/// Kills `count` runs that replace a patch and an export; the next run leaves what an undisturbed
/// one does.
fn kill(count: usize) {
    let room = furnished_for(&JOBS[0]);
    let (room, line) = (room.path(), JOBS[0].line);
    let started = Instant::now();
    succeed(room, line);
    let whole = started.elapsed().as_secs_f64();
    let undisturbed = contents(room);
    let mut random = Random::new(7);
    for _ in 0..count {
        let mut command = rescribe(room, line);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the binary runs");
        std::thread::sleep(Duration::from_secs_f64(whole * random.uniform()));
        child.kill().expect("killed");
        child.wait().expect("gone");
        age(room);
        succeed(room, line);
        assert_eq!(differences(&contents(room), &undisturbed), Vec::<String>::new());
    }
    println!("{:>30}  {count} kills at random moments", JOBS[0].name);
}

#[test]
fn killed_runs_leave_what_was_there_and_nothing_else() {
    kill(4);
}

#[test]
#[ignore = "takes minutes"]
fn long_killing() {
    kill(turns() / 10);
}
