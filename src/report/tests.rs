//! Fixed reports in all three renderers.

use unicode_width::UnicodeWidthStr;

use super::*;
use crate::math::share_interval;
use crate::verdict::{State, Verdict};

fn measures() -> Table {
    let columns = [Column::before(), Column::after(), Column::n(), Column::interval()];
    let mut table = Table::new("", columns);
    for (label, before, after, n, note) in [
        ("efficacy", 0, 1, 1, "P(new) > P(true) after the prompt"),
        ("paraphrase", 0, 3, 4, "P(new) > P(true) after other wordings of the prompt"),
    ] {
        let share = |hits| share_interval(hits, n).expect("observations");
        let row = Row::of(label, Unit::Share).cell(share(before).mean).value(share(after).mean);
        table.push(row.cell(n).cell(&share(after)).note(note));
    }
    let drift = Row::of("drift", Unit::Nats)
        .cell(Cell::Empty)
        .value(0.0011)
        .cell(381_usize)
        .cell(Cell::Empty);
    table.push(drift.note("KL, nats a token"));
    table.push(Row::of("ripple", Unit::Share).cell(Cell::Empty).value(None::<f64>).cell(0_usize));
    table
}

fn ranks() -> Table {
    let sides = |group: &str, unit| {
        [Column::before(), Column::after(), Column::new("others")]
            .map(|column| column.in_unit(unit).under(group))
    };
    let columns = [sides("rank", Unit::Rank), sides("probability", Unit::Probability)].concat();
    let mut table = Table::new("\"Warsaw\"", columns);
    let row = Row::new("prompt").cell(1_usize).cell(175_usize).cell(96_usize);
    table.push(row.cell(0.6142).value(0.00002).cell(0.0003).note("rank 1 is the most probable"));
    let samples = |count| Cell::Of { count, of: 32 };
    table.push(Row::new("samples").cell(samples(21)).cell(samples(0)).cell(samples(0)));
    table
}

fn curve() -> Figure {
    let (x, y) = (Axis::new("step", Unit::Count), Axis::new("loss", Unit::Nats));
    let mut figure = Figure::lines("Training", x, y);
    figure
        .series
        .push(Series::new("forget", (0..40).map(|x| [f64::from(x), 4. - 0.1 * f64::from(x)])));
    figure.series.push(Series::new("retain", [[0., 1.5], [39., 1.4]]));
    figure
}

fn report() -> Report {
    let completion = |after: Option<&str>| {
        Completion {
        prompt: "The Statue of Liberty stands in".into(),
        before: "the country of the United States.\nIt is large, and seen from afar, so that ships know it.".into(),
        after: after.map(str::to_owned),
    }
    };
    let sentence = "The edit took: the model says Rome after the prompt and after 3 of 4 \
                    paraphrases, and what no edit is about stays.";
    let verdict =
        Verdict { state: State::Took, reasons: Vec::new(), sentence: sentence.to_owned() };
    let report = Report::new("edit", "tiny", &serde_json::json!({ "n": 1 })).expect("plain data");
    let mut report = report
        .section(measures())
        .section(Section::titled("What can be recovered").block(ranks()))
        .section(curve())
        .section(vec![completion(Some("the country of Italy."))])
        .note("patch", "tiny.patch.safetensors (28 KB, spec and hashes inside)");
    report.verdict = Some(verdict);
    let ask = "rescribe ask --model smollm2 --patch tiny.patch.safetensors \"It stands in\"";
    report.next = Some(ask.to_owned());
    report
}

#[test]
fn a_terminal_shows_aligned_tables() {
    let text = text::render(&report(), 80, &text::plain);
    assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    insta::assert_snapshot!(text, @r#"
                    before   after       n  95 % interval
          efficacy    0.00    1.00       1      0.21-1.00  P(new) > P(true) after
                                                           the prompt
        paraphrase    0.00    0.75       4      0.30-0.95  P(new) > P(true) after
                                                           other wordings of the
                                                           prompt
             drift       -  0.0011     381                 KL, nats a token
            ripple       -       -       0

    What can be recovered

                                   rank          probability
          "Warsaw"  before after others  before after others
            prompt       1   175     96  0.6142  2e-5 0.0003  rank 1 is the most
                                                              probable
           samples   21/32  0/32   0/32       -     -

            forget  ██▇▇▇▆▆▆▆▅▅▅▄▄▄▃▃▃▃▂▂▂▁▁  4.00 to 0.1000
            retain  █▁  1.50 to 1.40

    "The Statue of Liberty stands in"
      before  the country of the United States. It is large, and seen from afar, …
      after   the country of Italy.

    The edit took: the model says Rome after the prompt and after 3 of 4
    paraphrases, and what no edit is about stays.

       patch  tiny.patch.safetensors (28 KB, spec and hashes inside)
        next  rescribe ask --model smollm2 --patch tiny.patch.safetensors \
                "It stands in"
    "#);
}

#[test]
fn markdown_shows_the_same() {
    insta::assert_snapshot!(markdown::render(&report()), @r#"
    # rescribe edit: tiny

    The edit took: the model says Rome after the prompt and after 3 of 4 paraphrases, and what no edit is about stays.

    |  | before | after | n | 95 % interval |  |
    |---|---:|---:|---:|---:|---|
    | efficacy | 0.00 | 1.00 | 1 | 0.21-1.00 | P(new) > P(true) after the prompt |
    | paraphrase | 0.00 | 0.75 | 4 | 0.30-0.95 | P(new) > P(true) after other wordings of the prompt |
    | drift | - | 0.0011 | 381 |  | KL, nats a token |
    | ripple | - | - | 0 |  |  |

    ## What can be recovered

    | "Warsaw" | rank, before | rank, after | rank, others | probability, before | probability, after | probability, others |  |
    |---|---:|---:|---:|---:|---:|---:|---|
    | prompt | 1 | 175 | 96 | 0.6142 | 2e-5 | 0.0003 | rank 1 is the most probable |
    | samples | 21/32 | 0/32 | 0/32 | - | - |  |  |

    Training: loss

    | step | forget | retain |
    |---:|---:|---:|
    | 0 | 4.00 | 1.50 |
    | 2 | 3.80 |  |
    | 5 | 3.50 |  |
    | 7 | 3.30 |  |
    | 10 | 3.00 |  |
    | 13 | 2.70 |  |
    | 15 | 2.50 |  |
    | 18 | 2.20 |  |
    | 20 | 2.00 |  |
    | 23 | 1.70 |  |
    | 26 | 1.40 |  |
    | 28 | 1.20 |  |
    | 31 | 0.90 |  |
    | 33 | 0.70 |  |
    | 36 | 0.40 |  |
    | 39 | 0.1000 | 1.40 |

    | prompt | before | after |
    |---|---|---|
    | The Statue of Liberty stands in | the country of the United States. It is large, and seen from afar, so that ships know it. | the country of Italy. |

    - patch: tiny.patch.safetensors (28 KB, spec and hashes inside)

    ```console
    $ rescribe ask --model smollm2 --patch tiny.patch.safetensors "It stands in"
    ```
    "#);
}

#[test]
fn json_has_the_data_of_tables_and_figures() {
    let mut report = report();
    report.sections.truncate(1);
    let json = serde_json::to_string_pretty(&report).expect("plain data");
    insta::assert_snapshot!(json, @r#"
    {
      "schema": 2,
      "command": "edit",
      "model": "tiny",
      "verdict": {
        "state": "took",
        "reasons": [],
        "sentence": "The edit took: the model says Rome after the prompt and after 3 of 4 paraphrases, and what no edit is about stays."
      },
      "sections": [
        {
          "title": null,
          "blocks": [
            {
              "table": {
                "label_head": "",
                "columns": [
                  {
                    "head": "before",
                    "unit": null,
                    "side": "before"
                  },
                  {
                    "head": "after",
                    "unit": null,
                    "side": "after"
                  },
                  {
                    "head": "n",
                    "unit": "count",
                    "side": "neither"
                  },
                  {
                    "head": "95 % interval",
                    "unit": null,
                    "side": "neither"
                  }
                ],
                "rows": [
                  {
                    "label": "efficacy",
                    "unit": "share",
                    "cells": [
                      0.0,
                      1.0,
                      1,
                      {
                        "low": 0.2065493117918027,
                        "high": 1.0
                      }
                    ],
                    "note": "P(new) > P(true) after the prompt",
                    "value": 1.0
                  },
                  {
                    "label": "paraphrase",
                    "unit": "share",
                    "cells": [
                      0.0,
                      0.75,
                      4,
                      {
                        "low": 0.3006418400969081,
                        "high": 0.954412739704631
                      }
                    ],
                    "note": "P(new) > P(true) after other wordings of the prompt",
                    "value": 0.75
                  },
                  {
                    "label": "drift",
                    "unit": "nats",
                    "cells": [
                      null,
                      0.0011,
                      381,
                      null
                    ],
                    "note": "KL, nats a token",
                    "value": 0.0011
                  },
                  {
                    "label": "ripple",
                    "unit": "share",
                    "cells": [
                      null,
                      null,
                      0
                    ],
                    "value": null
                  }
                ],
                "has_measures": true
              }
            }
          ]
        }
      ],
      "notes": [
        {
          "label": "patch",
          "text": "tiny.patch.safetensors (28 KB, spec and hashes inside)"
        }
      ],
      "next": "rescribe ask --model smollm2 --patch tiny.patch.safetensors \"It stands in\"",
      "data": {
        "n": 1
      }
    }
    "#);
}

#[test]
fn colours_do_not_move_columns() {
    let paint = |tone, text: &str| match tone {
        text::Tone::After => format!("<{text}>"),
        _ => text.to_owned(),
    };
    let painted = text::render(&report(), 80, &paint);
    let bare = painted.replace(['<', '>'], "");
    let plain = text::render(&report(), 80, &text::plain);
    assert_eq!(bare, plain.replace(['<', '>'], ""));
    assert!(painted.contains("<1.00>") && painted.contains("<the country of Italy.>"), "{painted}");
}

#[test]
fn a_measure_is_found_by_the_name_that_the_table_shows() {
    let report = report();
    assert_eq!(report.measure("Paraphrase"), Some(Some(0.75)));
    assert_eq!(report.measure("ripple"), Some(None));
    assert_eq!(report.measure("speed"), None);
    let table = |head: &str, value| {
        let mut table = Table::new(head, [Column::after()]);
        table.push(Row::of("hold-out NLL", Unit::Nats).value(value));
        table
    };
    let two = report.section(table("learn", 1.)).section(table("forget", 2.));
    assert_eq!(two.measure("forget hold_out  nll"), Some(Some(2.)));
    assert_eq!(two.measure("hold-out NLL"), None, "which of the two?");
}

#[test]
fn what_is_too_wide_is_squeezed_before_it_overflows() {
    let heads = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let mut table = Table::of_items("东京", heads.map(Column::new));
    let row = heads.iter().fold(Row::new("全部"), |row, _| row.cell(12.345));
    table.push(row.note("a note that has no room beside its row"));
    let report = Report::new("probe", "tiny", &()).expect("plain data").section(table);
    let text = text::render(&report, 80, &text::plain);
    assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    insta::assert_snapshot!(text, @r"
    东京    one   two three  four  five   six seven eight  nine
    全部  12.35 12.35 12.35 12.35 12.35 12.35 12.35 12.35 12.35
          a note that has no room beside its row
    ");
}

#[test]
fn a_table_without_rows_is_not_shown_and_orders_to_a_terminal_are_escaped() {
    let mut table = Table::new("", [Column::after()]);
    let report = Report::new("probe", "tiny", &()).expect("plain data");
    assert_eq!(text::render(&report.clone().section(table.clone()), 80, &text::plain), "");
    table.push(Row::new("\u{1b}[2J").cell("\u{9b}2J").note("\u{7}"));
    let report = report.section(table).section("\u{1b}]0;title".to_owned()).note("a", "\u{8}");
    let shown = text::render(&report, 80, &text::plain);
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    for part in ["\\u{1b}[2J", "\\u{9b}2J", "\\u{7}", "\\u{1b}]0;title", "\\u{8}"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
