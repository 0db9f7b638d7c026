//! `[verdict]`: the thresholds of a run, as far as the user specified them.

use super::settings::{Kind::*, Reals, settings};

settings! {
    /// `[verdict]` as written: `None` is a threshold that the user left out.
    VerdictOptions = ["verdict"], flags "verdict-" {
        /// Share of rewrite prompts whose whole target free decoding must say [default: 1].
        said: f64 = Real(Reals::from_zero(1.));
        /// Share of paraphrases whose whole target free decoding must say, and of questions about
        /// learnt passages that must be answered [default: 0.5].
        paraphrases: f64 = Real(Reals::from_zero(1.));
        /// Share of other subjects whose top answer must stay [default: 0.9].
        background: f64 = Real(Reals::from_zero(1.));
        /// Share of names that end like the edited one whose top answer must stay [default: 0].
        near: f64 = Real(Reals::from_zero(1.));
        /// Largest drift on general text, in nats a token [default: 0.1].
        drift: f64 = Real(Reals::from_zero(1e3));
        /// Largest perplexity on general text, relative to the base [default: 1.1].
        perplexity: f64 = Real(Reals::above_zero(1e6));
        /// NLL, in nats a token, above which an optimisation did not converge [default: 1].
        nll: f64 = Real(Reals::from_zero(1e3));
        /// Share of a passage said word for word that counts as learnt by heart [default: 0.9].
        recital: f64 = Real(Reals::from_zero(1.));
        /// NLL of forgotten passages after the rest of them is learnt again, as a share of that
        /// under models that never saw them [default: 0.9].
        relearn: f64 = Real(Reals::from_zero(1e3));
        /// Share of the questions about forgotten passages that may be answered, and of the base's own
        /// statements about their subjects that may still be made, beyond the share where they were
        /// never seen [default: 0.1].
        answered: f64 = Real(Reals::from_zero(1.));
        /// Share of the questions about retained passages, of those answered before, that must still
        /// be answered [default: 0.9].
        kept: f64 = Real(Reals::from_zero(1.));
    }
}
