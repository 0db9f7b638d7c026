//! `rescribe ask` without a prompt: lines and commands, as they are piped in.

use super::desk::{Desk, copy, model};

fn said(desk: &Desk, line: &str, lines: &str) -> (String, String) {
    let output = desk.piped(line, lines);
    let (out, err) = (output.stdout, output.stderr);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (out, err) = (text(out), text(err));
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
    (out, err)
}

#[test]
fn a_fact_written_in_a_conversation_is_saved_as_spec_and_patch() {
    let desk = Desk::new();
    let lines = "The Eiffel Tower is located in the city of\n\
                 /edit The Eiffel Tower | {} is located in the city of | Rome | Paris\n\
                 The Eiffel Tower is located in the city of\n/top 3\n/lens\n\
                 /edit Big Ben | Big Ben is located in the city of | Rome | London\n/undo\n\
                 /patch off\nThe Eiffel Tower is located in the city of\n/patch on\n\
                 /save tower\n/quit\nnever read\n";
    let (out, err) = said(&desk, "ask --tokens 2", lines);
    assert!(out.starts_with("The Eiffel Tower is located"), "the base alone: {out}");
    assert_eq!(out.matches("after  The Eiffel Tower is located in the city of Rome").count(), 1);
    for part in ["the model says \"Rome\"", "│", "drift", "█"] {
        assert!(out.contains(part), "no {part:?} in\n{out}");
    }
    for part in [
        "No longer written: \"Big Ben is located in the city of\"",
        "Wrote tower.toml and tower.patch",
    ] {
        assert!(err.contains(part), "no {part:?} in\n{err}");
    }
    assert!(!out.contains("never read"));
    let spec = String::from_utf8(desk.read("tower.toml")).expect("UTF-8");
    assert!(spec.contains("Eiffel") && !spec.contains("Big Ben"), "{spec}");
    // The spec makes the patch again.
    desk.ok("edit tower.toml --patch again.safetensors");
    let tensors = |name: &str| {
        let bytes = desk.read(name);
        let found = safetensors::SafeTensors::deserialize(&bytes).expect("a patch");
        let mut all: Vec<(String, Vec<u8>)> =
            found.tensors().into_iter().map(|(name, it)| (name, it.data().to_vec())).collect();
        all.sort();
        all
    };
    assert_eq!(tensors("tower.patch.safetensors"), tensors("again.safetensors"));
}

#[test]
fn what_cannot_be_obeyed_ends_a_pipe_with_an_error() {
    let desk = Desk::new();
    let rows = [
        ("/frobnicate\n", "/help lists them"),
        ("/edit A | B\n", "three parts"),
        ("/edit A | no slot | B\n", "{}"),
        ("/top\n", "no prompt yet"),
        ("/save x\n", "nothing to save"),
        ("/chat on\n", "no chat template"),
    ];
    for (lines, says) in rows {
        let output = desk.piped("ask --model MODEL", lines);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code().is_some_and(|code| code == 2 || code == 3), "{lines}: {err}");
        assert!(err.contains(says), "{lines}: {err}");
    }
    let (out, err) = said(&desk, "ask --model MODEL --tokens 1", "/help\n\n/patch on\n/undo\n");
    assert!(out.is_empty(), "{out}");
    for part in ["/edit SUBJECT", "Nothing is edited yet", "No fact was written"] {
        assert!(err.contains(part), "no {part:?} in\n{err}");
    }
}

#[test]
fn a_chat_keeps_its_turns_until_they_are_cleared() {
    let desk = Desk::new();
    copy(&model("llama"), &desk.path("chatty"));
    let template = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}";
    desk.write("chatty/chat_template.jinja", template);
    let line = "ask --model chatty --chat --tokens 4 --json";
    let answers = |lines: &str| -> Vec<String> {
        let (out, _) = said(&desk, line, lines);
        let reports = serde_json::Deserializer::from_str(&out).into_iter::<serde_json::Value>();
        let answer = |report: serde_json::Result<serde_json::Value>| {
            report.expect("JSON")["data"]["before"].as_str().expect("an answer").to_owned()
        };
        reports.map(answer).collect()
    };
    let turns = answers("Rome is old\nRome is old\n/clear\nRome is old\n");
    assert_eq!(turns[0], turns[2], "a new conversation begins");
    assert_ne!(turns[0], turns[1], "the second message follows the first and its answer");
}

#[test]
fn commands_print_data_where_json_is_asked_for() {
    let desk = Desk::new();
    let (out, _) = said(&desk, "ask --model MODEL --tokens 1 --json", "Rome is\n/top 2\n/lens\n");
    let values: Vec<serde_json::Value> = serde_json::Deserializer::from_str(&out)
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("JSON values");
    assert_eq!(values.len(), 3);
    assert_eq!(values[1]["command"], "top");
    assert_eq!(values[1]["before"].as_array().map(Vec::len), Some(2));
    assert_eq!(values[2]["before"].as_array().map(Vec::len), Some(3), "a row a layer");
    assert!(values[2]["after"].is_null());
}
