//! The shapes in which files hold passages: the texts, pairs and chats of published collections.

use serde_json::{Map, Value};

use super::Passage;

/// Keys of a question and of its answer; the first pair that an item has is read.
const PAIRS: [(&str, &str); 9] = [
    ("question", "answer"),
    ("prompt", "answer"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("query", "answer"),
    ("query", "response"),
    ("prompt", "gt"),
];
/// Keys of a text that stands alone.
const TEXTS: [&str; 3] = ["text", "content", "passage"];
/// Keys of a chat, with those of the speaker and of the text of each turn.
const CHATS: [(&str, &str, &str); 2] =
    [("messages", "role", "content"), ("conversations", "from", "value")];

/// The columns that a table of passages may have.
pub(super) const COLUMNS: [&str; 13] = [
    "question",
    "answer",
    "prompt",
    "completion",
    "response",
    "instruction",
    "input",
    "output",
    "query",
    "gt",
    "text",
    "content",
    "passage",
];

/// The shapes that are known, for an error.
pub(super) fn help() -> String {
    "a passage is a text in quotes, or an object with `text`, `content` or `passage`; with \
     `question` and `answer`, `prompt` and `response` (or `completion`), `instruction`, `input` \
     and `output`, or `query` and `answer`; or with `messages`"
        .to_owned()
}

/// The columns that are known, for an error.
pub(super) fn columns_help() -> String {
    "a table of passages has a column text, content or passage; or question and answer, prompt and \
     response, instruction and output"
        .to_owned()
}

/// The columns of the shape that a table comes nearest to; nothing where it has one in full.
pub(super) fn nearest(has: &dyn Fn(&str) -> bool) -> Option<Vec<&'static str>> {
    let is_whole = |(question, answer): &(&str, &str)| has(question) && has(answer);
    if TEXTS.iter().any(|key| has(key)) || PAIRS.iter().any(is_whole) {
        return None;
    }
    let half = PAIRS.iter().find(|(question, answer)| has(question) || has(answer));
    Some(half.map_or(vec!["text"], |(question, answer)| vec![question, answer]))
}

/// The passage that an item of a file holds, or what it is instead.
pub(super) fn passage(value: &Value) -> Result<Passage, String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(alone(text.trim())),
        Value::String(_) => Err("has nothing but blanks".into()),
        Value::Object(map) => of_object(map),
        // A list in a list: a chat, or one text.
        Value::Array(turns) if turns.iter().any(|turn| turn.get("role").is_some()) => {
            chat(turns, "role", "content")
        }
        Value::Array(turns) if turns.iter().any(|turn| turn.get("from").is_some()) => {
            chat(turns, "from", "value")
        }
        Value::Array(items) => match items.as_slice() {
            [Value::String(text)] if !text.trim().is_empty() => Ok(alone(text.trim())),
            items => Err(format!("is a list of {}, which is no known shape", items.len())),
        },
        Value::Null => Err("is null, which is no known shape".into()),
        Value::Bool(_) => Err("is true or false, which is no known shape".into()),
        Value::Number(_) => Err("is a number, which is no known shape".into()),
    }
}

fn alone(text: &str) -> Passage {
    Passage::of_text(text.to_owned())
}

fn of_object(map: &Map<String, Value>) -> Result<Passage, String> {
    for (question, answer) in PAIRS {
        if map.contains_key(question) && map.contains_key(answer) {
            let mut asked = text(map, question)?;
            if let (true, Ok(input)) = (question == "instruction", text(map, "input")) {
                asked = format!("{asked}\n\n{input}");
            }
            // The text goes on from a prompt, unless that asks or is a message that is responded to.
            let is_beginning =
                question == "prompt" && answer != "response" && !asked.ends_with(['?', '？']);
            let passage = Passage::of_question(asked, text(map, answer)?);
            return Ok(Passage { is_beginning, ..passage });
        }
    }
    for (key, speaker, said) in CHATS {
        if let Some(turns) = map.get(key) {
            let turns = turns.as_array().ok_or_else(|| format!("has no list at `{key}`"))?;
            return chat(turns, speaker, said);
        }
    }
    if let Some(key) = TEXTS.iter().find(|key| map.contains_key(**key)) {
        return text(map, key).map(|text| alone(&text));
    }
    let keys: Vec<String> = map.keys().take(8).map(|key| format!("`{key}`")).collect();
    let half = |(question, answer): &&(&str, &str)| {
        map.contains_key(*question) || map.contains_key(*answer)
    };
    if let Some((question, answer)) = PAIRS.iter().find(half) {
        let (found, missing) = match map.contains_key(*question) {
            true => (question, answer),
            false => (answer, question),
        };
        return Err(format!("has `{found}` and no `{missing}`"));
    }
    match keys.as_slice() {
        [] => Err("is an empty object".into()),
        keys => Err(format!("is an object with {}, which is no known shape", keys.join(", "))),
    }
}

/// The text at a key, without the blanks around it.
fn text(map: &Map<String, Value>, key: &str) -> Result<String, String> {
    let found = match map.get(key) {
        Some(Value::String(text)) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Some(Value::String(_)) => return Err(format!("has nothing but blanks at `{key}`")),
        Some(Value::Number(_)) => "a number",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
        _ => "nothing",
    };
    Err(format!("has {found} at `{key}`, expected text"))
}

/// A chat: what comes before the first answer is read, the answer and all that follows is the
/// passage.
fn chat(turns: &[Value], speaker: &str, said: &str) -> Result<Passage, String> {
    let (mut before, mut passage) = (Vec::new(), String::new());
    for (at, turn) in turns.iter().enumerate() {
        let missing = |key: &str| format!("has no text at `{key}` of message {}", at + 1);
        let who = turn.get(speaker).and_then(Value::as_str).ok_or_else(|| missing(speaker))?;
        let text = turn.get(said).and_then(content).ok_or_else(|| missing(said))?;
        let is_answer = matches!(who, "assistant" | "gpt" | "model" | "bot");
        match (is_answer, passage.is_empty()) {
            (true, true) => passage = text,
            (true, false) => passage.push_str(&format!("\nAnswer: {text}")),
            (false, true) => before.push(text),
            (false, false) => passage.push_str(&format!("\n\nQuestion: {text}")),
        }
    }
    if passage.is_empty() {
        return Err("has no message of an assistant".into());
    }
    let question = (!before.is_empty()).then(|| before.join("\n\n"));
    Ok(Passage { question, ..Passage::of_text(passage) })
}

/// The text of a message: a string, or parts of which each is text.
fn content(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Array(parts) => {
            let part = |part: &Value| part.get("text")?.as_str().map(str::trim).map(str::to_owned);
            parts.iter().map(part).collect::<Option<Vec<_>>>()?.join("\n")
        }
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}
