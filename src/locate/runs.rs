//! The runs of one fact: clean, with noise, and with states of the clean run restored, many at once.

use std::ops::RangeInclusive;

use candle_core::{Result, Tensor};

use super::TracedSite;
use super::positions::SubjectTokens;
use super::settings::TraceSettings;
use crate::model::{Batch, Decoder, KvCache, Random, Recorder, Site, Visit, Visitor};
use crate::ops::log_sum_exp;

/// Rows that one forward pass takes, at most, where one run has fewer.
const BATCH_ROWS: usize = 1024;

/// One prompt, run clean and with noise.
pub(super) struct Runs<'a> {
    decoder: &'a Decoder,
    ids: &'a [u32],
    samples: usize,
    /// The clean run's states by kind and layer, [tokens, hidden].
    states: [Vec<Tensor>; 3],
    /// The residual stream before each layer with noise, [samples · tokens, hidden].
    noisy: Vec<Tensor>,
    /// Keys and values of the runs with noise, one sequence after the other.
    cache: KvCache,
    /// The base's most probable next token.
    pub(super) answer: u32,
    /// Its probability in the clean run.
    pub(super) clean: f64,
    /// Its mean probability with noise.
    pub(super) corrupted: f64,
}

impl<'a> Runs<'a> {
    pub(super) fn new(
        decoder: &'a Decoder,
        subject: &'a SubjectTokens,
        settings: &TraceSettings,
        noise: f64,
    ) -> Result<Self> {
        let (ids, samples) = (subject.ids.as_slice(), settings.samples);
        let layers = decoder.config().layers;
        let batch = Batch::new(&[ids]);
        let sites = TracedSite::ALL.map(TracedSite::site);
        let wanted = (0..layers).flat_map(|layer| sites.map(|site| (layer, site)));
        let mut recorder = Recorder::of(wanted);
        let hidden = decoder.observe(&batch, None, &mut recorder)?;
        let hidden = hidden.expect("a recorder that does not stop");
        let logits = decoder.logits(&hidden, &batch.last_rows())?.to_vec2::<f32>()?.remove(0);
        let answer = largest(&logits);
        let mut taken = |site: Site| -> Result<Vec<Tensor>> {
            (0..layers).map(|layer| recorder.take(layer, site)).collect()
        };
        let states = [taken(sites[0])?, taken(sites[1])?, taken(sites[2])?];
        let cache = KvCache::new(decoder.config(), samples * ids.len(), decoder.device())?;
        let mut runs = Self {
            decoder,
            ids,
            samples,
            states,
            noisy: Vec::with_capacity(layers + 1),
            cache,
            answer,
            clean: probability(&logits, answer),
            corrupted: 0.,
        };
        runs.corrupt(subject, settings.seed, noise)?;
        Ok(runs)
    }

    /// Runs the prompt with noise, once for each draw.
    fn corrupt(&mut self, subject: &SubjectTokens, seed: u64, noise: f64) -> Result<()> {
        let decoder = self.decoder;
        let layers = decoder.config().layers;
        let batch = Batch::filling(&vec![self.ids; self.samples]);
        let clean = decoder.embed(&batch)?;
        let hidden = (&clean + self.noise(subject, seed, noise, &clean)?)?;
        let mut recorder = Recorder::of((0..layers).map(|layer| (layer, Site::Residual)));
        let cache = Some(&self.cache);
        let last = decoder.run_layers(0..layers, hidden.clone(), &batch, cache, &mut recorder)?;
        let last = last.expect("a recorder that does not stop");
        self.noisy.push(hidden);
        for layer in 0..layers {
            self.noisy.push(recorder.take(layer, Site::Residual)?);
        }
        let found = self.probabilities(&decoder.logits(&last, &batch.last_rows())?)?;
        self.corrupted = mean(&found);
        Ok(())
    }

    /// Draws for the subject's rows, zeros elsewhere; each draw has a stream of its own.
    fn noise(
        &self,
        subject: &SubjectTokens,
        seed: u64,
        noise: f64,
        like: &Tensor,
    ) -> Result<Tensor> {
        let width = like.dims2()?.1;
        let mut values = vec![0f32; self.samples * self.ids.len() * width];
        for (sample, rows) in values.chunks_mut(self.ids.len() * width).enumerate() {
            let mut random = Random::named(seed, &format!("trace {sample} {}", subject.text));
            let own = subject.subject.start * width..subject.subject.end * width;
            rows[own].iter_mut().for_each(|it| *it = (noise * random.normal()) as f32);
        }
        Tensor::from_vec(values, like.shape(), like.device())
    }

    /// The mean probability of the answer with the clean states of `layers` restored, at each of
    /// these tokens in turn.
    pub(super) fn restored(
        &self,
        site: TracedSite,
        layers: RangeInclusive<usize>,
        places: &[usize],
    ) -> Result<Vec<f64>> {
        let all = (0..self.samples).flat_map(|sample| places.iter().map(move |at| (sample, *at)));
        let all: Vec<(usize, usize)> = all.collect();
        let mut found = Vec::with_capacity(all.len());
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            let mut rows = 0;
            let fits = |(_, at): &&(usize, usize)| {
                rows += self.ids.len() - at;
                rows <= BATCH_ROWS
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (group, later) = rest.split_at(count);
            found.extend(self.group(site, layers.clone(), group)?);
            rest = later;
        }
        let of_place = |place: usize| {
            let own: Vec<f64> = found.iter().skip(place).step_by(places.len()).copied().collect();
            mean(&own)
        };
        Ok((0..places.len()).map(of_place).collect())
    }

    /// Some pairs of draw and token, in one forward pass.
    fn group(
        &self,
        site: TracedSite,
        layers: RangeInclusive<usize>,
        pairs: &[(usize, usize)],
    ) -> Result<Vec<f64>> {
        let (tokens, depth) = (self.ids.len(), self.decoder.config().layers);
        let mut batch = Batch::default();
        let (mut noisy, mut clean, mut is_restored) = (Vec::new(), Vec::new(), Vec::new());
        for (sample, at) in pairs {
            let start = sample * tokens;
            batch.push(&self.ids[*at..], start..start + at, None);
            noisy.extend((*at..tokens).map(|place| (start + place) as u32));
            clean.extend((*at..tokens).map(|place| place as u32));
            is_restored.extend((*at..tokens).map(|place| if place == *at { 1f32 } else { 0. }));
        }
        let device = self.decoder.device();
        let is_restored = Tensor::from_vec(is_restored, (batch.rows(), 1), device)?;
        let mut restore = Restore {
            site: site.site(),
            layers: layers.clone(),
            is_kept: (1. - &is_restored)?,
            is_restored,
            places: Tensor::new(clean, device)?,
            states: &self.states[site as usize],
        };
        let noisy = Tensor::new(noisy, device)?;
        let before = |layer: usize| self.noisy[layer].index_select(&noisy, 0);
        let (first, hidden) = match site {
            // The stream after the layer is put together from both runs; nothing below is run.
            TracedSite::Residual => {
                let next = layers.end() + 1;
                (next, restore.mixed(*layers.end(), &before(next)?)?)
            }
            TracedSite::Mlp | TracedSite::Attention => (*layers.start(), before(*layers.start())?),
        };
        let cache = Some(&self.cache);
        let last = self.decoder.run_layers(first..depth, hidden, &batch, cache, &mut restore)?;
        let last = last.expect("a visitor that does not stop");
        self.probabilities(&self.decoder.logits(&last, &batch.last_rows())?)
    }

    /// The answer's probability in each row of logits.
    fn probabilities(&self, logits: &Tensor) -> Result<Vec<f64>> {
        Ok(logits.to_vec2::<f32>()?.iter().map(|row| probability(row, self.answer)).collect())
    }
}

/// Puts states of the clean run in the place of those with noise.
struct Restore<'a> {
    site: Site,
    layers: RangeInclusive<usize>,
    /// 1 for a row that is restored, [rows, 1].
    is_restored: Tensor,
    /// 1 for a row that is not, [rows, 1].
    is_kept: Tensor,
    /// The token of each row.
    places: Tensor,
    /// The clean states by layer.
    states: &'a [Tensor],
}

impl Restore<'_> {
    fn mixed(&self, layer: usize, rows: &Tensor) -> Result<Tensor> {
        let clean = self.states[layer].index_select(&self.places, 0)?;
        rows.broadcast_mul(&self.is_kept)? + clean.broadcast_mul(&self.is_restored)?
    }
}

impl Visitor for Restore<'_> {
    fn visit(&mut self, layer: usize, site: Site, rows: &Tensor) -> Result<Visit> {
        if site == self.site && self.layers.contains(&layer) {
            return Ok(Visit::Substitute(self.mixed(layer, rows)?));
        }
        Ok(Visit::Keep)
    }
}

fn largest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    best.map_or(0, |(token, _)| token as u32)
}

fn probability(logits: &[f32], token: u32) -> f64 {
    f64::from(logits[token as usize] - log_sum_exp(logits)).exp()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::model::Model;
    use crate::progress::Silent;

    #[test]
    fn a_layer_that_is_restored_at_every_token_gives_the_clean_answer() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama/model");
        let model = Model::open(&folder, &Device::Cpu, &Silent).expect("the fixture");
        let ids = model.tokenizer.encode("The Eiffel Tower is in").expect("tokenised").ids;
        let tokens = ids.len();
        let text = "The Eiffel Tower is in".to_owned();
        let subject = SubjectTokens { text, ids, subject: 0..tokens - 2, is_erased: false };
        let settings = TraceSettings { samples: 1, ..TraceSettings::default() };
        let runs = Runs::new(&model.decoder, &subject, &settings, 9.).expect("runs");
        assert!((runs.corrupted - runs.clean).abs() > 1e-4, "the noise does something");
        let ones = Tensor::ones((tokens, 1), candle_core::DType::F32, &Device::Cpu);
        let ones = ones.expect("a column");
        let places: Vec<u32> = (0..tokens as u32).collect();
        let mut restore = Restore {
            site: Site::Residual,
            layers: 0..=0,
            is_kept: (1. - &ones).expect("zeros"),
            is_restored: ones,
            places: Tensor::new(places, &Device::Cpu).expect("places"),
            states: &runs.states[0],
        };
        let (batch, depth) = (Batch::new(&[&subject.ids]), model.decoder.config().layers);
        let start = runs.noisy[0].clone();
        let last = model.decoder.run_layers(0..depth, start, &batch, None, &mut restore);
        let last = last.expect("a run").expect("it does not stop");
        let logits = model.decoder.logits(&last, &batch.last_rows()).expect("logits");
        let found = runs.probabilities(&logits).expect("a probability")[0];
        assert!((found - runs.clean).abs() < 1e-5, "{found} {}", runs.clean);
    }
}
