//! Ctrl-C, as the terminal sends it: exit 130, nothing half-written, no temporary left.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::desk::{Desk, model};

/// Longest wait for something that takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);

fn spawn(desk: &Desk, line: &str) -> Child {
    desk.command(line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("spawned")
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success(), "the process is there");
}

fn end(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().expect("a child of ours");
            panic!("still running {PATIENCE:?} after Ctrl-C");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until `is_there`, while the child runs.
fn wait_until(child: &mut Child, what: &str, is_there: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_there() {
        let status = child.try_wait().expect("a child of ours");
        assert_eq!(status, None, "ended before {what}");
        assert!(start.elapsed() < PATIENCE, "no {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn cache_of(desk: &Desk) -> Vec<String> {
    if desk.path("cache").exists() { desk.names("cache") } else { Vec::new() }
}

fn hidden(names: &[String]) -> Vec<&String> {
    names.iter().filter(|name| name.starts_with('.')).collect()
}

#[test]
fn a_second_moment_stops_and_goes_on_where_it_was() {
    let desk = Desk::new();
    // Some hundred groups of samples, of which it gets to draw a few.
    let long = "stats --model MODEL --layer 1 --tokens 2000000";
    let mut child = spawn(&desk, long);
    let has = |ending: &str| cache_of(&desk).iter().any(|name| name.ends_with(ending));
    wait_until(&mut child, "partial sum", || has(".partial"));
    interrupt(&child);
    assert_eq!(end(&mut child).code(), Some(130));
    let kept = cache_of(&desk);
    assert_eq!(hidden(&kept), Vec::<&String>::new());
    assert!(has(".partial") && !has(".safetensors"), "{kept:?}");

    // The samples that were drawn are whole: a shorter run uses them and equals one of its own.
    let short = "stats --model MODEL --layer 1 --tokens 5000 --json";
    let fresh = Desk::new();
    assert_eq!(desk.json(short)["condition"], fresh.json(short)["condition"]);
}

#[test]
fn an_edit_leaves_no_patch() {
    let desk = Desk::new();
    let line = "edit spec.toml --model MODEL --max-delta 100 --steps 10000 --stop-loss 0 --out out";
    let mut child = spawn(&desk, line);
    let is_cached = || {
        let names = cache_of(&desk);
        names.iter().any(|name| name.starts_with("second-moment") && name.ends_with("tensors"))
    };
    wait_until(&mut child, "second moment", is_cached);
    interrupt(&child);
    assert_eq!(end(&mut child).code(), Some(130));
    assert_eq!(desk.names("."), ["cache", "prompts.toml", "spec.toml"]);
    assert_eq!(hidden(&desk.names("cache")), Vec::<&String>::new());
}

#[test]
fn an_export_leaves_the_old_folder() {
    let desk = Desk::new();
    // A file beside the weights that takes a while to copy, and no room on the disk of the base.
    desk.model_with("large", |folder| {
        let file = std::fs::File::create(folder.join("notes.txt")).expect("a file");
        file.set_len(1 << 30).expect("a sparse file");
    });
    desk.ok("edit spec.toml --model large --max-delta 100");
    let export = "export --model large --patch spec.patch.safetensors --out out";
    let mut child = spawn(&desk, export);
    let before = desk.names(".");
    wait_until(&mut child, "temporary folder", || !hidden(&desk.names(".")).is_empty());
    interrupt(&child);
    assert_eq!(end(&mut child).code(), Some(130));
    assert_eq!(hidden(&desk.names(".")), Vec::<&String>::new(), "{before:?}");
    assert!(!desk.path("out").exists());
}

#[test]
fn at_any_moment_the_outputs_are_whole_or_absent() {
    let desk = Desk::new();
    let line = "edit spec.toml --model MODEL --max-delta 100 --out out --force";
    let started = Instant::now();
    desk.ok(line);
    let whole = (desk.read("spec.patch.safetensors"), desk.read("out/model.safetensors"));
    let duration = started.elapsed();
    let (mut stopped, moments) = (0, 24);
    for moment in 0..moments {
        std::fs::remove_file(desk.path("spec.patch.safetensors")).ok();
        std::fs::remove_dir_all(desk.path("out")).ok();
        std::fs::remove_dir_all(desk.path("cache")).ok();
        let mut child = spawn(&desk, line);
        std::thread::sleep(duration * moment / moments);
        // It may have ended already.
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        let status = end(&mut child);
        // Before the handler is set, the signal itself ends the process.
        assert!(matches!(status.code(), Some(0 | 130) | None), "{status}");
        stopped += usize::from(status.code() != Some(0));
        let names = desk.names(".");
        assert_eq!(hidden(&names), Vec::<&String>::new(), "at moment {moment}");
        if desk.path("spec.patch.safetensors").exists() {
            assert!(desk.read("spec.patch.safetensors") == whole.0, "at moment {moment}");
        }
        if desk.path("out").exists() {
            assert!(desk.read("out/model.safetensors") == whole.1, "at moment {moment}");
        }
        assert_eq!(hidden(&cache_of(&desk)), Vec::<&String>::new(), "at moment {moment}");
    }
    assert!(stopped > 0, "{moments} signals within {duration:?} came too late");
    assert!(model("llama").join("model.safetensors").exists(), "the base is only read");
}

#[test]
fn a_waiting_prompt_ends_at_once() {
    let desk = Desk::new();
    let mut command = desk.command("ask --model MODEL --quiet --tokens 2");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("spawned");
    let mut input = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut input, b"The\n").expect("a line");
    let mut answer = [0; 1];
    let mut out = child.stdout.take().expect("piped");
    std::io::Read::read_exact(&mut out, &mut answer).expect("an answer");
    let rest = std::thread::spawn(move || std::io::Read::read_to_end(&mut out, &mut Vec::new()));
    // Its answer is being printed; the next moment it waits.
    std::thread::sleep(Duration::from_millis(200));
    interrupt(&child);
    assert_eq!(end(&mut child).code(), Some(130));
    rest.join().expect("no panic").expect("read");
    drop(input);
}
