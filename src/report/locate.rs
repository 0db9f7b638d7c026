//! A causal trace as a report: which states bring the answer back, by layer and class of token.

use super::{
    Axis, Column, Figure, FigureKind, PromptShift, Report, Row, Section, Series, Table, Told, Unit,
    sweep_section,
};
use crate::locate::{CausalTrace, ClassEffects, PositionClass, TracedSite};
use crate::probe::PromptKind;
use crate::progress::counted;
use crate::run::LayerSweep;

/// The report of a trace, with the sweep of layers where there is one.
pub fn locate_report(
    trace: &CausalTrace,
    sweep: Option<&LayerSweep>,
) -> serde_json::Result<Report> {
    let data = serde_json::json!({ "trace": trace, "sweep": sweep });
    let mut report = Report::new("locate", &trace.model, &data)?.section(peaks(trace));
    let maps = Section::detail("What each state brings back where it alone is restored");
    let maps = TracedSite::ALL.into_iter().map(|site| heat(trace, site)).fold(maps, Section::block);
    report = report.section(maps).section(facts(trace));
    if let Some(sweep) = sweep {
        report = report.section(sweep_section(sweep));
    }
    let sites = format!(
        "{} of {} layers · windows of {} for MLP and attention · {} of noise, {:.3} wide, seed {}",
        trace.layers.len(),
        trace.depth,
        trace.window,
        counted(trace.samples, "draw"),
        trace.noise,
        trace.seed
    );
    Ok(report.note("trace", sites))
}

/// The class of a site, where some token of it was traced.
fn of(trace: &CausalTrace, site: TracedSite, class: PositionClass) -> Option<&ClassEffects> {
    trace.classes.iter().find(|it| (it.site, it.class) == (site, class))
}

/// Where each kind of state brings back most, token by token.
fn peaks(trace: &CausalTrace) -> Section {
    let pair = |site: TracedSite| {
        let column = |head: &str, unit| Column::of(head, unit).under(site.name());
        [column("effect", Unit::Plain(3)), column("layer", Unit::Count)]
    };
    let columns = TracedSite::ALL.into_iter().flat_map(pair).chain([Column::n()]);
    let mut table = Table::of_items("token", columns.collect::<Vec<_>>());
    for class in PositionClass::ALL {
        let mut row = Row::new(class.name());
        let mut n = None;
        for site in TracedSite::ALL {
            let found = of(trace, site, class);
            let peak = found.and_then(|it| it.peak(&trace.layers));
            n = n.or(found.map(|it| it.n));
            row = row.cell(peak.map(|it| it.1)).cell(peak.map(|it| it.0));
        }
        if n.is_some() {
            table.push(row.cell(n));
        }
    }
    Section::titled("Largest indirect effect, and at which layer:").block(table).block(said(trace))
}

/// What the trace says, in a sentence or two.
fn said(trace: &CausalTrace) -> String {
    let n = trace.facts.len().max(1) as f64;
    let mean = |value: fn(&crate::locate::TracedFact) -> f64| {
        trace.facts.iter().map(value).sum::<f64>() / n
    };
    let (clean, noisy) = (mean(|it| it.clean), mean(|it| it.corrupted));
    let facts = counted(trace.facts.len(), "fact");
    let first = format!(
        "Over {facts}, the base's own answer has the probability {clean:.3}, and {noisy:.3} with \
         noise on the subject."
    );
    let peak = |class: PositionClass| {
        let (layer, effect) = of(trace, TracedSite::Mlp, class)?.peak(&trace.layers)?;
        (effect > 0.).then_some((class, layer, effect))
    };
    let peaks = PositionClass::ALL.into_iter().filter_map(peak);
    match peaks.reduce(|best, other| if other.2 > best.2 { other } else { best }) {
        Some((class, layer, effect)) => format!(
            "{first} Of the MLPs, those around layer {layer} at the {} bring back most: \
             {effect:.3}.",
            class.name()
        ),
        None => format!("{first} No MLP brings any of it back."),
    }
}

/// The effects of one kind of state: a row for each class, a field for each layer.
fn heat(trace: &CausalTrace, site: TracedSite) -> Figure {
    let x = match site {
        TracedSite::Residual => "layer",
        TracedSite::Mlp | TracedSite::Attention => "middle of the window of layers",
    };
    let y = Axis::new("indirect effect on P(answer)", Unit::Plain(3));
    let title = format!("Restored: {}", restored(site));
    let ticks = trace.layers.iter().map(usize::to_string).collect();
    let x = Axis { ticks, ..Axis::new(x, Unit::Count) };
    let mut figure = Figure::lines(title, x, y).drawn_as(FigureKind::Heat);
    for class in PositionClass::ALL {
        let Some(found) = of(trace, site, class) else { continue };
        let points = found.effects.iter().enumerate().map(|(at, effect)| [at as f64, *effect]);
        figure.series.push(Series::new(class.name(), points));
    }
    figure
}

fn restored(site: TracedSite) -> &'static str {
    match site {
        TracedSite::Residual => "the residual stream after a layer",
        TracedSite::Mlp => "the output of MLPs",
        TracedSite::Attention => "the output of attentions",
    }
}

/// Each fact with the probability of its answer, clean and with noise.
fn facts(trace: &CausalTrace) -> Section {
    let told = |probability| Some(Told { probability: Some(probability), is_said: None });
    let shift = |fact: &crate::locate::TracedFact| PromptShift {
        kind: PromptKind::Rewrite,
        prompt: fact.prompt.clone(),
        target: Some(fact.answer.clone()),
        is_erased: fact.is_erased,
        before: told(fact.clean),
        after: told(fact.corrupted),
    };
    let shifts: Vec<PromptShift> = trace.facts.iter().take(LISTED).map(shift).collect();
    let title = "The base's own answers: how probable, clean and then with noise on the subject";
    Section::detail(title).block(shifts)
}

/// Facts that are listed.
const LISTED: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locate::{SiteProbabilities, TracedFact, TracedToken};
    use crate::report::{html, text};

    fn trace() -> CausalTrace {
        let classes = [PositionClass::LastSubject, PositionClass::Last];
        let effects = |site, at: f64| {
            classes.map(|class| ClassEffects { site, class, n: 1, effects: vec![at, 0.2, 0.1] })
        };
        let token = |class| TracedToken { position: 1, text: " Tower".into(), class };
        let site = |site| SiteProbabilities { site, probabilities: vec![vec![0.4; 3]; 2] };
        CausalTrace {
            model: "tiny".into(),
            depth: 6,
            layers: vec![0, 2, 4],
            window: 1,
            samples: 10,
            noise: 0.12,
            seed: 0,
            facts: vec![TracedFact {
                prompt: "The Eiffel Tower is in".into(),
                answer: "Paris".into(),
                is_erased: false,
                clean: 0.6,
                corrupted: 0.1,
                tokens: classes.map(token).to_vec(),
                restored: TracedSite::ALL.map(site).to_vec(),
            }],
            classes: [
                effects(TracedSite::Residual, 0.3),
                effects(TracedSite::Mlp, 0.25),
                effects(TracedSite::Attention, -0.1),
            ]
            .concat(),
        }
    }

    #[test]
    fn a_terminal_shows_peaks_and_a_page_the_maps() {
        let report = locate_report(&trace(), None).expect("plain data");
        let shown = text::render(&report, 80, &text::plain);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        insta::assert_snapshot!(shown, @r#"
          Largest indirect effect, and at which layer:

                            residual stream              MLP        attention
                     token  effect    layer   effect   layer   effect   layer        n
        last subject token   0.300        0    0.250       0    0.200       2        1
                last token   0.300        0    0.250       0    0.200       2        1

          Over 1 fact, the base's own answer has the probability 0.600, and 0.100 with
          noise on the subject. Of the MLPs, those around layer 0 at the last subject
          token bring back most: 0.250.

             trace  3 of 6 layers · windows of 1 for MLP and attention · 10 draws of
                    noise, 0.120 wide, seed 0
        "#);
        let page = html::render(&report).expect("rendered");
        assert_eq!(page.matches("class=\"heat\"").count(), 18);
        assert!(page.contains("Where tiny holds its facts") && page.contains("Paris"));
    }

    #[test]
    fn a_trace_without_effect_says_so() {
        let mut trace = trace();
        trace.classes.iter_mut().for_each(|it| it.effects = vec![-0.1; 3]);
        assert!(said(&trace).ends_with("brings any of it back."));
    }
}
