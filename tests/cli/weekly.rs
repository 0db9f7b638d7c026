//! Corrections week after week: `edit --from`, `patch list`, `patch remove`.

use super::Desk;
use super::desk::flat;

fn fact(subject: &str, target: &str) -> String {
    let prompt = "prompt = \"{} is in the city of\"";
    format!("[[insert]]\nsubject = \"{subject}\"\n{prompt}\ntarget_new = \"{target}\"\n")
}

/// A method, and the layers that it writes into the tiny model.
const WHERE: [(&str, &str); 2] = [("rome", "layer 0"), ("memit", "layers 0, 1, 2")];
const METHODS: [&str; 2] = ["rome", "memit"];

/// A spec by a method that the tiny model's weights allow to change a lot.
fn spec(method: &str, facts: &[(&str, &str)]) -> String {
    let facts: String = facts.iter().map(|(subject, target)| fact(subject, target)).collect();
    format!("[rank_one]\nmethod = \"{method}\"\nmax_delta = 100\nsteps = 3\n{facts}")
}

const A: (&str, &str) = ("The Eiffel Tower", "Rome");
const B: (&str, &str) = ("Mount Fuji", "Oslo");
const C: (&str, &str) = ("Lake Garda", "Lima");

fn edit(desk: &Desk, text: &str, rest: &str) {
    desk.write("spec.toml", text);
    desk.ok(&format!("edit spec.toml --model MODEL {rest}"));
}

/// Name, shape and bytes of every tensor of a patch.
fn tensors(desk: &Desk, file: &str) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let bytes = desk.read(file);
    let read = safetensors::SafeTensors::deserialize(&bytes).expect("a patch");
    let tensors = read.tensors().into_iter();
    let mut all: Vec<_> =
        tensors.map(|(name, it)| (name, it.shape().to_vec(), it.data().to_vec())).collect();
    all.sort();
    all
}

fn listed(desk: &Desk, file: &str) -> Vec<(u64, u64, String)> {
    let listed = desk.json(&format!("patch list {file} --json"));
    let parts = listed["files"][0]["parts"].as_array().expect("parts").clone();
    let facts = parts.iter().flat_map(|part| part["facts"].as_array().expect("facts").clone());
    let fact = |it: serde_json::Value| {
        let number = |key: &str| it[key].as_u64().expect("a number");
        (number("number"), number("edit"), it["subject"].as_str().unwrap_or("-").to_owned())
    };
    facts.map(fact).collect()
}

#[test]
fn a_patch_that_starts_from_another_holds_the_facts_of_both() {
    for (method, layers) in WHERE {
        let desk = Desk::new();
        edit(&desk, &spec(method, &[A]), "--patch one");
        edit(&desk, &spec(method, &[B]), "--from one --patch two");
        edit(&desk, &spec(method, &[C]), "--from two --patch three");
        let facts = [(1, 1, A.0), (2, 2, B.0), (3, 3, C.0)];
        let facts = facts.map(|(number, edit, subject)| (number, edit, subject.to_owned()));
        assert_eq!(listed(&desk, "three"), facts);
        let text = flat(&desk.ok("patch list three --model MODEL"));
        let line = format!(
            "2 insert \"Mount Fuji is in the city of\" -> \"Oslo\" · {method}, {layers} · edit 2 of 3"
        );
        assert!(text.contains(&line) && text.contains("three · applies"), "{text}");
        let verified = desk.ok("patch verify three --model MODEL");
        assert!(verified.contains("its change is equal to the bit"), "{verified}");
        let keys = |file: &str| {
            let all = tensors(&desk, file);
            all.into_iter().find(|(name, ..)| name.ends_with("keys")).expect("keys").1[0]
        };
        assert!(keys("three") > keys("two") && keys("two") > keys("one"), "{method}");
        desk.ok("export --model MODEL --patch three --out out --check");
        let spec = desk.json("inspect three --json")["recipe"]["earlier"][1]["from"].clone();
        assert_eq!(spec, serde_json::json!([0]));
    }
}

#[test]
fn the_facts_that_an_edit_starts_from_are_asked_for_again() {
    let desk = Desk::new();
    edit(&desk, &spec("rome", &[A, B]), "--patch one");
    desk.write("spec.toml", &spec("rome", &[C]));
    let report = desk.report("edit spec.toml --model MODEL --from one --patch two --json");
    assert_eq!(report["data"]["earlier"]["before"]["n"], 2);
    assert!(super::measure(&report, "earlier facts", "after") >= 0.);
    let lines = [
        ("--from one --patch one --force", "one is not replaced: this run uses one"),
        ("--from nowhere --patch x", "cannot read patch nowhere"),
        ("--from spec.toml --patch x", "spec.toml is not a valid patch"),
    ];
    for (rest, says) in lines {
        let code = if says.contains("replaced") { 2 } else { 3 };
        desk.fails(&format!("edit spec.toml --model MODEL {rest}"), code, &[says]);
    }
    desk.write("spec.toml", &spec("rome", &[("the  Eiffel Tower", "Bern"), B]));
    let says = ["holds such facts already", "contradicts \"The Eiffel Tower", "repeats", "remove"];
    desk.fails("edit spec.toml --model MODEL --from one --patch x", 2, &says);
    desk.write("facts.json", "[{\"subject\": \"A\", \"prompt\": \"A is\", \"target_new\": \"B\"}]");
    desk.fails("edit facts.json --model MODEL --from one", 2, &["--from is not used"]);
    desk.ok("export --model MODEL --patch one --out edited");
    desk.write("spec.toml", &spec("rome", &[C]));
    desk.fails("edit spec.toml --model edited --from one --patch x", 3, &["another base"]);
    assert!(!desk.path("x").exists());
}

#[test]
fn a_patch_and_the_one_that_it_started_from_are_not_added() {
    let desk = Desk::new();
    edit(&desk, &spec("rome", &[A]), "--patch one");
    edit(&desk, &spec("rome", &[B]), "--from one --patch two");
    edit(&desk, &spec("rome", &[C]), "--from one --patch other");
    for line in [
        "export --model MODEL --patch one --patch two --out out",
        "patch compose two other --out x",
        "edit spec.toml --model MODEL --from two --from other --patch x",
    ] {
        desk.fails(line, 3, &["both hold", "added twice"]);
    }
}

#[test]
fn without_a_fact_a_patch_is_the_one_made_from_the_others() {
    for method in METHODS {
        let desk = Desk::new();
        edit(&desk, &spec(method, &[A, C]), "--patch two");
        edit(&desk, &spec(method, &[A, B, C]), "--patch three");
        let said = flat(&desk.ok("patch remove three --fact 2 --model MODEL --out rest"));
        assert!(said.contains("1 fact of three removed; rest holds 2 facts"), "{said}");
        assert_eq!(tensors(&desk, "rest"), tensors(&desk, "two"), "{method}");
        assert_ne!(tensors(&desk, "rest"), tensors(&desk, "three"), "{method}");
        let spec = desk.json("inspect rest --json")["recipe"]["spec"].to_string();
        assert!(!spec.contains("Fuji") && spec.contains("Garda"), "{spec}");
        desk.ok("patch verify rest --model MODEL");
    }
}

#[test]
fn facts_are_taken_out_of_any_edit_of_a_chain() {
    for method in METHODS {
        let desk = Desk::new();
        edit(&desk, &spec(method, &[A]), "--patch a");
        edit(&desk, &spec(method, &[B]), "--from a --patch ab");
        edit(&desk, &spec(method, &[C]), "--from ab --patch abc");
        edit(&desk, &spec(method, &[C]), "--from a --patch ac");
        desk.ok("patch remove abc --fact 2 --model MODEL --out without-b");
        assert_eq!(tensors(&desk, "without-b"), tensors(&desk, "ac"), "{method}");
        desk.ok("patch remove abc --fact 3 --model MODEL --out without-c");
        assert_eq!(tensors(&desk, "without-c"), tensors(&desk, "ab"), "{method}");
        desk.ok("patch remove abc --fact 2,3 --model MODEL --out first");
        assert_eq!(tensors(&desk, "first"), tensors(&desk, "a"), "{method}");
        let mut command = desk.command("patch remove abc --model MODEL --out x --subject");
        let output = command.arg("mount  fuji").output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(2), "blanks inside of a subject count");
        let mut command = desk.command("patch remove abc --model MODEL --out x --subject");
        assert!(command.arg("mount fuji").status().expect("the binary runs").success());
        assert_eq!(desk.read("x"), desk.read("without-b"));
    }
}

#[test]
fn of_a_composed_file_only_the_part_with_the_fact_is_made_again() {
    let desk = Desk::new();
    edit(&desk, &spec("rome", &[A]), "--patch a");
    edit(&desk, &spec("rome", &[B, C]), "--patch bc");
    edit(&desk, &spec("rome", &[B]), "--patch b");
    desk.ok("patch compose a bc --out abc");
    let number = |subject: &str| {
        let facts = listed(&desk, "abc");
        facts.iter().find(|(.., own)| own == subject).expect("held").0
    };
    let (c, a) = (number(C.0), number(A.0));
    desk.ok(&format!("patch remove abc --fact {c} --model MODEL --out ab"));
    desk.ok("patch compose a b --out expected");
    desk.ok("export --model MODEL --patch ab --out one");
    desk.ok("export --model MODEL --patch expected --out two");
    assert_eq!(desk.read("one/model.safetensors"), desk.read("two/model.safetensors"));
    desk.ok(&format!("patch remove abc --fact {a} --model MODEL --out rest"));
    assert_eq!(desk.read("rest"), desk.read("bc"), "nothing is computed where a part goes whole");
}

#[test]
fn what_cannot_be_removed_is_said() {
    let desk = Desk::new();
    edit(&desk, &spec("rome", &[A]), "--patch a");
    let lines = [
        ("remove a --model MODEL --out x", 2, "--fact"),
        ("remove a --fact 0 --model MODEL --out x", 2, "0"),
        ("remove a --fact 2 --model MODEL --out x", 2, "no fact 2: a holds 1 fact;"),
        ("remove a --subject Rome --model MODEL --out x", 2, "no fact of a is about \"Rome\""),
        ("remove a --fact 1 --model MODEL --out x", 3, "nothing would be left of patch"),
        (
            "remove a --fact 1 --model MODEL --out a --force",
            2,
            "a is not replaced: this run uses a",
        ),
        ("remove nowhere --fact 1 --model MODEL --out x", 3, "nowhere"),
        ("remove spec.toml --fact 1 --model MODEL --out x", 3, "spec.toml is not a valid patch"),
    ];
    for (line, code, says) in lines {
        desk.fails(&format!("patch {line}"), code, &[says]);
    }
    desk.ok("export --model MODEL --patch a --out edited");
    edit(&desk, &spec("rome", &[A, B]), "--patch ab");
    desk.fails("patch remove ab --fact 1 --model edited --out x", 3, &["another base"]);
    assert!(!desk.path("x").exists());
}

const ERASE: &str = "[rank_one]\nmax_delta = 100\nsteps = 2\n[[erase]]\nsubject = \"Quentin Mark\"\n\
                     prompt = \"The number of {} is\"\ntarget_true = \"8693 71\"\n\
                     others = [\"Zoe Pike\", \"X\", \"Y\"]\n";

#[test]
fn a_chain_with_a_deletion_names_it_nowhere_and_is_made_again_with_its_spec() {
    let desk = Desk::new();
    // An earlier edit tells of the person whose data is erased later.
    edit(&desk, &spec("rome", &[A, ("Quentin Mark", "Rome")]), "--patch one");
    desk.write("erase.toml", ERASE);
    let said = desk.says("edit erase.toml --model MODEL --from one --patch two");
    assert!(said.contains("still named erase.toml, one; the base"), "{said}");
    edit(&desk, &spec("rome", &[C]), "--from two --patch three");
    for file in ["two", "three"] {
        let bytes = desk.read(file);
        let text = String::from_utf8_lossy(&bytes);
        for name in ["Quentin", "8693 71", "Zoe"] {
            assert!(!text.contains(name), "{name} in {file}");
        }
        assert!(text.contains("Eiffel"), "{file} tells what it may");
    }
    let text = desk.ok("patch list three");
    assert!(text.contains("erase  \"sha256:") && text.contains("edit 2 of 3"), "{text}");
    let needs = ["does not name what it removed", "--spec FILE", "2 specs"];
    desk.fails("patch verify three --model MODEL", 2, &needs);
    desk.fails("patch remove three --fact 1 --model MODEL --out x", 2, &needs);
    desk.write("one.toml", &spec("rome", &[A, ("Quentin Mark", "Rome")]));
    let specs = "--spec erase.toml --spec one.toml";
    desk.ok(&format!("patch verify three --model MODEL {specs}"));
    let other = "patch verify three --model MODEL --spec erase.toml --spec spec.toml";
    desk.fails(other, 1, &["edit 1 of three was made from another spec"]);
    let json =
        desk.ok(&format!("patch remove three --fact 1 --model MODEL --out x {specs} --json"));
    assert!(!json.contains("Quentin") && !json.contains("8693 71"), "{json}");
    let rest = String::from_utf8_lossy(&desk.read("x")).into_owned();
    assert!(!rest.contains("Quentin") && !rest.contains("8693 71"));
    assert_eq!(listed(&desk, "x").len(), 3);
}

#[test]
fn passages_are_learnt_into_a_patched_model_and_taken_out_again() {
    let desk = Desk::new();
    edit(&desk, &spec("rome", &[A]), "--patch a");
    let head = "[gradient]\nsteps = 1\nbatch = 1\ngeneral_batch = 0\nmax_drift = 100\n";
    let learn = "[[learn]]\ntext = \"The ferry leaves at nine and comes back at noon.\"\n";
    edit(&desk, &format!("{head}{learn}"), "--from a --patch both");
    desk.ok("patch verify both --model MODEL");
    edit(&desk, &format!("{head}{learn}"), "--patch learnt");
    desk.ok("patch remove both --fact 1 --model MODEL --out rest");
    assert_eq!(tensors(&desk, "rest"), tensors(&desk, "learnt"));
    desk.ok("patch remove both --fact 2 --model MODEL --out fact");
    assert_eq!(tensors(&desk, "fact"), tensors(&desk, "a"));
}
