//! Erased facts as sections of a report: what is still recoverable about them.

use serde::Serialize;

use super::Section;
use super::table::{Cell, Column, Row, Side, Table, Unit};
use crate::probe::{Channel, FOUND, Leak, Seen, Sides};

/// Summary of what a channel finds over many facts.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelSummary {
    /// The channel of recovery.
    pub channel: Channel,
    /// Number of facts that it was tried on.
    pub n: usize,
    /// Share of facts whose target it ranks among the first [`FOUND`], or finds in a sampled
    /// answer.
    pub found: Sides<f64>,
    /// Mean of the largest probability, or of the share of answers.
    pub probability: Sides<f64>,
    /// Number of facts that leak through it.
    pub leaking: usize,
}

const CHANNELS: [(Channel, &str); 5] = [
    (Channel::Prompt, "prompt"),
    (Channel::Paraphrase, "paraphrases"),
    (Channel::Frame, "answer frames"),
    (Channel::Lens, "logit lens"),
    (Channel::Samples, "samples"),
];

/// Whether a channel finds a fact, and its probability there.
type Found = (Sides<bool>, Sides<f64>);

/// Summaries of all channels that were tried on at least one of many facts.
pub fn summarise(leaks: &[Leak]) -> Vec<ChannelSummary> {
    let summaries = CHANNELS.iter().map(|(channel, _)| summary(leaks, *channel));
    summaries.filter(|summary| summary.n > 0).collect()
}

fn summary(leaks: &[Leak], channel: Channel) -> ChannelSummary {
    let each: Vec<Found> = leaks.iter().filter_map(|leak| of_fact(leak, channel)).collect();
    let n = each.len();
    let mean =
        |value: &dyn Fn(&Found) -> f64| each.iter().map(value).sum::<f64>() / n.max(1) as f64;
    let share = |is_found: bool| f64::from(u8::from(is_found));
    ChannelSummary {
        channel,
        n,
        found: Sides {
            before: mean(&|(found, _)| share(found.before)),
            after: mean(&|(found, _)| share(found.after)),
            unknown: mean(&|(found, _)| share(found.unknown)),
        },
        probability: Sides {
            before: mean(&|(_, p)| p.before),
            after: mean(&|(_, p)| p.after),
            unknown: mean(&|(_, p)| p.unknown),
        },
        leaking: leaks.iter().filter(|leak| leak.leaking().contains(&channel)).count(),
    }
}

/// Whether a channel finds a fact, and how probable it then is, at best; nothing where it was
/// not tried on all sides.
fn of_fact(leak: &Leak, channel: Channel) -> Option<Found> {
    if channel == Channel::Samples {
        let share = |hits: usize| hits as f64 / leak.drawn as f64;
        let Sides { before, after, unknown } = leak.samples;
        let found = Sides { before: before > 0, after: after > 0, unknown: unknown > 0 };
        let shares = Sides { before: share(before), after: share(after), unknown: share(unknown) };
        return Some((found, shares));
    }
    let all = leak.channel(channel);
    let side = |pick: fn(&Sides<Option<Seen>>) -> Option<Seen>| {
        let seen: Vec<Seen> = all.iter().filter_map(pick).collect();
        let best = seen.iter().map(|seen| seen.probability).reduce(f64::max)?;
        Some((seen.iter().any(|seen| seen.rank <= FOUND), best))
    };
    let (before, after) = (side(|it| it.before)?, side(|it| it.after)?);
    let unknown = side(|it| it.unknown)?;
    let found = Sides { before: before.0, after: after.0, unknown: unknown.0 };
    Some((found, Sides { before: before.1, after: after.1, unknown: unknown.1 }))
}

/// Columns before, after and for other subjects, under one head.
fn sides(group: &str, unit: Unit) -> [Column; 3] {
    // A prompt that could not be asked about other subjects has a dash as well.
    let others = Column { side: Side::Before, ..Column::new("others") };
    [Column::before(), Column::after(), others].map(|column| column.in_unit(unit).under(group))
}

/// The table of one erased fact: the strongest finding of each channel, before, after, and for
/// others.
fn leak_table(leak: &Leak) -> Table {
    let columns = [sides("rank", Unit::Rank), sides("probability", Unit::Probability)].concat();
    let mut table = Table::new(quoted(&leak.target_true), columns);
    let rank = |seen: Option<Seen>| seen.map(|seen| seen.rank);
    let p = |seen: Option<Seen>| seen.map(|seen| seen.probability);
    for (channel, label) in &CHANNELS[..4] {
        let Some(strongest) = leak.strongest(*channel) else { continue };
        let Sides { before, after, unknown } = strongest.found;
        let note = match (channel, strongest.of) {
            (Channel::Lens, _) => format!("layer {}", strongest.at),
            (_, 1) => String::new(),
            (_, of) => format!("worst of {of}"),
        };
        let row = Row::new(*label).cell(rank(before)).cell(rank(after)).cell(rank(unknown));
        table.push(row.cell(p(before)).value(p(after)).cell(p(unknown)).note(note));
    }
    let Sides { before, after, unknown } = leak.samples;
    let row = Row::new("samples").cell(Cell::Text(String::new()));
    let row = row.cell(Cell::Text(String::new())).cell(Cell::Text(String::new()));
    let row = [before, after, unknown]
        .map(|count| Cell::Of { count, of: leak.drawn })
        .into_iter()
        .fold(row, Row::cell);
    let value = Some(after as f64 / leak.drawn as f64);
    table.push(Row { value, ..row.note("answers that say it") });
    table
}

/// The tables of erased facts, one by one where they are few; nothing without such facts.
pub fn leak_section(leaks: &[Leak]) -> Option<Section> {
    let section = Section::titled("Whether the erased answers are still recoverable:");
    let section = match leaks.len() {
        0 => return None,
        1..=3 => leaks.iter().map(leak_table).fold(section, Section::block),
        _ => section.block(channel_table(&summarise(leaks))),
    };
    Some(section.block(counts(leaks)))
}

/// How many erased facts some query finds, and how many are revealed by the gap they left.
fn counts(leaks: &[Leak]) -> Table {
    let mut table = Table::new("", [Column::after(), Column::n()]);
    let mut row = |label: &str, is_one: fn(&Leak) -> bool, note: &str| {
        let found = leaks.iter().filter(|leak| is_one(leak)).count();
        let row = Row::of(label, Unit::Count).value(found as f64);
        table.push(row.cell(leaks.len()).note(note));
    };
    row("recoverable", |leak| !leak.leaking().is_empty(), "by some query");
    row("conspicuous", Leak::is_conspicuous, "by the gap they left");
    table
}

/// Columns of a target at the head of its table.
const TARGET: usize = 16;

/// A target as the head of its table, shortened where it is long.
fn quoted(target: &str) -> String {
    format!("\"{}\"", super::text::shortened(target, TARGET - 2))
}

/// The table of many erased facts: shares and means by channel.
fn channel_table(channels: &[ChannelSummary]) -> Table {
    let found = sides(&format!("in the first {FOUND}"), Unit::Share);
    let probability = sides("probability", Unit::Probability);
    let leak = [Column::new("leak")];
    let columns: Vec<Column> = found.into_iter().chain(probability).chain(leak).collect();
    let mut table = Table::new("erased", columns);
    for summary in channels {
        let (found, p) = (&summary.found, &summary.probability);
        let row = Row::new(label(summary.channel)).cell(found.before).value(found.after);
        let row = row.cell(found.unknown).cell(p.before).cell(p.after).cell(p.unknown);
        table.push(row.cell(Cell::Of { count: summary.leaking, of: summary.n }));
    }
    table
}

fn label(channel: Channel) -> &'static str {
    let found = CHANNELS.iter().find(|(known, _)| *known == channel);
    found.expect("every channel has a label").1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{ErasedFact, PromptLeak};
    use crate::report::{Report, text};

    fn shown(table: Table) -> String {
        let report = Report::new("edit", "tiny", &()).expect("plain data").section(table);
        let text = text::render(&report, 80, &text::plain);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        text
    }

    fn seen(rank: usize, probability: f64) -> Seen {
        Seen { rank, probability }
    }

    fn leak(after: Seen, hits: usize) -> Leak {
        let unknown = Some(seen(41, 0.0019));
        let asked = |channel, unknown| PromptLeak {
            channel,
            prompt: String::new(),
            found: Sides { before: Some(seen(1, 0.8213)), after: Some(after), unknown },
        };
        let layer =
            |p| Sides { before: seen(1, p), after: seen(90, 0.0007), unknown: seen(70, 1e-3) };
        Leak {
            subject: "Marie Curie".into(),
            prompt: "Marie Curie was born in the city of".into(),
            target_true: "Warsaw".into(),
            prompts: vec![
                asked(Channel::Prompt, unknown),
                asked(Channel::Frame, unknown),
                asked(Channel::Frame, None),
            ],
            layers: vec![layer(0.1), layer(0.7)],
            samples: Sides { before: 28, after: hits, unknown: 1 },
            drawn: 32,
            seed: 0,
            fact: ErasedFact::default(),
        }
    }

    #[test]
    fn one_fact_is_shown_by_its_strongest_leaks() {
        let gone = [leak(seen(52, 0.0021), 0)];
        insta::assert_snapshot!(shown(leak_table(&gone[0])), @r#"
                                      rank           probability
             "Warsaw"  before after others  before  after others
               prompt       1    52     41  0.8213 0.0021 0.0019
        answer frames       1    52      -  0.8213 0.0021      -  worst of 2
           logit lens       1    90     70  0.7000 0.0007 0.0010  layer 1
              samples                        28/32   0/32   1/32  answers that say it
        "#);
    }

    #[test]
    fn many_facts_are_shown_by_shares() {
        let all = [leak(seen(52, 0.0021), 0), leak(seen(9, 0.02), 9), leak(seen(9999, 1e-9), 0)];
        insta::assert_snapshot!(shown(channel_table(&summarise(&all))), @r"
                              in the first 20              probability
               erased  before   after  others   before   after  others     leak
               prompt    1.00    0.33    0.00   0.8213  0.0074  0.0019      1/3
        answer frames    1.00    0.33    0.00   0.8213  0.0074  0.0019      1/3
           logit lens    1.00    0.00    0.00   0.7000  0.0007  0.0010      0/3
              samples    1.00    0.33    1.00   0.8750  0.0938  0.0312      1/3
        ");
    }
}
