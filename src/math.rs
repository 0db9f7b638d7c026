//! Pure numbers under everything else: matrix products, solves, optimisers. Knows no models.

mod adam;
mod cholesky;
mod interval;
mod matmul;

pub use adam::Adam;
pub use cholesky::{Cholesky, NotPositiveDefinite};
pub use interval::{Interval, mean_interval, share_interval};
pub use matmul::{add_gram, matmul_nn, matmul_nt, matmul_tn};
