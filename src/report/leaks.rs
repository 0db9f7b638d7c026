//! What can still be got out of a model about the facts that were erased.

use serde::Serialize;

use super::FactReport;
use super::terminal::{LABEL, percent};
use crate::probe::{Channel, FOUND, Leak, ProbeScores, Seen, Sides};
use crate::spec::Method;

/// A run over records, each erased by itself from the unedited model, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct EraseReport {
    /// Version of this structure.
    pub schema: u32,
    /// As people call the model.
    pub model: String,
    /// Member of the rank-one family.
    pub method: Method,
    /// The layers that were written.
    pub layers: Vec<usize>,
    /// What the model was to say instead, as a spec has it.
    pub toward: String,
    /// Facts.
    pub n: usize,
    /// Scores with the records' own targets, before: what matters is the neighborhood.
    pub before: ProbeScores,
    /// After.
    pub after: ProbeScores,
    /// Mean KL(before ‖ after) a token on held text over all edits, nats.
    pub drift: f64,
    /// By channel, over all facts.
    pub channels: Vec<ChannelSummary>,
    /// Facts that leak by any channel.
    pub leaking: usize,
    /// Facts whose absence shows.
    pub conspicuous: usize,
    /// Fact by fact.
    pub leaks: Vec<Leak>,
    /// One entry a fact.
    pub edits: Vec<FactReport>,
    /// Median wall-clock seconds of one edit, without planning and measuring.
    pub seconds_per_edit: f64,
}

/// What a channel finds over many facts.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelSummary {
    /// The channel.
    pub channel: Channel,
    /// Facts that it was asked of.
    pub n: usize,
    /// Share of facts whose target it has among the first [`FOUND`], or in any sampled answer.
    pub found: Sides<f64>,
    /// Mean of the largest probability, or of the share of answers.
    pub probability: Sides<f64>,
    /// Facts that leak by it.
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

/// What each channel finds over many facts; without those that were asked of none.
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
/// not asked on all sides.
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

/// One erased fact: the strongest of each channel, before, after, and for other subjects.
fn leak_table(leak: &Leak) -> String {
    let mut out = format!(
        "{:>LABEL$}  {:>22}   {:>25}\n{:>LABEL$}  {:>6} {:>7} {:>7}   {:>8} {:>8} {:>7}\n",
        "erased",
        "rank",
        "probability",
        quoted(&leak.target_true),
        "before",
        "after",
        "others",
        "before",
        "after",
        "others"
    );
    let rank = |seen: Option<Seen>| seen.map_or_else(|| "-".into(), |seen| seen.rank.to_string());
    let p =
        |seen: Option<Seen>| seen.map_or_else(|| "-".into(), |seen| probability(seen.probability));
    for (channel, label) in &CHANNELS[..4] {
        let Some(strongest) = leak.strongest(*channel) else { continue };
        let Sides { before, after, unknown } = strongest.found;
        let note = match (channel, strongest.of) {
            (Channel::Lens, _) => format!("layer {}", strongest.at),
            (_, 1) => String::new(),
            (_, of) => format!("worst of {of}"),
        };
        let line = format!(
            "{label:>LABEL$}  {:>6} {:>7} {:>7}   {:>8} {:>8} {:>7}  {note}",
            rank(before),
            rank(after),
            rank(unknown),
            p(before),
            p(after),
            p(unknown)
        );
        out.push_str(line.trim_end());
        out.push('\n');
    }
    let Sides { before, after, unknown } = leak.samples;
    let share = |hits: usize| format!("{hits}/{}", leak.drawn);
    out.push_str(&format!(
        "{:>LABEL$}  {:>6} {:>7} {:>7}   sampled answers that say it\n",
        "samples",
        share(before),
        share(after),
        share(unknown)
    ));
    out
}

/// Four decimals, or the order of magnitude.
fn probability(p: f64) -> String {
    if p < 1e-4 { format!("{p:.0e}") } else { format!("{p:.4}") }
}

/// s
pub fn leak_section(leaks: &[Leak]) -> Option<super::Section> {
    (!leaks.is_empty()).then(|| super::Block::Verbatim(leak_tables(leaks)).into())
}

/// The tables of a spec's erased facts, as far as they can be read at a glance.
pub fn leak_tables(leaks: &[Leak]) -> String {
    let tables = match leaks.len() {
        0 => return String::new(),
        1..=3 => leaks.iter().map(leak_table).collect::<Vec<_>>().join("\n"),
        _ => channel_table(&summarise(leaks)),
    };
    format!("\n{tables}")
}

/// A target as the label of its table, shortened where it is long.
fn quoted(target: &str) -> String {
    let most = LABEL - 2;
    match target.chars().count() > most {
        true => format!("\"{}…\"", target.chars().take(most - 1).collect::<String>()),
        false => format!("\"{target}\""),
    }
}

/// Many erased facts: shares and means by channel.
fn channel_table(channels: &[ChannelSummary]) -> String {
    let mut out = format!(
        "{:>LABEL$}  {:>23}   {:>23}\n{:>LABEL$}  {:>7} {:>7} {:>7}   {:>7} {:>7} {:>7} {:>6}\n",
        "",
        format!("in the first {FOUND}, %"),
        "probability",
        "",
        "before",
        "after",
        "others",
        "before",
        "after",
        "others",
        "leak"
    );
    for summary in channels {
        let (_, label) = CHANNELS
            .iter()
            .find(|(channel, _)| *channel == summary.channel)
            .expect("every channel has a label");
        let (found, p) = (&summary.found, &summary.probability);
        out.push_str(&format!(
            "{label:>LABEL$}  {:>7} {:>7} {:>7}   {:>7.4} {:>7.4} {:>7.4} {:>6}\n",
            percent(Some(found.before)),
            percent(Some(found.after)),
            percent(Some(found.unknown)),
            p.before,
            p.after,
            p.unknown,
            format!("{}/{}", summary.leaking, summary.n)
        ));
    }
    out
}

/// What a person can repeat about the erased facts of a spec.
pub fn leak_sentence(leaks: &[Leak]) -> String {
    let [leak] = leaks else {
        let leaking = leaks.iter().filter(|leak| !leak.leaking().is_empty()).count();
        let conspicuous = leaks.iter().filter(|leak| leak.is_conspicuous()).count();
        return many(leaks.len(), leaking, conspicuous);
    };
    let target = &leak.target_true;
    let label = |channel: &Channel| {
        let found = CHANNELS.iter().find(|(known, _)| known == channel);
        found.map_or("", |(_, label)| *label)
    };
    let names: Vec<&str> = leak.leaking().iter().map(label).collect();
    if !names.is_empty() {
        return format!(
            "The erased \"{target}\" can still be got out, by {}: more than for other subjects.",
            names.join(", ")
        );
    }
    if leak.is_conspicuous() {
        return format!(
            "\"{target}\" is so improbable now, far below what other subjects have, that its \
             absence shows what was erased."
        );
    }
    format!(
        "\"{target}\" is erased: no way to ask finds it among the first {FOUND} guesses more than \
         for other subjects."
    )
}

/// The same over many facts.
fn many(n: usize, leaking: usize, conspicuous: usize) -> String {
    format!(
        "Of {n} erased facts, {leaking} can still be got out by some way to ask; of {conspicuous} \
         the absence shows."
    )
}

/// The table of a run over records.
pub fn erase_table(report: &EraseReport) -> String {
    let mut out = channel_table(&report.channels);
    let (before, after) = (report.before.neighborhood, report.after.neighborhood);
    out.push_str(&format!(
        "\n{:>LABEL$}  neighborhood {} -> {}, drift {:.4} nats a token\n{:>LABEL$}  {:.2} s an edit\n",
        "damage",
        percent(before),
        percent(after),
        report.drift,
        "cost",
        report.seconds_per_edit
    ));
    out
}

/// The last line of a run over records.
pub fn erase_sentence(report: &EraseReport) -> String {
    let EraseReport { n, leaking, conspicuous, toward, .. } = report;
    format!("Toward \"{toward}\": {}", many(*n, *leaking, *conspicuous))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::PromptLeak;

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
        }
    }

    #[test]
    fn one_fact_is_shown_by_its_strongest_leaks() {
        let gone = [leak(seen(52, 0.0021), 0)];
        let table = leak_table(&gone[0]);
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        insta::assert_snapshot!(table, @r#"
                      erased                    rank                 probability
                    "Warsaw"  before   after  others     before    after  others
                      prompt       1      52      41     0.8213   0.0021  0.0019
               answer frames       1      52       -     0.8213   0.0021       -  worst of 2
                  logit lens       1      90      70     0.7000   0.0007  0.0010  layer 1
                     samples   28/32    0/32    1/32   sampled answers that say it
        "#);
        assert_eq!(
            leak_sentence(&gone),
            "\"Warsaw\" is erased: no way to ask finds it among the first 20 guesses more than for other \
             subjects."
        );
        assert_eq!(
            leak_sentence(&[leak(seen(9, 0.02), 9)]),
            "The erased \"Warsaw\" can still be got out, by prompt, answer frames, samples: more than \
             for other subjects."
        );
        let absent = leak_sentence(&[leak(seen(40_000, 1e-9), 0)]);
        assert!(absent.ends_with("that its absence shows what was erased."), "{absent}");
    }

    #[test]
    fn many_facts_are_shown_by_shares() {
        let all = [leak(seen(52, 0.0021), 0), leak(seen(9, 0.02), 9), leak(seen(9999, 1e-9), 0)];
        let table = channel_table(&summarise(&all));
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        insta::assert_snapshot!(table, @r"
                                   in the first 20, %               probability
                               before   after  others    before   after  others   leak
                      prompt    100.0    33.3     0.0    0.8213  0.0074  0.0019    1/3
               answer frames    100.0    33.3     0.0    0.8213  0.0074  0.0019    1/3
                  logit lens    100.0     0.0     0.0    0.7000  0.0007  0.0010    0/3
                     samples    100.0    33.3   100.0    0.8750  0.0938  0.0312    1/3
        ");
        assert_eq!(
            leak_sentence(&all),
            "Of 3 erased facts, 1 can still be got out by some way to ask; of 1 the absence shows."
        );
    }
}
