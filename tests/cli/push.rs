//! `export --push`: what is refused before anything is written, and an upload that fails. An upload that
//! succeeds takes the Hub's own client: `tests/readers/hub_upload.py`.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::desk::{Desk, flat, text};

/// An export to a desk whose programs are those of `bin`, and no others.
fn export(desk: &Desk, to: &str, offline: &str) -> Command {
    let mut command = desk.command(&format!("export --model MODEL --out out --push {to}"));
    command.env("PATH", desk.path("bin")).env("HF_HUB_OFFLINE", offline);
    command.env_remove("TRANSFORMERS_OFFLINE");
    command
}

/// A client that answers `version`, and otherwise does what `script` says.
fn client(desk: &Desk, script: &str) {
    std::fs::create_dir_all(desk.path("bin")).expect("a folder");
    desk.write("bin/hf", &format!("#!/bin/sh\n[ \"$1\" = version ] && exit 0\n{script}\n"));
    let may_run = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(desk.path("bin/hf"), may_run).expect("may run");
}

#[test]
fn what_cannot_be_pushed_is_refused_before_anything_is_written() {
    let desk = Desk::new();
    let rows = [
        ("atlas", "0", "--push takes the name of a repository, ORG/NAME, and not \"atlas\""),
        ("ada/atlas@main", "0", "and not \"ada/atlas@main\""),
        ("--type=space", "0", "a value is required"),
        ("ada/atlas", "1", "unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE"),
        ("ada/atlas", "0", "pip install huggingface_hub"),
    ];
    for (to, offline, says) in rows {
        let output = export(&desk, to, offline).output().expect("the binary runs");
        let err = flat(&text(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{to}: {err}");
        assert!(err.contains(says), "{to}: no {says:?} in {err}");
        assert!(!desk.path("out").exists(), "{to}: written");
    }
}

#[test]
fn an_upload_that_fails_is_told_and_leaves_the_export() {
    let desk = Desk::new();
    client(&desk, "echo 'no such token' >&2; exit 7");
    let output = export(&desk, "ada/atlas", "0").arg("--quiet").output().expect("the binary runs");
    let err = flat(&text(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{err}");
    let says = [
        "out is written",
        "hf upload ada/atlas out",
        "the upload to ada/atlas ended with",
        "no such token",
    ];
    for part in says {
        assert!(err.contains(part), "no {part:?} in {err}");
    }
    assert!(desk.path("out/model.safetensors").is_file());
    // The client is told what to send where, and what a private repository is; names are no options.
    client(&desk, "echo \"$@\" > args; echo https://hub/ada/atlas");
    std::fs::remove_dir_all(desk.path("out")).expect("removed");
    let mut again = export(&desk, "ada/atlas", "0");
    let output = again.arg("--private").output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let err = flat(&text(&output.stderr));
    assert!(err.contains("ada/atlas holds it: https://hub/ada/atlas"), "{err}");
    let told = "upload --quiet --commit-message Upload by rescribe --private -- ada/atlas out .";
    assert_eq!(text(&desk.read("args")).trim(), told);
}
