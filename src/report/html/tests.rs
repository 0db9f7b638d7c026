//! Pages of fixed and of hostile reports.

use super::*;
use crate::probe::{Completion, PromptKind};
use crate::report::{
    Axis, Cell, Column, Figure, FigureKind, PromptShift, Request, Row, Series, Table, Told, Unit,
    text,
};
use crate::verdict::{State, Verdict};

fn measures() -> Table {
    let columns = [Column::before(), Column::after(), Column::n(), Column::interval()];
    let mut table = Table::new("", columns);
    let interval = Cell::Interval { low: 0.3, high: 0.95 };
    let row = Row::of("said", Unit::Share).cell(0.).value(0.75).cell(4_usize).cell(interval);
    table.push(row.note("whole target, decoded"));
    let row = Row::of("drift", Unit::Nats).cell(Cell::Empty).value(0.0142).cell(2048_usize);
    table.push(row.cell(Cell::Empty));
    table
}

fn ranks() -> Table {
    let side = |column: Column, group: &str| column.in_unit(Unit::Rank).under(group);
    let columns = [side(Column::before(), "rank"), side(Column::after(), "rank")];
    let mut table = Table::of_items("erased", columns);
    table.push(Row::new("prompt").cell(1_usize).cell(Cell::Of { count: 3, of: 32 }));
    table
}

fn figure(kind: FigureKind) -> Figure {
    let (x, y) = (Axis::new("layer", Unit::Count), Axis::new("effect", Unit::Nats));
    let mut figure = Figure::lines("A figure", x, y).drawn_as(kind);
    figure.series.push(Series::new("one", [[0., 0.2], [1., 0.9], [2., f64::NAN]]));
    figure.series.push(Series::new("other", [[0., 0.1], [1., -0.4]]));
    figure
}

/// A report with every kind of block, all of whose texts are `text`.
fn report_with(text: &str) -> Report {
    let own = || text.to_owned();
    let told = |probability| Some(Told { probability: Some(probability), is_said: Some(true) });
    let shift = PromptShift {
        kind: PromptKind::Rewrite,
        prompt: own(),
        target: Some(own()),
        is_erased: false,
        before: told(0.0002),
        after: told(0.94),
    };
    let completion = Completion {
        prompt: own(),
        before: format!("in the city of {text}"),
        after: Some("in the city of Rome".into()),
    };
    let mut report = Report::new("edit", text, &serde_json::json!({ "text": text }))
        .expect("plain data")
        .section(measures())
        .section(Section::titled(own()).block(ranks()).block(own()).block(Block::Verbatim(own())))
        .section(vec![shift])
        .section(vec![completion])
        .note("patch", own());
    for kind in [FigureKind::Lines, FigureKind::Bars, FigureKind::Scatter, FigureKind::Heat] {
        report = report.section(Section::detail("Drawn").block(figure(kind)));
    }
    let sentence = format!("The edit took: {text}");
    report.verdict = Some(Verdict { state: State::Took, reasons: Vec::new(), sentence });
    let request = Request { verb: "insert".into(), prompt: own(), count: 1, ..Request::default() };
    report.requests =
        vec![Request { target: Some(own()), before: Some(own()), after: Some(own()), ..request }];
    report.next = Some(own());
    let (version, base) = ("0.0.0".to_owned(), "ab".repeat(32));
    report.made = Some(Made { version, command: own(), base, spec: Some(own()) });
    report
}

/// Texts that would end an element, an attribute, a comment or a script.
const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \" ' -->\n\
                       <!-- & &amp; \u{2028} ]]> </style> {{}} \u{202e}";

/// The tags of a page in their order: opened, closed or complete.
fn tags(page: &str) -> Vec<&str> {
    let mut rest = page;
    let mut tags = Vec::new();
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        tags.push(&rest[start + 1..end]);
        rest = &rest[end + 1..];
    }
    tags
}

fn name(tag: &str) -> &str {
    tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default()
}

fn assert_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in tags(page) {
        let is_single = tag.starts_with('!') || name(tag) == "meta";
        match tag.starts_with('/') {
            true => assert_eq!(open.pop(), Some(name(tag)), "closes what is open"),
            false if is_single => {}
            false => open.push(name(tag)),
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn whatever_a_stranger_writes_stays_text() {
    let report = report_with(HOSTILE);
    let page = render(&report).expect("rendered");
    assert_well_formed(&page);
    let count = |wanted: &str| tags(&page).iter().filter(|tag| name(tag) == wanted).count();
    assert_eq!((count("script"), count("img"), count("style")), (2, 0, 2), "opened and closed");
    let read = read(&page).expect("read back");
    assert_eq!(read.data["text"], HOSTILE);
    assert_eq!(serde_json::to_value(&read).ok(), serde_json::to_value(&report).ok());
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let page = render(&report_with("https://example.org/a.js")).expect("rendered");
    for tag in tags(&page) {
        for attribute in [" src=", " href=", " action=", " onload=", " style="] {
            assert!(!tag.contains(attribute), "{tag}");
        }
    }
    for loading in ["url(", "@import", "@font-face"] {
        assert!(!STYLE.contains(loading), "{loading}");
    }
    assert!(page.contains(POLICY) && page.contains("<html lang=\"en\">"));
}

#[test]
fn headings_are_in_order_and_every_drawing_has_words() {
    let page = render(&report_with("Rome")).expect("rendered");
    let tags = tags(&page);
    let is_heading =
        |tag: &&str| tag.len() >= 2 && tag.starts_with('h') && tag.as_bytes()[1] < b'9';
    let levels = tags.iter().filter(|tag| is_heading(tag)).map(|tag| tag.as_bytes()[1] - b'0');
    let levels: Vec<u8> = levels.collect();
    assert_eq!(levels[0], 1);
    assert!(levels[1..].iter().all(|level| (2..=3).contains(level)), "{levels:?}");
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
    let drawings: Vec<_> = tags.iter().filter(|tag| tag.starts_with("svg")).collect();
    assert!(drawings.len() > 6, "{drawings:?}");
    for drawing in drawings {
        let has_words = drawing.contains("role=\"img\"") && drawing.contains("aria-label=\"");
        assert!(has_words || drawing.contains("aria-hidden=\"true\""), "{drawing}");
    }
    assert!(!page.contains("NaN"), "a number that is none is not drawn");
}

#[test]
fn the_first_word_that_differs_is_marked() {
    let page = render(&report_with("Paris")).expect("rendered");
    assert!(page.contains("<span class=\"same\">in the city of</span> <mark>Paris</mark>"));
    assert!(page.contains("<mark>Rome</mark>"));
}

#[test]
fn a_digest_stands_for_what_was_removed() {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let page = render(&report_with(&digest)).expect("rendered");
    assert!(page.contains("[removed, digest 01234567…]"));
}

#[test]
fn a_page_is_never_too_large() {
    let mut report = report_with("Rome");
    report.data = serde_json::json!(vec![0.123_456_789; 100_000]);
    let page = render(&report).expect("rendered");
    assert!(page.len() <= LARGEST && page.contains("--json prints every measurement"));
    assert_eq!(read(&page).expect("read back").data, serde_json::Value::Null);
    let mut table = measures();
    table.rows = vec![table.rows[0].clone(); 20_000];
    let completion =
        |text: &str| Completion { prompt: text.repeat(10_000), before: String::new(), after: None };
    let report = report.section(table).section(vec![completion("x"); 100]);
    assert!(render(&report).expect("rendered").len() <= LARGEST);
}

#[test]
fn a_changed_page_is_not_read() {
    let page = render(&report_with("Rome")).expect("rendered");
    let changed = page.replacen("Rome", "Oslo", 1);
    assert!(matches!(read(&changed), Err(NotAReport::Changed)));
    assert!(matches!(read("<p>"), Err(NotAReport::Changed)));
    assert!(matches!(read(&crate::files::seal_page("<p>")), Err(NotAReport::Absent)));
    let shown = |report: &Report| text::render(report, 80, &text::plain);
    assert_eq!(shown(&read(&page).expect("read back")), shown(&report_with("Rome")));
}

#[test]
fn no_page_of_a_stranger_breaks_the_reader() {
    let page = render(&report_with("Rome")).expect("rendered");
    let contents = crate::files::open_page(&page).expect("sealed").as_bytes();
    let start = contents.len() - 4000;
    let mut accepted = 0;
    for at in (start..contents.len()).step_by(3) {
        for byte in [b'0', b'}', b'"', contents[at] ^ 1] {
            let mut changed = contents.to_vec();
            changed[at] = byte;
            accepted += usize::from(crate::untrusted::page(&changed));
        }
    }
    assert!(accepted > 10 && accepted < 4000, "{accepted}");
}
