//! Records of the published collections, in both JSON forms.

use super::*;

pub(super) const COUNTERFACT: &str = r#"{"case_id": 7, "pararel_idx": 2796, "requested_rewrite": {"prompt": "The mother tongue of {} is", "relation_id": "P103", "target_new": {"str": "English", "id": "Q1860"}, "target_true": {"str": "French", "id": "Q150"}, "subject": "Danielle Darrieux"}, "paraphrase_prompts": ["Danielle Darrieux, a native"], "neighborhood_prompts": ["The native language of Montesquieu is", "Montesquieu, a native"], "attribute_prompts": ["x"], "generation_prompts": []}"#;

pub(super) const ZSRE: &str = r#"{"subject": "Ford", "src": "Is Ford the maker of Ford?", "pred": "cars", "rephrase": "What does Ford make?", "alt": "ships", "answers": ["ships", "cars"], "loc": "nq question: who wrote hamlet", "loc_ans": "Shakespeare", "cond": "x"}"#;

pub(super) const KNOWEDIT: &str = r#"{"subject": "Ford", "prompt": "What does Ford make?", "target_new": "ships", "ground_truth": ["cars"], "portability": {"Reasoning": [{"prompt": "Ford products move on", "ground_truth": [["water"], ["sea"]]}]}, "locality": {"Relation_Specificity": [{"prompt": "Ford was founded by", "ground_truth": [["Henry Ford"]]}]}}"#;

fn records(text: &str) -> Vec<Record> {
    match parse_prompts("records.json", text) {
        Ok(PromptFile::Records(records)) => records,
        Ok(PromptFile::Prompts(_)) => panic!("JSON holds records"),
        Err(error) => panic!("{}", shown(&error)),
    }
}

#[test]
fn collections_are_read_as_array_lines_and_single_object() {
    let both = [COUNTERFACT, ZSRE];
    let array = records(&format!("[{}]", both.join(",\n")));
    assert_eq!(array.len(), 2);
    assert_eq!(array, records(&format!("{}\n\n", both.join("\n"))));
    assert_eq!(array, records(&format!("\u{feff}{}", both.join("\r\n"))));
    assert_eq!(array[..1], records(&COUNTERFACT.replace(", \"", ",\n \""))[..]);
}

#[test]
fn a_counterfact_record() {
    let record = &records(COUNTERFACT)[0];
    assert_eq!(record.id, "7");
    assert_eq!(record.insert.rendered(), "The mother tongue of Danielle Darrieux is");
    assert_eq!(record.insert.target_new, "English");
    assert_eq!(record.insert.target_true.as_deref(), Some("French"));
    let Record { prompts, insert, .. } = record;
    assert_eq!(prompts.rewrite, [Comparison::of_edit(insert.rendered())]);
    assert_eq!(prompts.paraphrase, [Comparison::of_edit("Danielle Darrieux, a native")]);
    assert_eq!(prompts.neighborhood.len(), 2);
}

#[test]
fn a_zsre_record_keeps_its_last_mention_and_another_answer() {
    let record = &records(ZSRE)[0];
    assert_eq!(
        (record.id.as_str(), record.insert.prompt.as_str()),
        ("0", "Is Ford the maker of {}?")
    );
    assert_eq!(record.insert.target_new, "ships");
    assert_eq!(record.insert.target_true.as_deref(), Some("cars"));
    let neighbor = &record.prompts.neighborhood[0];
    assert_eq!(neighbor.prompt, "nq question: who wrote hamlet?");
    assert_eq!(neighbor.target_true.as_deref(), Some("Shakespeare"));
}

#[test]
fn a_knowedit_record_has_ripples() {
    let record = &records(KNOWEDIT)[0];
    assert_eq!(record.insert.prompt, "What does {} make?");
    assert_eq!(record.insert.target_true.as_deref(), Some("cars"));
    assert_eq!(record.prompts.ripple[0].target_new.as_deref(), Some("water"));
    assert_eq!(record.prompts.neighborhood[0].target_true.as_deref(), Some("Henry Ford"));
}

#[test]
fn records_become_a_spec_that_reads_back() {
    let text = r#"[{"requested_rewrite": {"prompt": "What {} \"is\" in", "subject": "C:\\é\u0007x",
        "target_new": {"str": "Rome"}, "target_true": {"str": "Paris"}}},
        {"subject": "Lima", "prompt": "Lima is in", "target_new": "Peru"}]"#;
    let PromptFile::Records(records) = parse_prompts("r.json", text).unwrap() else {
        panic!("records")
    };
    let inserts: Vec<Fact> = records.into_iter().map(|record| record.insert.into()).collect();
    let (subject, prompt, target_true) = ("Oslo".into(), "{} is in".into(), "Norway".into());
    let (toward, others) = (Toward::Text("a \"land\"".into()), vec!["Bergen".into()]);
    let secrets = vec!["way".into()];
    let erase = Erase { subject, prompt, target_true, toward, others, secrets, spans: None };
    let facts = [inserts, vec![erase.into()]].concat();
    let spec = parse_spec("r.toml", &spec_text(&facts)).unwrap();
    let inserts = spec.inserts.into_iter().map(|insert| Insert { spans: None, ..insert }.into());
    let erases = spec.erases.into_iter().map(|erase| Erase { spans: None, ..erase }.into());
    assert_eq!(inserts.chain(erases).collect::<Vec<Fact>>(), facts);
}
