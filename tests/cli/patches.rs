//! `rescribe patch`, exports with several patches, and undoing by leaving one out.

use std::path::Path;

use super::{Desk, EDIT, SPEC, model};

/// A desk with three patches for one base.
fn desk() -> Desk {
    let desk = Desk::new();
    let specs = [("a", "Rome"), ("b", "Oslo"), ("c", "Lima")];
    for (name, target) in specs {
        desk.write("spec.toml", &SPEC.replace("\"Rome\"", &format!("{target:?}")));
        desk.ok(&format!("{EDIT} --layer 1 --patch {name}.patch.safetensors"));
    }
    desk
}

fn bytes(desk: &Desk, name: &str) -> Vec<u8> {
    std::fs::read(desk.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every file of a folder with its contents.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| {
        let entry = entry.expect("an entry");
        let bytes = std::fs::read(entry.path()).expect("a file");
        (entry.file_name().into_string().expect("UTF-8"), bytes)
    });
    let mut contents: Vec<_> = entries.collect();
    contents.sort();
    contents
}

const A: &str = "--patch a.patch.safetensors";
const B: &str = "--patch b.patch.safetensors";

#[test]
fn leaving_a_patch_out_undoes_it_to_the_byte() {
    let desk = desk();
    let folder = |name: &str| contents(&desk.path(name));
    desk.ok(&format!("export --model MODEL {A} --out only-a"));
    desk.ok(&format!("export --model MODEL {A} {B} --out edited"));
    assert_ne!(folder("edited"), folder("only-a"));
    desk.ok(&format!("export --model MODEL {B} {A} --out turned"));
    assert_eq!(folder("edited"), folder("turned"), "the order given does not matter");
    desk.ok(&format!("export --model MODEL {A} --out edited --force"));
    assert_eq!(folder("edited"), folder("only-a"), "b left no byte behind");
    desk.ok("export --model MODEL --out edited --force");
    let base = contents(&model("llama"));
    assert_eq!(folder("edited"), base, "without a patch it is the base");
}

#[test]
fn composing_and_subtracting_leave_the_bytes_of_never_having_added() {
    let desk = desk();
    let compose =
        "patch compose a.patch.safetensors b.patch.safetensors --out ab.patch.safetensors";
    desk.ok(compose);
    desk.ok(
        "export --model MODEL --patch a.patch.safetensors --patch b.patch.safetensors --out one",
    );
    desk.ok("export --model MODEL --patch ab.patch.safetensors --out two");
    assert_eq!(contents(&desk.path("one")), contents(&desk.path("two")));

    let subtract =
        "patch subtract ab.patch.safetensors b.patch.safetensors --out rest.patch.safetensors";
    desk.ok(subtract);
    assert_eq!(bytes(&desk, "rest.patch.safetensors"), bytes(&desk, "a.patch.safetensors"));
    desk.ok("patch add rest.patch.safetensors c.patch.safetensors b.patch.safetensors");
    desk.ok("patch compose c.patch.safetensors ab.patch.safetensors --out abc.patch.safetensors");
    assert_eq!(bytes(&desk, "rest.patch.safetensors"), bytes(&desk, "abc.patch.safetensors"));

    desk.fails(compose, 2, &["ab.patch.safetensors already exists", "--force"]);
    desk.fails(subtract, 2, &["already exists"]);
    let rows: &[(&str, i32, &str)] = &[
        ("compose a.patch.safetensors ab.patch.safetensors --out x", 3, "is given twice"),
        ("subtract ab.patch.safetensors c.patch.safetensors --out x", 3, "is not a part of"),
        ("subtract a.patch.safetensors a.patch.safetensors --out x", 3, "nothing would be left"),
        ("subtract ab.patch.safetensors zz --out x", 2, "neither a file nor"),
        ("add nowhere.patch.safetensors a.patch.safetensors", 3, "nowhere"),
        ("compose prompts.toml --out x", 3, "prompts.toml"),
    ];
    for (line, code, says) in rows {
        desk.fails(&format!("patch {line}"), *code, &[says]);
        assert!(!desk.path("x").exists(), "{line} left a file");
    }
}

#[test]
fn a_list_says_what_patches_do_and_whether_they_go_together() {
    let desk = desk();
    let text = desk.ok("patch list");
    for part in ["a.patch.safetensors\n", "-> \"Oslo\"", "rank", "3 patches that go together"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    desk.ok("export --model MODEL --patch a.patch.safetensors --out edited");
    desk.write("spec.toml", SPEC);
    desk.ok("edit spec.toml --model edited --max-delta 100 --layer 1 --patch d.patch.safetensors");
    let listed = desk.json("patch list . --model edited --json");
    let applies: Vec<_> =
        listed["files"].as_array().expect("files").iter().map(|file| &file["applies"]).collect();
    assert_eq!(applies, [false, false, false, true]);
    assert_eq!(listed["together"], false);
    let why = listed["why_not"].as_str().expect("a sentence");
    assert!(why.contains("(./d.patch.safetensors)") && why.contains("other weights"), "{why}");
    desk.fails("patch list edited", 2, &["no file here ends in"]);
}

#[test]
fn inspect_shows_how_rank_and_norm_grow() {
    let desk = desk();
    desk.ok("patch compose a.patch.safetensors b.patch.safetensors c.patch.safetensors --out all");
    let inspected = desk.json("inspect all --json");
    let change = &inspected["changes"][0];
    let steps = change["growth"].as_array().expect("a list");
    let ranks: Vec<_> = steps.iter().map(|step| &step["rank_so_far"]).collect();
    assert_eq!(ranks, [1, 2, 3]);
    assert_eq!((&change["layer"], &change["rank"]), (&1.into(), &3.into()));
    assert_eq!(steps[2]["norm_so_far"], change["norm"]);
    assert_eq!(inspected["parts"].as_array().map(Vec::len), Some(3));
    let text = desk.ok("inspect all");
    assert!(text.contains("own norm") && text.contains(" part  "), "{text}");
    let asked = desk.ok(&format!("ask --model MODEL {A} --patch b.patch.safetensors The"));
    assert!(asked.contains(" after  The"), "{asked}");
    desk.fails(&format!("ask --model MODEL {A} --patch all The"), 3, &["is given twice"]);
}

#[test]
fn rounding_is_measured_at_the_keys_that_the_patch_carries() {
    let desk = desk();
    let folder = model("llama_tied_bf16_sharded").display().to_string();
    desk.write("spec.toml", SPEC);
    desk.ok(&format!(
        "edit spec.toml --model {folder} --max-delta 100 --patch h.patch.safetensors"
    ));
    let line = format!("export --model {folder} --patch h.patch.safetensors --out half --json");
    let lost = desk.json(&line)["edited"][0]["key_residual"].as_f64().expect("a number");
    assert!(lost > 0. && lost < 0.1, "bf16 loses a little of the change at k*: {lost}");
    let line = format!("export --model MODEL {A} --out whole --json");
    let kept = desk.json(&line)["edited"][0]["key_residual"].as_f64().expect("a number");
    assert!(kept < lost / 100., "f32 loses less: {kept} against {lost}");
}

#[test]
fn an_adapter_is_written_for_patches_of_low_rank() {
    let desk = desk();
    let line = format!("export --format lora --model MODEL {A} {B} --out adapter");
    let summary = desk.json(&format!("{line} --json"));
    assert_eq!(summary["rank"], 2);
    let names: Vec<String> =
        contents(&desk.path("adapter")).into_iter().map(|(name, _)| name).collect();
    let expected =
        ["README.md", "adapter_config.json", "adapter_model.safetensors", "rescribe.json"];
    assert_eq!(names, expected);
    desk.fails(&line, 2, &["already exists", "--force"]);
    desk.fails(&format!("{line} --force --check"), 2, &["--check reads a whole model again"]);
    desk.fails("export --format lora --model MODEL --out x", 2, &["made of patches"]);
}
