//! Streams that are closed or full: nobody reading the messages costs no result.

use std::fs::File;
use std::process::{Command, Stdio};

use super::desk::{Desk, copy, text};

/// The README's first edit, on a desk of its own.
fn quickstart() -> (Desk, Command) {
    let desk = Desk::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["edits", "prompts"] {
        copy(&root.join(folder), &desk.path(folder));
    }
    let command = desk.command("edit edits/quickstart.toml");
    (desk, command)
}

/// Runs it with that stderr; its patch and its result are what they always are.
fn finishes(stderr: impl Into<Stdio>) {
    let (desk, mut command) = quickstart();
    let output = command.stderr(stderr).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("quickstart.patch.safetensors"));
    desk.json("inspect quickstart.patch.safetensors --json");
}

#[test]
fn a_closed_stderr_loses_no_work() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    finishes(writer);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_stderr_loses_no_work() {
    finishes(File::options().write(true).open("/dev/full").expect("a device"));
}

#[cfg(target_os = "linux")]
#[test]
fn an_error_nobody_can_read_keeps_its_code() {
    let desk = Desk::new();
    let full = File::options().write(true).open("/dev/full").expect("a device");
    let status = desk.command("edit nowhere.toml").stderr(full).status().expect("it runs");
    assert_eq!(status.code(), Some(2));
}

/// A variable of the environment and its value.
type Variable = (&'static str, &'static str);

#[test]
fn colours_follow_the_flag_and_the_variables() {
    let desk = Desk::new();
    let rows: [(&str, &[Variable], bool); 6] = [
        ("", &[], false),
        ("--color always", &[], true),
        ("--color always", &[("NO_COLOR", "1")], true),
        ("", &[("CLICOLOR_FORCE", "1")], true),
        ("", &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        ("--color never", &[("CLICOLOR_FORCE", "1")], false),
    ];
    for (flag, variables, expected) in rows {
        for line in ["plan spec.toml --model MODEL", "plan nowhere.toml"] {
            let mut command = desk.command(&format!("{line} {flag}"));
            let output = command.env_remove("NO_COLOR").envs(variables.iter().copied()).output();
            let output = output.expect("the binary runs");
            let shown = if output.status.success() { &output.stdout } else { &output.stderr };
            let has_color = text(shown).contains('\x1b');
            assert_eq!(has_color, expected, "{line} {flag} {variables:?}");
        }
    }
}
