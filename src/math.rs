//! Pure numbers under everything else: matrix products, solves, optimisers. Knows no models.

mod adam;
mod adamw;
mod cholesky;
mod eigen;
mod interval;
mod kolmogorov;
mod matmul;
mod random;

pub use adam::Adam;
pub use adamw::{AdamW, Moments, Step, sum_of_squares};
pub use cholesky::{Cholesky, Entries, NotPositiveDefinite};
pub use eigen::{NoConvergence, SymmetricEigen};
pub use interval::{Interval, mean_interval, share_interval, share_mean_interval};
pub use kolmogorov::{KolmogorovSmirnov, kolmogorov_smirnov};
pub use matmul::{Numbers, add_gram, add_tn, matmul_nn, matmul_nt, matmul_tn};
pub use random::Random;
