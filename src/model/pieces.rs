//! Long texts in pieces that can be tokenised one after the other.
//!
//! A tokenizer keeps several hundred bytes for each byte of a text until it is done, so that a book
//! without a blank line would take gigabytes.

/// Bytes of a piece at most; no paragraph that people write is longer.
const LONGEST: usize = 64 << 10;

/// The pieces of a text, which end at blanks where there are some: one, but of a very long text.
pub fn text_pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(end_of_piece(rest));
        rest = after;
        Some(piece)
    })
}

fn end_of_piece(text: &str) -> usize {
    if text.len() <= LONGEST {
        return text.len();
    }
    let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text[..end].rfind(char::is_whitespace).filter(|at| *at > 0).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_bounded_and_lose_nothing() {
        let words = "The river is wide here. ".repeat(20_000);
        let rows = [words.as_str(), &"字".repeat(100_000), "short", "", " "];
        for text in rows {
            let all: Vec<&str> = text_pieces(text).collect();
            assert_eq!(all.concat(), *text);
            assert!(all.iter().all(|piece| !piece.is_empty() && piece.len() <= LONGEST));
            assert_eq!(all.len() > 1, text.len() > LONGEST);
        }
        assert!(text_pieces(&words).skip(1).all(|piece| piece.starts_with(' ')));
    }
}
