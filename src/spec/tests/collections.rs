//! Records of the published collections, in both JSON forms.

use super::*;

pub(super) const COUNTERFACT: &str = r#"{"case_id": 7, "pararel_idx": 2796, "requested_rewrite": {"prompt": "The mother tongue of {} is", "relation_id": "P103", "target_new": {"str": "English", "id": "Q1860"}, "target_true": {"str": "French", "id": "Q150"}, "subject": "Danielle Darrieux"}, "paraphrase_prompts": ["Danielle Darrieux, a native"], "neighborhood_prompts": ["The native language of Montesquieu is", "Montesquieu, a native"], "attribute_prompts": ["x"], "generation_prompts": []}"#;

pub(super) const ZSRE: &str = r#"{"subject": "Ford", "src": "Is Ford the maker of Ford?", "pred": "cars", "rephrase": "What does Ford make?", "alt": "ships", "answers": ["ships", "cars"], "loc": "nq question: who wrote hamlet", "loc_ans": "Shakespeare", "cond": "x"}"#;

pub(super) const KNOWEDIT: &str = r#"{"subject": "Ford", "prompt": "What does Ford make?", "target_new": "ships", "ground_truth": ["cars"], "portability": {"Reasoning": [{"prompt": "Ford products move on", "ground_truth": [["water"], ["sea"]]}]}, "locality": {"Relation_Specificity": [{"prompt": "Ford was founded by", "ground_truth": [["Henry Ford"]]}]}}"#;

fn records(text: &str) -> Vec<Record> {
    match parse_prompts("records.json", text) {
        Ok(PromptFile::Records(file)) => file.records,
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
fn targets_without_their_object_and_several_rephrasings_are_read() {
    let plain = COUNTERFACT.replace("{\"str\": \"English\", \"id\": \"Q1860\"}", "\"English\"");
    assert_eq!(records(&plain), records(COUNTERFACT));
    let several = ZSRE.replace("\"What does Ford make?\"", "[\"What does Ford make?\", \"And?\"]");
    let paraphrase = &records(&several)[0].prompts.paraphrase;
    let prompts: Vec<&str> = paraphrase.iter().map(|it| it.prompt.as_str()).collect();
    assert_eq!(prompts, ["What does Ford make?", "And?"]);
}

#[test]
fn a_knowedit_record_has_ripples() {
    let record = &records(KNOWEDIT)[0];
    assert_eq!(record.insert.prompt, "What does {} make?");
    assert_eq!(record.insert.target_true.as_deref(), Some("cars"));
    assert_eq!(record.prompts.ripple[0].target_new.as_deref(), Some("water"));
    assert_eq!(record.prompts.neighborhood[0].target_true.as_deref(), Some("Henry Ford"));
}

pub(super) const MQUAKE: &str = r#"{"case_id": 31, "requested_rewrite": [
  {"prompt": "{} is employed by", "relation_id": "P108", "subject": "Ada Quill", "question": "Who is the employer of Ada Quill?", "target_new": {"str": "Vellwerk", "id": "Q1"}, "target_true": {"str": "Ossbank", "id": "Q2"}},
  {"prompt": "The seat of {} is in", "subject": "Vellwerk", "question": "Where is the seat of Vellwerk?", "target_new": {"str": "Oslo"}, "target_true": {"str": "Bergen"}}],
  "questions": ["In which town does Ada Quill's employer have its seat?", "Where is the firm of Ada Quill?"],
  "answer": "Bremen", "answer_alias": [], "new_answer": "Oslo", "new_answer_alias": ["Christiania"], "single_hops": []}"#;

#[test]
fn a_mquake_record_writes_all_its_facts_and_asks_what_follows() {
    let record = &records(MQUAKE)[0];
    let facts: Vec<_> = record.inserts().map(|it| (it.rendered(), &*it.target_new)).collect();
    let expected =
        [("Ada Quill is employed by", "Vellwerk"), ("The seat of Vellwerk is in", "Oslo")];
    assert_eq!(facts, expected.map(|(prompt, target)| (prompt.to_owned(), target)));
    let PromptSet { rewrite, paraphrase, ripple, .. } = &record.prompts;
    assert_eq!(rewrite[1].target_true.as_deref(), Some("Bergen"));
    assert_eq!(paraphrase[1].prompt, "Where is the seat of Vellwerk?");
    assert_eq!(paraphrase[1].target_new.as_deref(), Some("Oslo"));
    assert_eq!(ripple.len(), 2);
    assert_eq!(ripple[0].target_new.as_deref(), Some("Oslo"));
    assert_eq!(ripple[0].target_true.as_deref(), Some("Bremen"));
}

const RIPPLE_EDITS: &str = r#"[{"example_type": "popular", "edit": {"prompt": "The name of the mother of Ada Quill is Rosa Oss.", "subject_id": "Q7", "relation": "MOTHER", "target_id": "Q8",
  "original_fact": {"prompt": "The name of the mother of Ada Quill is Rita Vell.", "subject_id": "Q7"}},
  "Relation_Specificity": [{"test_queries": [{"prompt": "The place of birth of Ada Quill is", "answers": [{"value": "Bremen", "aliases": ["Hansestadt"]}], "subject_id": "Q7", "query_type": "regular"}], "test_condition": "OR", "condition_queries": []}],
  "Logical_Generalization": [{"test_queries": [{"prompt": "The names of the siblings of Ada Quill are", "answers": [{"value": "Tom Oss", "aliases": []}, {"value": "Tim"}], "subject_id": "Q7"}, {"prompt": "Nobody is", "answers": []}]}],
  "Subject_Aliasing": [{"test_queries": [{"prompt": "The name of the mother of Ada is", "answers": [{"value": "Rosa Oss", "aliases": []}], "subject_id": "Q7"}]}],
  "Compositionality_I": [], "Compositionality_II": [], "Forgetfulness": []},
  {"example_type": "recent", "edit": {"prompt": "The name of the country of citizenship of Queen of Oss is Vell.", "subject_id": "Q9", "relation": "X", "target_id": "Q1"},
  "Relation_Specificity": [{"test_queries": [{"prompt": "The gender of Queen of Oss is", "answers": [{"value": "female", "aliases": []}], "subject_id": "Q9"}]}]}]"#;

#[test]
fn a_ripple_edits_record_is_taken_out_of_its_sentence() {
    let records = records(RIPPLE_EDITS);
    let Record { insert, prompts, .. } = &records[0];
    assert_eq!(insert.subject, "Ada Quill");
    assert_eq!(insert.prompt, "The name of the mother of {} is");
    assert_eq!(insert.target_new, "Rosa Oss");
    assert_eq!(insert.target_true.as_deref(), Some("Rita Vell"));
    assert_eq!(prompts.neighborhood[0].target_true.as_deref(), Some("Bremen"));
    let ripples: Vec<_> = prompts.ripple.iter().map(|it| it.target_new.as_deref()).collect();
    assert_eq!(ripples, [Some("Tom Oss"), Some("Rosa Oss")]);
    let second = &records[1].insert;
    assert_eq!((&*second.subject, &*second.target_new), ("Queen of Oss", "Vell"));
    assert_eq!(second.target_true, None);
}

#[test]
fn portability_in_every_form_becomes_ripples() {
    let forms = [
        r#"{"Reasoning": [{"prompt": "Q", "ground_truth": [["a", "b"]]}], "Subject_Aliasing": []}"#,
        r#"{"Recalled Relation": "(x)", "New Question": "Q", "New Answer": "a"}"#,
        r#"{"Logical_Generalization": [{"prompt": "Q", "ground_truth": "a"}, {"prompt": "R", "ground_truth": []}]}"#,
    ];
    for form in forms {
        for base in [KNOWEDIT, ZSRE] {
            let mut value: serde_json::Value = serde_json::from_str(base).expect("JSON");
            value["portability"] = serde_json::from_str(form).expect(form);
            let ripple = &records(&value.to_string())[0].prompts.ripple;
            let expected = Comparison { target_new: Some("a".into()), ..Comparison::of_edit("Q") };
            assert_eq!(ripple[..], [expected], "{form}");
        }
    }
}

#[test]
fn rows_of_a_table_are_records() {
    let text = "Subject;Prompt;Target New;target_true;id;paraphrases;neighborhood;owner\r\n\
                Vell;{} lies in;Oslo;Bremen;a7;\"In {}, one is in|Vell is in\";Oss lies in;Tom\r\n\
                Ark;Where is Ark?;Rome;;;;;\r\n";
    let Ok(PromptFile::Records(file)) = parse_prompts("facts.csv", text) else { panic!("a table") };
    assert!(file.is_table);
    assert_eq!(file.notes, ["the column \"owner\" of the table is not read"]);
    let [first, second] = &file.records[..] else { panic!("two rows") };
    assert_eq!((&*first.id, &*second.id), ("a7", "3"));
    assert_eq!(first.insert.target_true.as_deref(), Some("Bremen"));
    assert_eq!(first.prompts.paraphrase[0], Comparison::of_edit("In Vell, one is in"));
    assert_eq!((first.prompts.paraphrase.len(), first.prompts.neighborhood.len()), (2, 1));
    assert_eq!(second.insert.prompt, "Where is {}?");
    assert_eq!(second.insert.target_true, None);
}

#[test]
fn bad_records_are_all_named_or_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let bad_zsre = ZSRE.replace("\"subject\": \"Ford\"", "\"subject\": \"Opel\"");
    let lines = [COUNTERFACT, &bad_zsre, "{\"a\": }", KNOWEDIT, "{\"case_id\": 9}"].join("\n");
    let table = "subject,prompt,target_new\na,{} is,b\nc,{} is,\nd,It is,e\nf,{} is,g,h\n";
    let rows: [(&str, &str, &[&str]); 2] =
        [("r.jsonl", &lines, &["1", "line 3", "9"]), ("t.csv", table, &["3", "4", "5"])];
    for (name, text, ids) in rows {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        let error = read_edit_input(&path, BadRecords::Refuse).expect_err("bad records");
        assert!(error.is_of_records(), "{error}");
        assert_eq!(error.problems().len(), ids.len(), "{}", shown(&error));
        let read = read_edit_input(&path, BadRecords::LeaveOut).expect("the rest");
        let EditInput::Records(file) = read else { panic!("records") };
        let left: Vec<&str> = file.left_out.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(left, ids);
        assert!(!file.records.is_empty() && file.left_out.iter().all(|it| !it.reason.is_empty()));
        fs::write(&path, text.lines().nth(if name == "t.csv" { 0 } else { 1 }).expect("a line"))
            .expect("written");
        let error = read_edit_input(&path, BadRecords::LeaveOut).expect_err("nothing left");
        assert!(!error.is_of_records(), "{error}");
    }
}

#[test]
fn records_become_a_spec_that_reads_back() {
    let text = r#"[{"requested_rewrite": {"prompt": "What {} \"is\" in", "subject": "C:\\é\u0007x",
        "target_new": {"str": "Rome"}, "target_true": {"str": "Paris"}}},
        {"subject": "Lima", "prompt": "Lima is in", "target_new": "Peru"}]"#;
    let inserts: Vec<Fact> = records(text).into_iter().map(|it| it.insert.into()).collect();
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
