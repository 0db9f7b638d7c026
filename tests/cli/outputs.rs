//! Where output may go: `--force` replaces what rescribe wrote, and nothing else.

use std::path::Path;

use super::desk::{Desk, copy, model};

const EDIT: &str = "edit spec.toml --model base --max-delta 100";

const LEARN: &str = "edit learn.toml --model base";

/// A desk with a base, a patch, an export, and files that are somebody's.
fn desk() -> Desk {
    let desk = Desk::new();
    copy(&model("llama"), &desk.path("base"));
    desk.write("learn.toml", "[[learn]]\ntext = \"It rained.\"\n");
    desk.ok(&format!("{EDIT} --patch old.patch.safetensors --out old"));
    for folder in ["home", "mixed"] {
        std::fs::create_dir(desk.path(folder)).expect("a new folder");
        desk.write(&format!("{folder}/diary.txt"), "dear");
    }
    std::fs::copy(desk.path("old/rescribe.json"), desk.path("mixed/rescribe.json")).expect("copy");
    desk
}

/// Every file below a folder with its length and its contents' beginning.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => {
                let name = path.display().to_string();
                let is_regular = path.symlink_metadata().is_ok_and(|found| found.is_file());
                let bytes = is_regular.then(|| std::fs::read(&path).expect("a file"));
                found.push((name, bytes.unwrap_or_default()));
            }
        }
    }
    found.sort();
    found
}

/// Each line ends with that code and that message, before the cache is touched, and changes nothing.
fn refused(desk: &Desk, rows: &[(&str, i32, &str)]) {
    let cache = desk.path("cache");
    std::fs::remove_dir_all(&cache).ok();
    let before = contents(&desk.path("."));
    for (line, code, says) in rows {
        desk.fails(line, *code, &[says]);
        assert!(!cache.exists(), "{line} worked before it looked");
        assert!(contents(&desk.path(".")) == before, "{line} changed something");
    }
}

#[test]
fn a_patch_replaces_a_patch_alone() {
    let desk = desk();
    let edit = |path: &str| format!("{EDIT} --force --patch {path}");
    let lines = [
        (edit("spec.toml"), 2, "spec.toml is not replaced: this run uses spec.toml"),
        (edit("prompts.toml"), 2, "this run uses"),
        (edit("base/model.safetensors"), 2, "this run uses base"),
        (edit("home/diary.txt"), 2, "it is not a rescribe patch"),
        (edit("old/model.safetensors"), 2, "it is not a rescribe patch"),
        (edit("home"), 2, "home is not written to: it is a folder"),
        (edit("no/such/folder.safetensors"), 3, "cannot write no/such/folder.safetensors"),
        (format!("{EDIT} --patch old.patch.safetensors"), 2, "already exists"),
        (
            format!("{LEARN} --checkpoint no/such/file --patch new.patch.safetensors"),
            3,
            "cannot write no/such/file",
        ),
        (
            format!("{LEARN} --checkpoint home/diary.txt --patch new.patch.safetensors"),
            2,
            "it is not a saved training",
        ),
        (
            "patch compose old.patch.safetensors --out old.patch.safetensors --force".into(),
            2,
            "this run uses old.patch.safetensors",
        ),
        (
            "patch compose old.patch.safetensors --out spec.toml --force".into(),
            2,
            "it is not a rescribe patch",
        ),
    ];
    let rows: Vec<_> =
        lines.iter().map(|(line, code, says)| (line.as_str(), *code, *says)).collect();
    refused(&desk, &rows);
    desk.ok(&edit("old.patch.safetensors"));
}

#[test]
fn a_folder_replaces_an_export_alone() {
    let desk = desk();
    let export = |out: &str| {
        format!("export --model base --patch old.patch.safetensors --force --out {out}")
    };
    let lines = [
        (export("base"), 2, "this run uses base"),
        (export("base/inner"), 2, "this run uses base"),
        (export("."), 2, "this run uses"),
        (export("home"), 2, "it is not an empty folder, nor one with rescribe.json"),
        (export("mixed"), 2, "it is not an empty folder, nor one with rescribe.json"),
        (export("spec.toml"), 2, "it is a file"),
        (export("no/such"), 3, "cannot write no/such"),
        (format!("{EDIT} --force --patch new.patch.safetensors --out base"), 2, "uses base"),
        (format!("{EDIT} --force --patch new.patch.safetensors --out home"), 2, "is not replaced"),
        (format!("{EDIT} --force --patch old/new.patch.safetensors --out old"), 2, "this run uses"),
        ("atlas train --out home --force".into(), 2, "it is not an empty folder"),
        ("atlas train --out no/such".into(), 3, "cannot write no/such"),
    ];
    let rows: Vec<_> =
        lines.iter().map(|(line, code, says)| (line.as_str(), *code, *says)).collect();
    refused(&desk, &rows);

    desk.ok(&export("old"));
    desk.write("old/notes.txt", "kept beside the export");
    refused(&desk, &[(&export("old"), 2, "is not replaced")]);
    desk.write("home/records.json", "[]");
    refused(&desk, &[("atlas data --out home --force", 2, "earlier atlas data")]);
    desk.ok("atlas data --out data --records 2");
    desk.ok("atlas data --out data --records 3 --force");
}

#[cfg(unix)]
#[test]
fn devices_pipes_and_links_stay_what_they_are() {
    let desk = desk();
    let made = std::process::Command::new("mkfifo").arg(desk.path("pipe")).status();
    assert!(made.expect("mkfifo runs").success());
    for (to, name) in [("spec.toml", "to-spec"), ("base", "to-base")] {
        std::os::unix::fs::symlink(desk.path(to), desk.path(name)).expect("a link");
    }
    let edit = |path: &str| format!("{EDIT} --force --patch {path}");
    let lines = [
        (edit("pipe"), "it is a pipe"),
        (edit("/dev/zero"), "it is a device"),
        (edit("to-spec"), "this run uses spec.toml"),
        (edit("to-base/model.safetensors"), "this run uses base"),
    ];
    let rows: Vec<_> = lines.iter().map(|(line, says)| (line.as_str(), 2, *says)).collect();
    refused(&desk, &rows);
    desk.ok(&edit("/dev/null"));
    use std::os::unix::fs::FileTypeExt;
    let null = std::fs::metadata("/dev/null").expect("a device");
    assert!(null.file_type().is_char_device(), "what it is told to discard does not replace it");
}
