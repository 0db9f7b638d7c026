//! Records that are written and checked again, whole and with any byte changed.

use std::fs;

use serde_json::Value;

use super::*;
use crate::audit::{
    AuditMeasure, AuditReason, AuditState, AuditVerdict, Check, Done, Findings, LimitsFile, NotRun,
    VerdictOf,
};
use crate::math::Interval;
use crate::verdict::Reason;

fn audit() -> Audit {
    let reason = Reason {
        measure: "recital".into(),
        found: Some(0.5),
        limit: Some(0.15),
        text: "verbatim: decoding recites 50 % more".into(),
    };
    let state = AuditState::NotForgotten;
    let reasons = vec![AuditReason { state, check: Check::Verbatim, reason }];
    let found = Interval { mean: 0.5, low: 0.4, high: 0.6, n: 12 };
    let measure = AuditMeasure {
        check: Check::Verbatim.name().into(),
        name: "recital, verbatim".into(),
        found,
        compared: Some(0.1),
    };
    Audit {
        model: "model".into(),
        limits: LimitsFile::built_in(),
        references: Vec::new(),
        passages: 12,
        holdout: 12,
        done: [Check::Integrity, Check::Verbatim].map(|check| Done { check, seconds: 1.5 }).into(),
        not_run: vec![NotRun { check: Check::Relearned, reason: "the budget".into() }],
        measures: vec![measure],
        equivalence: Vec::new(),
        verdicts: vec![AuditVerdict { of: VerdictOf::Passages, n: 12, state, reasons }],
        seed: 3,
        findings: Findings::default(),
    }
}

fn request(model: &Path) -> Request {
    Request {
        id: "6f9619ff-8b86-4011-b42d-00c04fc964ff".into(),
        times: ["2026-11-28T18:00:00Z".into(), "2026-11-28T18:05:00Z".into()],
        spec: ("forget.toml".into(), format!("sha256:{}", Sha256::of("salted"))),
        asked: vec![(12, "passages to forget")],
        model: ("model".into(), folder_files(model, &[]).expect("files")),
        base: None,
        patches: Vec::new(),
        architecture: "llama".into(),
        remaining: vec!["the spec forget.toml".into()],
    }
}

/// A folder with a model of two files and its record, signed by a new key.
fn written() -> (tempfile::TempDir, RecordKey) {
    let room = tempfile::tempdir().expect("a folder");
    let model = room.path().join("model");
    fs::create_dir_all(model.join("sub")).expect("a folder");
    fs::write(model.join("config.json"), "{}").expect("written");
    fs::write(model.join("sub/weights"), "w").expect("written");
    let key = RecordKey::generate();
    write(&room, &key, Overwrite::Refuse);
    (room, key)
}

fn write(room: &tempfile::TempDir, key: &RecordKey, overwrite: Overwrite) {
    let request = request(&room.path().join("model"));
    let out = room.path().join("record");
    write_record(&out, overwrite, (&audit(), &request), key).expect("written");
}

fn problems(room: &tempfile::TempDir) -> Vec<String> {
    let model = room.path().join("model");
    match check_record(&room.path().join("record"), None, Some(&model)) {
        Ok(check) => check.problems,
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn a_record_is_whole_and_says_what_was_found() {
    let (room, key) = written();
    let folder = room.path().join("record");
    let check = check_record(&folder, Some((&key.public_pem(), "key")), None).expect("checked");
    assert_eq!((check.problems, check.files, check.signed), (Vec::new(), 7, 2));
    let json = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.join(name)).expect("a file")).expect("JSON")
    };
    let verify = json(VERIFY);
    assert_eq!(verify["predicate"]["result"], "FAILED");
    assert_eq!(verify["predicate"]["failedTests"], serde_json::json!(["recall, verbatim"]));
    assert_eq!(verify["predicate"]["passedTests"], serde_json::json!(["integrity"]));
    assert_eq!(verify["subject"].as_array().map(Vec::len), Some(3), "the folder and two files");
    let bom = json(BOM);
    assert_eq!(bom["metadata"]["component"]["type"], "machine-learning-model");
    let page = fs::read_to_string(folder.join(PAGE)).expect("a page");
    for part in ["NOT FORGOTTEN", "## What still holds the data", "the spec forget.toml", "budget"]
    {
        assert!(page.contains(part), "no {part:?} in\n{page}");
    }
    for word in ["complian", "certif"] {
        assert!(!page.to_lowercase().contains(word), "{word}");
    }
}

#[test]
fn a_change_of_any_byte_is_found() {
    let (room, _) = written();
    assert_eq!(problems(&room), Vec::<String>::new());
    for name in [VERIFY, EDIT, BOM, MODEL_SIGNATURE, LEDGER, PAGE, PUBLIC_KEY, SIGNATURE] {
        let path = room.path().join("record").join(name);
        let whole = fs::read(&path).expect("a file");
        // Every place of a short file, and places all over a long one.
        let step = whole.len().div_ceil(97);
        for at in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
            for bit in [1, 0x20] {
                let mut changed = whole.clone();
                changed[at] ^= bit;
                fs::write(&path, changed).expect("written");
                assert!(!problems(&room).is_empty(), "{name}, byte {at}, bit {bit}");
            }
        }
        fs::write(&path, &whole[..whole.len() - 1]).expect("written");
        assert!(!problems(&room).is_empty(), "{name}, cut short");
        fs::remove_file(&path).expect("removed");
        assert!(!problems(&room).is_empty(), "{name}, removed");
        fs::write(&path, whole).expect("written");
    }
    assert_eq!(problems(&room), Vec::<String>::new());
    fs::write(room.path().join("record/more"), "").expect("written");
    assert_eq!(problems(&room), ["more is not signed"]);
    fs::remove_file(room.path().join("record/more")).expect("removed");
    fs::write(room.path().join("model/config.json"), "[]").expect("written");
    assert_eq!(problems(&room), ["config.json was changed"]);
}

#[test]
fn another_key_is_noticed_and_the_ledger_goes_on() {
    let (room, key) = written();
    let folder = room.path().join("record");
    let other = RecordKey::generate();
    let check = check_record(&folder, Some((&other.public_pem(), "key")), None).expect("checked");
    assert_eq!(check.problems.len(), 2, "{:?}", check.problems);
    write(&room, &key, Overwrite::Replace);
    assert_eq!(problems(&room), Vec::<String>::new());
    let ledger = fs::read_to_string(folder.join(LEDGER)).expect("a ledger");
    assert_eq!(ledger.lines().count(), 2);
    let first = ledger.lines().next().expect("a line");
    let second: Value = serde_json::from_str(ledger.lines().nth(1).expect("a line")).expect("JSON");
    assert_eq!(second["previous"], Sha256::of(first).to_string());
}
