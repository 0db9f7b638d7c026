//! Pure numbers under everything else: matrix products, statistics, solves. Knows no models.

pub mod matmul;
