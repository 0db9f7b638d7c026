//! Pure numbers under everything else: matrix products, solves, optimisers. Knows no models.

mod adam;
mod adamw;
mod bootstrap;
mod cholesky;
mod correlation;
mod cosine;
mod eigen;
mod equivalence;
mod interval;
mod kolmogorov;
mod matmul;
mod random;
mod roc;

pub use adam::Adam;
pub use adamw::{AdamW, Moments, Step, sum_of_squares};
pub use bootstrap::{bootstrap, mean_bootstrap};
pub use cholesky::{Cholesky, Entries, NotPositiveDefinite};
pub use correlation::{correlation, quantile};
pub use cosine::cosine;
pub use eigen::{NoConvergence, SymmetricEigen};
pub use equivalence::{Equivalence, equivalence};
pub use interval::{Interval, mean_interval, share_interval, share_mean_interval};
pub use kolmogorov::{KolmogorovSmirnov, kolmogorov_smirnov};
pub use matmul::{Numbers, add_gram, add_tn, matmul_nn, matmul_nt, matmul_tn};
pub use random::Random;
pub use roc::{auc, true_positive_rate};
