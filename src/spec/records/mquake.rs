//! Records of MQuAKE: several rewrites at once, and questions whose answer follows from them all.

use serde_json::Value;

use super::values::{insert, ripple, target, text, texts, with_slot};
use super::{Comparison, Insert, Parts, PromptSet};

pub(super) fn read(value: &Value) -> Result<Parts, String> {
    let rewrites = value.get("requested_rewrite").and_then(Value::as_array);
    let rewrites = rewrites.filter(|list| !list.is_empty());
    let rewrites = rewrites.ok_or("has an empty list at `requested_rewrite`")?;
    let (mut inserts, mut paraphrase) = (Vec::new(), Vec::new());
    for (at, rewrite) in rewrites.iter().enumerate() {
        let insert = one(rewrite).map_err(|what| format!("{what}, in rewrite {at}"))?;
        if let Ok(question) = text(rewrite, "question") {
            paraphrase.push(Comparison {
                prompt: question.to_owned(),
                target_new: Some(insert.target_new.clone()),
                target_true: insert.target_true.clone(),
            });
        }
        inserts.push(insert);
    }
    let questions = texts(value, "questions")?;
    let ripple = match questions.is_empty() {
        true => Vec::new(),
        false => {
            let (after, before) = (text(value, "new_answer")?, text(value, "answer").ok());
            questions.iter().map(|question| ripple(question, after, before)).collect()
        }
    };
    Ok((inserts, PromptSet { paraphrase, ripple, ..PromptSet::default() }))
}

fn one(rewrite: &Value) -> Result<Insert, String> {
    let subject = text(rewrite, "subject")?;
    insert(
        subject,
        with_slot(text(rewrite, "prompt")?, subject, "prompt")?,
        target(rewrite, "target_new")?,
        target(rewrite, "target_true").ok(),
    )
}
