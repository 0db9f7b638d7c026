//! The members of the rank-one family, against their published formulas and each other.

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use rescribe::ops::WeightLayout;
use rescribe::rank_one::SymmetricEigen;
use rescribe::rank_one::{Factored, RankOneError, Request, solve};

const D_K: usize = 14;
const D_V: usize = 6;
/// Relative to the largest entry of ΔW: the factors are rounded to f32, and Gaussian elimination
/// on a matrix with a condition of some thousands loses a few digits of f64.
const TOLERANCE: f64 = 2e-5;

type Matrix = Vec<Vec<f64>>;

fn matrix(rows: usize, columns: usize) -> impl Strategy<Value = Matrix> {
    let row = proptest::collection::vec(-1f64..1., columns);
    // Rounded to f32, which is how keys and residuals come in.
    let round = |matrix: Matrix| {
        let row = |row: Vec<f64>| row.into_iter().map(|x| f64::from(x as f32)).collect();
        matrix.into_iter().map(row).collect()
    };
    proptest::collection::vec(row, rows).prop_map(round)
}

/// C = Σ x xᵀ + 0.1 I.
fn second_moment() -> impl Strategy<Value = Matrix> {
    matrix(2 * D_K, D_K).prop_map(|samples| {
        let entry = |i: usize, j: usize| samples.iter().map(|x| x[i] * x[j]).sum::<f64>();
        let ridge = |i, j| if i == j { 0.1 } else { 0. };
        (0..D_K).map(|i| (0..D_K).map(|j| entry(i, j) + ridge(i, j)).collect()).collect()
    })
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let entry = |row: &Vec<f64>, j: usize| row.iter().zip(b).map(|(a, b)| a * b[j]).sum();
    a.iter().map(|row| (0..b[0].len()).map(|j| entry(row, j)).collect()).collect()
}

fn transposed(a: &Matrix) -> Matrix {
    (0..a[0].len()).map(|j| a.iter().map(|row| row[j]).collect()).collect()
}

fn sum(a: &Matrix, b: &Matrix, factor: f64) -> Matrix {
    let row =
        |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a + factor * b).collect();
    a.iter().zip(b).map(row).collect()
}

fn identity() -> Matrix {
    (0..D_K).map(|i| (0..D_K).map(|j| f64::from(u8::from(i == j))).collect()).collect()
}

/// X with X A = B, by Gaussian elimination with pivots on Aᵀ Xᵀ = Bᵀ.
fn right_divided(b: &Matrix, a: &Matrix) -> Matrix {
    let (mut a, mut x) = (transposed(a), transposed(b));
    let n = a.len();
    for column in 0..n {
        let larger = |i: &usize, j: &usize| a[*i][column].abs().total_cmp(&a[*j][column].abs());
        let pivot = (column..n).max_by(larger).expect("a row");
        a.swap(column, pivot);
        x.swap(column, pivot);
        for row in (0..n).filter(|row| *row != column) {
            let factor = a[row][column] / a[column][column];
            let (above, with) = (a[column].clone(), x[column].clone());
            a[row].iter_mut().zip(&above).for_each(|(a, b)| *a -= factor * b);
            x[row].iter_mut().zip(&with).for_each(|(x, w)| *x -= factor * w);
        }
    }
    for (row, a) in x.iter_mut().zip(&a).enumerate().map(|(i, (row, a))| (row, a[i])) {
        row.iter_mut().for_each(|x| *x /= a);
    }
    transposed(&x)
}

fn narrow(rows: &Matrix) -> Vec<Vec<f32>> {
    rows.iter().map(|row| row.iter().map(|x| *x as f32).collect()).collect()
}

/// ΔW [d_v, d_k] of a solve; `keys`, `residuals` and `kept` are lists of vectors.
fn solved(
    factored: &Factored,
    (keys, residuals, kept): (&Matrix, &Matrix, &Matrix),
    lambda: f64,
) -> Result<Matrix, RankOneError> {
    let weight = Tensor::ones((D_V, D_K), candle_core::DType::F32, &Device::Cpu)?;
    let (keys, residuals, kept) = (narrow(keys), narrow(residuals), narrow(kept));
    let request = Request { keys, residuals, kept };
    let written = solve(factored, &request, lambda, &weight, WeightLayout::OutIn)?;
    let stored = Tensor::ones((D_K, D_V), candle_core::DType::F32, &Device::Cpu)?;
    let other = solve(factored, &request, lambda, &stored, WeightLayout::InOut)?;
    let dense = written.change.to_dense()?;
    let across = other.change.to_dense()?.t()?.contiguous()?;
    let difference: f32 = (&dense - across)?.abs()?.flatten_all()?.max(0)?.to_scalar()?;
    assert!(difference < 1e-5, "both layouts hold one change");
    let rows = dense.to_vec2::<f32>()?;
    Ok(rows.iter().map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect())
}

fn factored(c: &Matrix) -> Factored {
    Factored::new(c.concat(), D_K, 0., 0).expect("positive definite")
}

/// P of AlphaEdit as a matrix, and as the solver holds it.
fn null_space(c: &Matrix) -> (Matrix, Factored) {
    let eigen = SymmetricEigen::new(c.concat(), D_K).expect("it converges");
    let factored = Factored::null_space(&eigen, 0.5);
    let kept = eigen.vectors.chunks(D_K).take(factored.dimensions());
    let vectors: Matrix = kept.map(<[f64]>::to_vec).collect();
    (product(&transposed(&vectors), &vectors), factored)
}

/// The mean of kᵀMk, to which λ is relative.
fn scale(keys: &Matrix, metric: impl Fn(&Matrix) -> Matrix) -> f64 {
    let weighed = metric(keys);
    let dots =
        keys.iter().zip(&weighed).map(|(k, m)| k.iter().zip(m).map(|(a, b)| a * b).sum::<f64>());
    dots.sum::<f64>() / keys.len() as f64
}

fn agree(found: &Matrix, expected: &Matrix) -> Result<(), TestCaseError> {
    let largest = expected.iter().flatten().fold(1e-9f64, |largest, x| largest.max(x.abs()));
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        let error = (found - expected).abs() / largest;
        prop_assert!(error < TOLERANCE, "{found} against {expected}: {error:e}");
    }
    Ok(())
}

fn batch(n: usize) -> impl Strategy<Value = (Matrix, Matrix)> {
    (matrix(n, D_K), matrix(n, D_V))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn emmet_gives_every_key_its_value((c, (k, r)) in (second_moment(), batch(4))) {
        let change = solved(&factored(&c), (&k, &r, &vec![]), 0.).expect("independent keys");
        agree(&product(&k, &transposed(&change)), &r)?;
    }

    #[test]
    fn emmet_is_memit_without_lambda((c, (k, r)) in (second_moment(), batch(4))) {
        let factored = factored(&c);
        let emmet = solved(&factored, (&k, &r, &vec![]), 0.).expect("independent keys");
        agree(&solved(&factored, (&k, &r, &vec![]), 1e-10).expect("definite"), &emmet)?;
    }

    #[test]
    fn rome_is_emmet_of_one_fact((c, (k, r)) in (second_moment(), batch(1))) {
        // δ (C⁻¹k)ᵀ / (kᵀC⁻¹k), as published.
        let direction = right_divided(&k, &c);
        let scale = scale(&k, |k| right_divided(k, &c));
        let rome: Matrix =
            r[0].iter().map(|r| direction[0].iter().map(|d| r * d / scale).collect()).collect();
        agree(&solved(&factored(&c), (&k, &r, &vec![]), 0.).expect("one key"), &rome)?;
    }

    #[test]
    fn memit_is_as_published(
        (c, (k, r), lambda) in (second_moment(), batch(5), 1e-3f64..10.)
    ) {
        // R Kᵀ (λC + KKᵀ)⁻¹ with an absolute λ.
        let absolute = lambda * scale(&k, |k| right_divided(k, &c));
        let outer = product(&transposed(&k), &k);
        let published = right_divided(&product(&transposed(&r), &k), &sum(&outer, &c, absolute));
        agree(&solved(&factored(&c), (&k, &r, &vec![]), lambda).expect("definite"), &published)?;
    }

    #[test]
    fn alphaedit_is_as_published(
        (c, (k, r), lambda) in (second_moment(), batch(4), 1e-2f64..10.)
    ) {
        // R KᵀP (KKᵀP + λI)⁻¹.
        let (p, factored) = null_space(&c);
        let absolute = lambda * scale(&k, |k| product(k, &p));
        let outer = product(&product(&transposed(&k), &k), &p);
        let numerator = product(&product(&transposed(&r), &k), &p);
        let published = right_divided(&numerator, &sum(&outer, &identity(), absolute));
        agree(&solved(&factored, (&k, &r, &vec![]), lambda).expect("definite"), &published)?;
    }

    #[test]
    fn sequential_alphaedit_keeps_past_keys_in_the_batch(
        (c, (k, r), past, lambda) in (second_moment(), batch(3), matrix(4, D_K), 1e-2f64..10.)
    ) {
        // R KᵀP (KpKpᵀP + KKᵀP + λI)⁻¹: the past keys stand in the batch with residual zero.
        let (p, factored) = null_space(&c);
        let all = [past.clone(), k.clone()].concat();
        let absolute = lambda * scale(&all, |k| product(k, &p));
        let outer = product(&product(&transposed(&all), &all), &p);
        let numerator = product(&product(&transposed(&r), &k), &p);
        let published = right_divided(&numerator, &sum(&outer, &identity(), absolute));
        let kept = solved(&factored, (&k, &r, &past), lambda).expect("definite");
        agree(&kept, &published)?;
        let zeros = vec![vec![0.; D_V]; past.len()];
        let appended = (&all, &[zeros, r.clone()].concat(), &vec![]);
        agree(&kept, &solved(&factored, appended, lambda).expect("definite"))?;
    }

    #[test]
    fn an_exact_solve_leaves_kept_keys_alone(
        (c, (k, r), past) in (second_moment(), batch(3), matrix(4, D_K))
    ) {
        let change = solved(&factored(&c), (&k, &r, &past), 0.).expect("independent keys");
        agree(&product(&k, &transposed(&change)), &r)?;
        let moved = product(&past, &transposed(&change));
        let largest = r.iter().flatten().fold(0f64, |largest, x| largest.max(x.abs()));
        prop_assert!(moved.iter().flatten().all(|x| x.abs() < 1e-4 * largest.max(0.1)), "{moved:?}");
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_by_name((c, (k, r)) in (second_moment(), batch(3))) {
        let (mut keys, factored) = (k.clone(), factored(&c));
        keys.push(k[1].clone());
        let residuals = [r.clone(), vec![r[0].clone()]].concat();
        let refused = solved(&factored, (&keys, &residuals, &vec![]), 0.);
        let is_named = matches!(refused, Err(RankOneError::SameKey { fact: 3, kept: 0 }));
        prop_assert!(is_named, "{refused:?}");
        prop_assert!(solved(&factored, (&keys, &residuals, &vec![]), 0.1).is_ok(), "memit can");
    }
}
