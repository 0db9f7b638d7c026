//! How answers, next tokens and the logit lens are shown: base and edited model side by side.

use super::super::ui::{MARK, columns, padded, painted};
use rescribe::probe::{NextToken, probability_text};
use rescribe::spec::plain;

/// Characters of a bar that stands for certainty.
const BAR: usize = 16;
/// Columns of a token.
const TOKEN: usize = 12;

/// Two answers side by side, or one.
pub fn answers(before: &str, after: Option<&str>) -> String {
    let (before, after) = (answer(before), after.map(answer));
    match after {
        None => format!("{before}\n"),
        Some(after) => {
            columns([&heading("before"), &heading("after")]) + &columns([&before, &after])
        }
    }
}

fn answer(text: &str) -> String {
    let text = plain(text.trim());
    if text.is_empty() { "(the text ends here)".to_owned() } else { text }
}

fn heading(text: &str) -> String {
    painted(MARK, text)
}

/// The next tokens of both models with bars, or of one.
pub fn tokens(before: &[NextToken], after: Option<&[NextToken]>) -> String {
    let lines = |tokens: &[NextToken]| tokens.iter().map(bar).collect::<Vec<_>>();
    let before = lines(before);
    match after.map(lines) {
        None => before.iter().map(|line| format!("{line}\n")).collect(),
        Some(after) => {
            let head = columns([&heading("before"), &heading("after")]);
            head + &before.iter().zip(&after).map(|(a, b)| columns([a, b])).collect::<String>()
        }
    }
}

fn bar(token: &NextToken) -> String {
    let eighths = (token.probability * (BAR * 8) as f64).round() as usize;
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    let bar = format!("{}{part}", "█".repeat(eighths / 8));
    format!("{} {} {}", name(token), padded(&bar, BAR), probability_text(token.probability))
}

/// The token as a text in quotes, of a width.
fn name(token: &NextToken) -> String {
    padded(&plain(&format!("{:?}", token.text)), TOKEN)
}

/// The lens of both models, a line for each layer, or of one.
pub fn lens(before: &[NextToken], after: Option<&[NextToken]>) -> String {
    let line =
        |token: &NextToken| format!("{} {}", name(token), probability_text(token.probability));
    let mut out = match after {
        None => String::from("layer  top token\n"),
        Some(_) => columns([&format!("layer  {}", heading("before")), &heading("after")]),
    };
    for (layer, token) in before.iter().enumerate() {
        let own = format!("{layer:>5}  {}", line(token));
        out += &match after {
            None => format!("{own}\n"),
            Some(after) => columns([&own, &line(&after[layer])]),
        };
    }
    out
}
