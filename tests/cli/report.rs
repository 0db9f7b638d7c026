//! `--report FILE`: a page that says what a run did, holds its data, and tells a changed byte.

use super::Desk;

const EDIT: &str = "edit spec.toml --model MODEL --max-delta 100 --steps 4";

fn page(desk: &Desk, file: &str) -> String {
    String::from_utf8(desk.read(file)).expect("UTF-8")
}

#[test]
fn a_page_of_an_edit_is_read_back_and_tells_a_changed_byte() {
    let desk = Desk::new();
    let shown = desk.ok(&format!("{EDIT} --report eiffel.html --report eiffel.md"));
    assert!(shown.contains("report  eiffel.html, eiffel.md"), "{shown}");
    let page = page(&desk, "eiffel.html");
    for part in [
        "<h1>Edit of",
        "What was asked for",
        "Did it take?",
        "What did it cost?",
        "Prompt by prompt",
        "Why other subjects moved",
        "How the new values were found",
        "Where the weights changed",
        "rescribe edit spec.toml --model",
        "subject     = &quot;The Eiffel Tower&quot;",
    ] {
        assert!(page.contains(part), "no {part:?} in the page");
    }
    let read = desk.ok("inspect eiffel.html");
    for row in ["said", "efficacy", "drift", "patch  spec.patch.safetensors"] {
        assert!(read.contains(row), "no {row:?} in\n{read}");
    }
    let json = desk.report("inspect eiffel.html --json");
    assert_eq!(json["command"], "edit");
    assert_eq!(json["data"]["cases"][0]["before"]["said"][0]["target"], "Rome");
    desk.write("changed.html", &page.replacen("Rome", "Oslo", 1));
    desk.fails("inspect changed.html", 3, &["was changed after it was written"]);
    let markdown = String::from_utf8(desk.read("eiffel.md")).expect("UTF-8");
    assert!(markdown.starts_with("# rescribe edit") && markdown.contains("| prompt | target |"));
}

#[test]
fn every_verb_that_measures_writes_a_page() {
    let desk = Desk::new();
    desk.ok(EDIT);
    let patch = "--patch spec.patch.safetensors";
    let forget = "[gradient]\nsteps = 2\nbatch = 1\ngeneral_batch = 0\nmax_drift = 100\n[[forget]]\n\
                  text = \"The old bridge is made of stone and stands over the river.\"\n";
    desk.write("forget.toml", forget);
    for (line, says) in [
        (format!("probe prompts.toml --model MODEL {patch}"), "Measurements of"),
        ("compare forget.toml --model MODEL --methods npo".into(), "Ways to forget"),
    ] {
        desk.ok(&format!("{line} --report page.html --force"));
        let page = page(&desk, "page.html");
        assert!(page.contains(says) && page.contains(&format!("rescribe {}", &line[..5])));
        assert!(desk.ok("inspect page.html").len() > 100);
    }
    let line = format!("verify spec.toml --model MODEL {patch} --report audit.html --budget 1s");
    desk.run(&line);
    assert!(page(&desk, "audit.html").contains("<h1>Audit of"));
}

#[test]
fn a_report_replaces_nothing_but_a_report() {
    let desk = Desk::new();
    desk.write("notes.html", "<p>mine</p>");
    desk.fails(&format!("{EDIT} --report notes.html"), 2, &["already exists", "--force"]);
    let line = format!("{EDIT} --report notes.html --force");
    desk.fails(&line, 2, &["notes.html is not replaced: it is not a report by rescribe"]);
    desk.fails(&format!("{EDIT} --report notes.txt"), 2, &["should end in .html or .md"]);
    assert_eq!(desk.read("notes.html"), b"<p>mine</p>");
    assert!(!desk.path("spec.patch.safetensors").exists(), "refused before any work");
}

#[test]
fn a_page_of_an_erasure_does_not_name_what_was_erased() {
    let desk = Desk::new();
    desk.write(
        "spec.toml",
        "# Asked for by Quentin Mark.\n[[erase]]\nsubject = \"Quentin Mark\"\n\
         prompt = \"The number of {} is\"\ntarget_true = \"8693 71\"\n\
         others = [\"Zoe Pike\", \"X\", \"Y\"]\n[[insert]]\nsubject = \"The old bridge\"\n\
         prompt = \"{} is in\"\ntarget_new = \"Oslo\"\n",
    );
    let line = format!("{EDIT} --force --report page.html --report page.md");
    desk.ok(&line);
    let names = ["quentin", "8693 71", "zoe pike", "the number of"];
    for file in ["page.html", "page.md"] {
        let text = page(&desk, file).to_lowercase();
        names.iter().for_each(|name| assert!(!text.contains(name), "{name:?} in {file}"));
    }
    let silent = page(&desk, "page.html");
    assert!(silent.contains("[removed, digest") && silent.contains("The old bridge is in"));
    let said = desk.says(&format!("{line} --keep-spec"));
    assert!(said.contains("page.html"), "the page is among the files that name it: {said}");
    let kept = page(&desk, "page.html").to_lowercase();
    names.iter().for_each(|name| assert!(kept.contains(name), "no {name:?} in the page"));
}
