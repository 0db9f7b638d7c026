//! The report inside of its page: JSON that no browser runs and no text can break out of.

use maud::{Markup, PreEscaped};

use crate::files::open_page;
use crate::report::Report;

const OPENING: &str = "<script type=\"application/json\" id=\"rescribe-report\">";
const CLOSING: &str = "</script>";

/// Why a page cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAReport {
    /// The digest at its end is missing or not that of the page.
    #[error(
        "the page was changed after it was written, or is no report: its digest does not match"
    )]
    Changed,
    /// There is no report in it.
    #[error("the page holds no report of rescribe")]
    Absent,
    /// The report is not as this version writes one.
    #[error("the report in the page cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// The report as a script element that a browser keeps but does not run.
pub(super) fn script(report: &Report) -> serde_json::Result<Markup> {
    let json = escaped(&serde_json::to_string(report)?);
    Ok(PreEscaped(format!("{OPENING}{json}{CLOSING}")))
}

/// JSON without any character that means something to a reader of HTML; the values are the same.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// The report that a page was made from.
///
/// # Errors
///
/// [`NotAReport`] where the page is another, or where any byte of it was changed.
pub fn read(page: &str) -> Result<Report, NotAReport> {
    let page = open_page(page).ok_or(NotAReport::Changed)?;
    let (_, rest) = page.rsplit_once(OPENING).ok_or(NotAReport::Absent)?;
    let (json, _) = rest.split_once(CLOSING).ok_or(NotAReport::Absent)?;
    Ok(serde_json::from_str(json)?)
}
