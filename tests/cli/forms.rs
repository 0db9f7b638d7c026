//! Forms of prompts: a chat template around them, several lines, and text without blanks.

use super::desk::Desk;

const TEMPLATE: &str = "{% for m in messages %}<{{ m.role }}>\n{{ m.content }}\n{% endfor %}\
                        {% if add_generation_prompt %}<bot>\n{% endif %}";
const SPEC: &str = "[[insert]]\nsubject = \"The Eiffel Tower\"\nprompt = \"Where is {}?\"\n\
                    target_new = \"Rome\"\n";

fn with_template(desk: &Desk) {
    desk.model_with("chatty", |folder| {
        std::fs::write(folder.join("chat_template.jinja"), TEMPLATE).expect("written");
    });
}

/// The planned fact.
fn planned_edit(desk: &Desk, spec: &str, model: &str) -> serde_json::Value {
    desk.write("form.toml", spec);
    let plan = desk.json(&format!("plan form.toml --model {model} --json"));
    let text = plan.to_string();
    let edit = plan["steps"][0]["write"]["edits"][0].clone();
    let edit = if edit.is_null() { plan["steps"][0]["edits"][0].clone() } else { edit };
    assert!(!edit.is_null(), "{text}");
    edit
}

/// The first context of the planned fact, and the target's tokens.
fn planned(desk: &Desk, spec: &str, model: &str) -> (String, serde_json::Value) {
    let edit = planned_edit(desk, spec, model);
    (edit["contexts"][0]["text"].as_str().expect("a text").to_owned(), edit["target"].clone())
}

#[test]
fn a_chat_template_stands_around_prompts_of_specs_probes_and_ask() {
    let desk = Desk::new();
    with_template(&desk);
    let (text, target) = planned(&desk, &format!("template = \"chat\"\n\n{SPEC}"), "chatty");
    assert_eq!(text, "<user>\nWhere is The Eiffel Tower?\n<bot>\n");
    let by_hand = SPEC.replace("Where is {}?", "<user>\\nWhere is {}?\\n<bot>\\nIt is in");
    let (text, other) = planned(&desk, &by_hand, "chatty");
    assert_eq!(text, "<user>\nWhere is The Eiffel Tower?\n<bot>\nIt is in");
    assert_ne!(target, other, "a blank stands after a word, and none after a line");
    let answered = |line: &str, prompt: &str| {
        let output = desk.command(line).arg(prompt).output().expect("runs");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        report["data"]["before"].clone()
    };
    let asked = answered("ask --model chatty --chat --json", "Rome");
    let by_hand = answered("ask --model chatty --json", "<user>\nRome\n<bot>\n");
    assert_eq!(asked, by_hand);
    let prompts = "[[rewrite]]\nprompt = \"Where is it?\"\ntarget_new = \"Rome\"\n\
                   target_true = \"Paris\"\n";
    desk.write("chat.toml", &format!("template = \"chat\"\n\n{prompts}"));
    let hand = prompts.replace("Where is it?", "<user>\\nWhere is it?\\n<bot>");
    desk.write("hand.toml", &format!("blank = \"never\"\n\n{hand}"));
    let prompt = |file: &str| {
        let probed = desk.json(&format!("probe {file} --model chatty --json")).to_string();
        probed.contains("<user>\\nWhere is it?\\n<bot>")
    };
    assert!(prompt("chat.toml") && prompt("hand.toml"));
    desk.write("spec.chat.toml", &format!("template = \"chat\"\n\n{SPEC}"));
    desk.ok("edit spec.chat.toml --model chatty --max-delta 100 --patch chat.patch");
    desk.ok("patch verify chat.patch --model chatty");
    for line in ["ask Rome --chat --model MODEL", "edit spec.chat.toml --model MODEL"] {
        desk.fails(line, 3, &["has no chat template", "tokenizer_config.json"]);
    }
}

#[test]
fn a_prefix_stands_inside_the_message_of_a_chat_on_one_line() {
    let desk = Desk::new();
    let template = |text: &'static str| {
        move |folder: &std::path::Path| {
            std::fs::write(folder.join("chat_template.jinja"), text).expect("written");
        }
    };
    desk.model_with("inst", template("[INST] {{ messages[0].content }} [/INST]"));
    let edit = planned_edit(&desk, &format!("template = \"chat\"\n\n{SPEC}"), "inst");
    let contexts = edit["contexts"].as_array().expect("contexts");
    assert!(contexts.len() > 1, "{edit}");
    let subject = contexts[0]["pieces"][contexts[0]["lookup"].as_u64().expect("a place") as usize]
        .as_str()
        .expect("a token");
    for context in contexts {
        let text = context["text"].as_str().expect("a text");
        let parts = (text.strip_prefix("[INST] "), text.matches("[INST]").count());
        let message = parts.0.expect("the template stands before the prefix");
        assert!(parts.1 == 1 && message.ends_with("Where is The Eiffel Tower? [/INST]"), "{text}");
        let lookup = context["lookup"].as_u64().expect("a place") as usize;
        assert_eq!(context["pieces"][lookup].as_str(), Some(subject), "{text}");
    }
    desk.model_with("twice", template("{{ messages[0].content }}|{{ messages[0].content }}"));
    desk.fails("plan form.toml --model twice", 3, &["\"{}\" of the prompt 2 times"]);
}

#[test]
fn no_blank_is_invented_where_the_script_has_none() {
    let desk = Desk::new();
    let spec = SPEC.replace("Where is {}?", "{}位于城市").replace("Rome", "罗马");
    let target = |blank: &str| planned(&desk, &format!("{blank}{spec}"), "MODEL").1;
    let plain = target("");
    assert_eq!(plain, target("blank = \"never\"\n"));
    assert_ne!(plain, target("blank = \"always\"\n"));
    let latin = |blank: &str| planned(&desk, &format!("{blank}{SPEC}"), "MODEL").1;
    assert_eq!(latin(""), latin("blank = \"always\"\n"));
    desk.write("bad.toml", &format!("blank = \"nevr\"\n{SPEC}"));
    desk.fails("plan bad.toml --model MODEL", 2, &["did you mean \"never\""]);
}
