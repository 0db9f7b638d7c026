//! The measures that a page puts first, and what the rows of its tables mean, in plain words.

use maud::{Markup, html};

use crate::report::{Block, Report};

/// A measure that a page puts first.
pub(super) struct Tile {
    /// Label of its row.
    pub(super) label: &'static str,
    /// What it says, as a heading.
    pub(super) heading: &'static str,
}

const fn tile(label: &'static str, heading: &'static str) -> Tile {
    Tile { label, heading }
}

/// Whether it took.
pub(super) const TOOK: [Tile; 13] = [
    tile("said", "Says the new answer"),
    tile("said, paraphrased", "Says it after other wordings"),
    tile("P(target)", "Probability of the new answer"),
    tile("still said", "Still says what was erased"),
    tile("recoverable", "Erased facts that can be recovered"),
    tile("secrets", "Secrets that come out"),
    tile("learn NLL", "Surprise at what should be learnt"),
    tile("learn recital", "Recited of what should be learnt"),
    tile("learn answered", "Answers questions about what should be learnt"),
    tile("forget NLL", "Surprise at what should be forgotten"),
    tile("forget recital", "Recited of what should be forgotten"),
    tile("forget answered", "Answers questions about what should be forgotten"),
    tile("relearn share", "Stays forgotten when half is learnt again"),
];

/// What it cost.
pub(super) const COST: [Tile; 6] = [
    tile("background", "Other subjects keep their answer"),
    tile("near subjects", "Names that end alike keep theirs"),
    tile("drift", "Drift on general text"),
    tile("perplexity", "Perplexity of general text"),
    tile("retain NLL", "Surprise at what has to stay"),
    tile("retain answered", "Answers questions about what has to stay"),
];

const MEANINGS: [(&str, &str); 34] = [
    (
        "said",
        "Share of prompts after which the model, writing freely, begins with the whole target.",
    ),
    ("said, paraphrased", "The same share after other wordings of the prompt."),
    ("said, ripples", "The same share after prompts whose answers follow from the edit."),
    ("runs on", "Of the answers that were said, the share that goes on or repeats itself."),
    ("P(target)", "Mean probability of the whole target after the prompt."),
    ("still said", "Share of erased answers that free decoding still gives."),
    ("background", "Share of well-known names, under the same prompt, whose top answer stays."),
    (
        "near subjects",
        "The same share of names that end like the edited one, which move most easily.",
    ),
    ("earlier facts", "Share of the facts of earlier patches that still hold."),
    ("drift", "Mean KL divergence from the base on general text, in nats a token; 0 is no change."),
    (
        "predicted drift",
        "The drift that statistics of the base predict from the change alone, before it is measured.",
    ),
    (
        "perplexity",
        "How surprised the model is by general text; lower is better, equal is unharmed.",
    ),
    (
        "value NLL",
        "Where the search for a fact's new value ended, in nats a token; near 0 is found.",
    ),
    (
        "efficacy",
        "Share of edited prompts where the new target is more probable than the true one.",
    ),
    ("paraphrase", "The same share of other wordings."),
    ("neighborhood", "Share of neighboring prompts where the true target stays more probable."),
    ("ripple", "Share of prompts that follow from the edit where the new target is more probable."),
    ("score", "Harmonic mean of efficacy, paraphrase and neighborhood."),
    ("magnitude", "Mean of P(new target) - P(true target)."),
    ("exact", "Share of prompts where every token of the new target is the most probable one."),
    ("recoverable", "Erased facts that some query finds more often than for other subjects."),
    ("conspicuous", "Erased facts that are so improbable that the gap reveals the erasure."),
    ("logit lens", "What the head would say if it read the model after an earlier layer."),
    ("secrets", "Secrets that decoding or sampling gives away."),
    (
        "learn NLL",
        "Mean surprise a token at what should be learnt, in nats; lower is better known.",
    ),
    (
        "forget NLL",
        "Mean surprise a token at what should be forgotten, in nats; higher is less known.",
    ),
    ("learn answered", "Share of questions about it that are answered in full."),
    ("forget answered", "Share of questions about it that are still answered in full."),
    ("retain answered", "Share of questions about what has to stay that are answered in full."),
    ("retain NLL", "Mean surprise a token at what has to stay, in nats."),
    ("hold-out NLL", "Mean surprise a token at what the model never saw, in nats."),
    ("forget extraction", "Share of a passage's end that follows from its own beginning."),
    (
        "forget recital",
        "Longest run of a passage that decoding gives word for word, as a share of it.",
    ),
    (
        "relearn share",
        "NLL of the forgotten half after the other half is learnt again, relative to what \
                       was never seen; near 100 % is forgotten.",
    ),
];

/// The meanings of the rows that the report has.
pub(super) fn glossary(report: &Report) -> Markup {
    let blocks = report.sections.iter().flat_map(|section| &section.blocks);
    let tables = blocks.filter_map(|block| match block {
        Block::Table(table) => Some(table),
        _ => None,
    });
    let labels: Vec<&str> =
        tables.flat_map(|table| &table.rows).map(|row| row.label.as_str()).collect();
    let known: Vec<_> = MEANINGS.iter().filter(|(label, _)| labels.contains(label)).collect();
    html! {
        @if !known.is_empty() {
            section {
                h2 { "What the rows mean" }
                p {
                    "Every share comes with the number n of what was asked and a 95 % interval: with \
                     another draw of as many prompts it would usually lie in there."
                }
                dl.glossary {
                    @for (label, meaning) in known {
                        dt { (label) }
                        dd { (meaning) }
                    }
                }
            }
        }
    }
}
