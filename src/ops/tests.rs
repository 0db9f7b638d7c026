//! Each custom operation against candle's own, values and gradients, and against finite differences.

use candle_core::{D, Device, Result, Tensor, Var};

use super::*;

/// f32 sums of a few dozen terms in another order.
const TOLERANCE: f32 = 2e-5;

fn random(shape: (usize, usize), seed: u32) -> Var {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.
    };
    let values: Vec<f32> = (0..shape.0 * shape.1).map(|_| next()).collect();
    Var::from_vec(values, shape, &Device::Cpu).expect("a matrix")
}

/// A scalar that weighs every output differently.
fn weigh(y: &Tensor) -> Result<Tensor> {
    let y = y.flatten_all()?;
    let weights: Vec<f32> = (0..y.elem_count()).map(|i| (i as f32 * 0.7).sin()).collect();
    (&y * Tensor::from_vec(weights, y.elem_count(), &Device::Cpu)?)?.sum_all()
}

fn worst(a: &Tensor, b: &Tensor) -> Result<f32> {
    (a - b)?.abs()?.flatten_all()?.max(D::Minus1)?.to_scalar()
}

/// Ours and candle's agree in value and in the gradient of every variable.
fn agree(name: &str, vars: &[&Var], ours: &Tensor, composed: &Tensor) -> Result<()> {
    let value = worst(ours, composed)?;
    assert!(value < TOLERANCE, "{name}: values differ by {value:e}");
    let (ours, composed) = (weigh(ours)?.backward()?, weigh(composed)?.backward()?);
    for (i, var) in vars.iter().enumerate() {
        let ours = ours.get(var).unwrap_or_else(|| panic!("{name}: operand {i} has no gradient"));
        let composed = composed.get(var).expect("candle's operations are differentiable");
        let difference = worst(ours, composed)?;
        assert!(difference < TOLERANCE, "{name}: gradient {i} differs by {difference:e}");
    }
    Ok(())
}

#[test]
fn linear_in_both_layouts() -> Result<()> {
    let (x, bias) = (random((7, 12), 1), random((1, 5), 2));
    let bias = bias.as_tensor().flatten_all()?;
    let bias = Var::from_tensor(&bias)?;
    let (stored, swapped) = (random((5, 12), 3), random((12, 5), 4));
    let ours = linear(&x, &stored, WeightLayout::OutIn, Some(&bias))?;
    let composed = x.matmul(&stored.t()?)?.broadcast_add(&bias)?;
    agree("out, in", &[&x, &stored, &bias], &ours, &composed)?;
    let ours = linear(&x, &swapped, WeightLayout::InOut, None)?;
    agree("in, out", &[&x, &swapped], &ours, &x.matmul(&swapped)?)
}

/// Numbers of a file that is no file.
struct Stored(Vec<half::bf16>);

impl StoredNumbers for Stored {
    fn numbers(&self) -> Numbers<'_> {
        Numbers::Bf16(&self.0)
    }
}

#[test]
fn a_stored_weight_computes_as_its_widened_copy() -> Result<()> {
    let (x, bias) = (random((7, 12), 1), random((1, 5), 2));
    let bias = Var::from_tensor(&bias.as_tensor().flatten_all()?)?;
    let frozen = bias.as_detached_tensor();
    for (layout, shape) in [(WeightLayout::OutIn, (5, 12)), (WeightLayout::InOut, (12, 5))] {
        let values = random(shape, 3).as_tensor().flatten_all()?.to_vec1::<f32>()?;
        let stored = Stored(values.into_iter().map(half::bf16::from_f32).collect());
        let stored = Weight::Stored(std::sync::Arc::new(stored), shape);
        let wide = stored.tensor()?;
        for bias in [None, Some(&frozen), Some(bias.as_tensor())] {
            let (y, other) = (stored.linear(&x, layout, bias)?, linear(&x, &wide, layout, bias)?);
            assert_eq!(worst(&y, &other)?, 0., "{layout:?}");
            let (of_y, of_other) = (weigh(&y)?.backward()?, weigh(&other)?.backward()?);
            let gradients = [&of_y, &of_other].map(|of| of.get(&x).expect("x is tracked"));
            assert_eq!(worst(gradients[0], gradients[1])?, 0., "{layout:?}");
            if let Some(bias) = bias.filter(|bias| bias.track_op()) {
                let gradients = [&of_y, &of_other].map(|of| of.get(bias).expect("so is b"));
                assert_eq!(worst(gradients[0], gradients[1])?, 0., "{layout:?}");
            }
        }
        let chosen = stored.rows(&[3, 0, 3])?;
        assert_eq!(worst(&chosen, &Weight::from(wide).rows(&[3, 0, 3])?)?, 0.);
        assert!(stored.rows(&[12]).is_err(), "a row beyond the table");
    }
    Ok(())
}

#[test]
fn frozen_weights_take_no_gradient() -> Result<()> {
    let (x, frozen) = (random((3, 4), 1), random((5, 4), 2).as_detached_tensor());
    let gradients = weigh(&linear(&x, &frozen, WeightLayout::OutIn, None)?)?.backward()?;
    assert!(gradients.get(&frozen).is_none() && gradients.get(&x).is_some());
    Ok(())
}

#[test]
fn norms() -> Result<()> {
    let x = random((6, 20), 5);
    let vector = |seed| Var::from_tensor(&random((1, 20), seed).as_tensor().flatten_all()?);
    let (weight, bias) = (vector(6)?, vector(7)?);
    let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?;
    let composed = x.broadcast_div(&scale)?.broadcast_mul(&weight)?;
    agree("rms", &[&x, &weight], &rms_norm(&x, &weight, 1e-5)?, &composed)?;
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let scale = (centred.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?;
    let composed = centred.broadcast_div(&scale)?.broadcast_mul(&weight)?.broadcast_add(&bias)?;
    agree("layer", &[&x, &weight, &bias], &layer_norm(&x, &weight, &bias, 1e-5)?, &composed)
}

#[test]
fn activations() -> Result<()> {
    let (x, up) = (random((9, 33), 8), random((9, 33), 9));
    let x = Var::from_tensor(&(x.as_tensor() * 4.)?)?;
    for (kind, composed) in [
        (Activation::Silu, x.silu()?),
        (Activation::GeluTanh, x.gelu()?),
        (Activation::Gelu, x.gelu_erf()?),
        (Activation::Relu, x.relu()?),
    ] {
        agree("plain", &[&x], &activate(&x, kind)?, &composed)?;
        agree("gated", &[&x, &up], &gate(&x, &up, kind)?, &(composed * up.as_tensor())?)?;
    }
    Ok(())
}

#[test]
fn norms_of_the_parts_of_a_row() -> Result<()> {
    let x = random((6, 20), 25);
    let weight = Var::from_tensor(&random((1, 5), 26).as_tensor().flatten_all()?)?;
    let parts = x.reshape((24, 5))?;
    let scale = (parts.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?;
    let composed = parts.broadcast_div(&scale)?.broadcast_mul(&weight)?.reshape((6, 20))?;
    agree("rms of parts", &[&x, &weight], &rms_norm(&x, &weight, 1e-5)?, &composed)
}

#[test]
fn rotation() -> Result<()> {
    let x = random((5, 24), 10);
    let spans = [Span { rows: 0..3, past: 0..0 }, Span { rows: 3..5, past: 0..7 }];
    for (pairing, head_dim, magnitude) in [
        (Pairing::Halves, 6, 1.),
        (Pairing::Neighbors, 6, 1.),
        (Pairing::Halves, 8, 1.2),
        (Pairing::Neighbors, 12, 0.8),
    ] {
        let inverse_frequencies = vec![1., 0.3, 0.1];
        let rotation = Rotation { inverse_frequencies, beyond: None, head_dim, pairing, magnitude };
        let table = RotaryTable::new(&spans, &rotation)?;
        let name = format!("{pairing:?} in {head_dim}");
        agree(&name, &[&x], &rotate(&x, &table)?, &rotary::composed(&x, &table)?)?;
    }
    Ok(())
}

/// By the definition, one head of four numbers, of which the first two rotate.
#[test]
fn rotation_of_hand_worked_numbers() -> Result<()> {
    let x = Tensor::new(&[[1f32, 2., 3., 4.]], &Device::Cpu)?;
    let rotation = |pairing, frequencies: &[f32], magnitude| Rotation {
        inverse_frequencies: frequencies.to_vec(),
        beyond: None,
        head_dim: 4,
        pairing,
        magnitude,
    };
    let spans = [Span { rows: 0..1, past: 0..1 }];
    let (s, c) = 0.5f32.sin_cos();
    let (t, d) = 0.25f32.sin_cos();
    for (rotation, expected) in [
        (rotation(Pairing::Halves, &[0.5], 2.), [2. * (c - 2. * s), 2. * (2. * c + s), 3., 4.]),
        (
            rotation(Pairing::Halves, &[0.5, 0.25], 1.),
            [c - 3. * s, 2. * d - 4. * t, 3. * c + s, 4. * d + 2. * t],
        ),
        (
            rotation(Pairing::Neighbors, &[0.5, 0.25], 1.),
            [c - 2. * s, 2. * c + s, 3. * d - 4. * t, 4. * d + 3. * t],
        ),
    ] {
        let turned = rotate(&x, &RotaryTable::new(&spans, &rotation)?)?;
        let difference = worst(&turned, &Tensor::new(&[expected], &Device::Cpu)?)?;
        assert!(difference < TOLERANCE, "{rotation:?}: {turned}");
    }
    Ok(())
}

/// Beyond the length other frequencies hold, and no sequence may be continued across it.
#[test]
fn rotation_beyond_a_length() -> Result<()> {
    let rotation = Rotation {
        inverse_frequencies: vec![1.],
        beyond: Some((4, vec![0.5])),
        head_dim: 2,
        pairing: Pairing::Halves,
        magnitude: 1.,
    };
    let last = |span: Span| -> Result<Vec<f32>> {
        let x = Tensor::new(&[1f32, 0.], &Device::Cpu)?.broadcast_as((span.rows.len(), 2))?;
        let turned = rotate(&x.contiguous()?, &RotaryTable::new(&[span], &rotation)?)?;
        turned.get(turned.dim(0)? - 1)?.to_vec1()
    };
    assert_eq!(last(Span { rows: 0..4, past: 0..0 })?, [3f32.cos(), 3f32.sin()]);
    assert_eq!(last(Span { rows: 0..5, past: 0..0 })?, [2f32.cos(), 2f32.sin()]);
    assert_eq!(last(Span { rows: 0..1, past: 0..5 })?, [2.5f32.cos(), 2.5f32.sin()]);
    let error = last(Span { rows: 0..2, past: 0..3 }).expect_err("refused").to_string();
    assert!(error.contains("grows from 3 to 5 tokens"), "{error}");
    Ok(())
}

#[test]
fn attention_over_spans_with_and_without_past() -> Result<()> {
    let shape = AttentionShape { heads: 4, kv_heads: 2, head_dim: 6 };
    let (q, k, v) = (random((47, 24), 11), random((47, 12), 12), random((47, 12), 13));
    let keys = random((9, 12), 14).as_detached_tensor();
    let values = random((9, 12), 15).as_detached_tensor();
    let past = Past { keys, values };
    let span = |rows, past| Span { rows, past };
    let spans = [span(0..3, 2..7), span(3..4, 0..0), span(4..45, 7..9), span(45..47, 2..7)];
    let plain = AttentionRule::from(shape);
    for rule in [
        plain,
        AttentionRule { window: Some(1), ..plain },
        AttentionRule { window: Some(5), scale: 0.7, ..plain },
        AttentionRule { window: Some(34), cap: Some(0.3), ..plain },
    ] {
        let ours = attention(&q, &k, &v, rule, &spans, Some(&past))?;
        let composed = attention::composed(&q, &k, &v, rule, &spans, Some(&past))?;
        agree(&format!("{rule:?}"), &[&q, &k, &v], &ours, &composed)?;
    }
    Ok(())
}

/// With a window, a row reads what it reads of the last rows alone.
#[test]
fn a_window_hides_what_came_before_it() -> Result<()> {
    let shape = AttentionShape { heads: 2, kv_heads: 1, head_dim: 4 };
    let (q, k, v) = (random((9, 8), 31), random((9, 4), 32), random((9, 4), 33));
    let whole = [Span { rows: 0..9, past: 0..0 }];
    let rule = AttentionRule { window: Some(3), ..shape.into() };
    let seen = attention(&q, &k, &v, rule, &whole, None)?.get(8)?;
    let last = |x: &Var| x.narrow(0, 6, 3);
    let three = [Span { rows: 0..3, past: 0..0 }];
    let alone = attention(&last(&q)?, &last(&k)?, &last(&v)?, shape.into(), &three, None)?;
    assert!(worst(&seen, &alone.get(2)?)? < TOLERANCE);
    Ok(())
}

#[test]
fn logits_by_hand_and_by_candle() -> Result<()> {
    let products = random((4, 300), 41);
    for rule in [
        LogitRule::default(),
        LogitRule { scale: 0.25, cap: None },
        LogitRule { scale: 3., cap: Some(1.5) },
    ] {
        let composed = rule.apply(products.as_tensor().clone())?;
        let mut logits = products.flatten_all()?.to_vec1::<f32>()?;
        rule.write(&mut logits);
        let mut gradient: Vec<f32> = (0..logits.len()).map(|i| (i as f32 * 0.7).sin()).collect();
        rule.write_gradient(&mut gradient, &rule.kept(&logits));
        let shaped = |values| Tensor::from_vec(values, (4, 300), &Device::Cpu);
        let expected = weigh(&composed)?.backward()?;
        let expected = expected.get(&products).expect("the logits depend on the products");
        assert!(worst(&shaped(logits)?, &composed)? < TOLERANCE, "{rule:?}");
        assert!(worst(&shaped(gradient)?, expected)? < TOLERANCE, "{rule:?}");
    }
    Ok(())
}

#[test]
fn token_nll_is_the_negative_log_softmax() -> Result<()> {
    let logits = Var::from_tensor(&(random((4, 1037), 16).as_tensor() * 8.)?)?;
    let targets = [3u32, 0, 1036, 500];
    let index = Tensor::new(&targets, &Device::Cpu)?.unsqueeze(1)?;
    let composed = candle_nn::ops::log_softmax(&logits, 1)?.gather(&index, 1)?.neg()?.squeeze(1)?;
    agree("nll", &[&logits], &token_nll(&logits, &targets)?, &composed)
}

#[test]
fn gradients_pass_a_finite_difference_check_through_a_chain() -> Result<()> {
    let x = random((6, 24), 20);
    let weight = random((24, 24), 21).as_detached_tensor();
    let ones = Tensor::ones(24, candle_core::DType::F32, &Device::Cpu)?;
    let shape = AttentionShape { heads: 4, kv_heads: 4, head_dim: 6 };
    let spans = [Span { rows: 0..6, past: 0..0 }];
    let chain = |x: &Tensor| -> Result<Tensor> {
        let h = rms_norm(x, &ones, 1e-5)?;
        let h = linear(&h, &weight, WeightLayout::OutIn, None)?;
        let h = attention(&h, &h, &h, shape.into(), &spans, None)?;
        let h = gate(&h, &h, Activation::Silu)?;
        token_nll(&h, &[1, 2, 3, 4, 5, 6])?.sum_all()
    };
    let gradient =
        chain(&x)?.backward()?.get(&x).expect("tracked").flatten_all()?.to_vec1::<f32>()?;
    let start = x.flatten_all()?.to_vec1::<f32>()?;
    let step = 1e-2;
    for i in (0..start.len()).step_by(13) {
        let at = |delta: f32| -> Result<f64> {
            let mut moved = start.clone();
            moved[i] += delta;
            chain(&Tensor::from_vec(moved, (6, 24), &Device::Cpu)?)?
                .to_scalar::<f32>()
                .map(f64::from)
        };
        let slope = (at(step)? - at(-step)?) / (2. * f64::from(step));
        let error = (slope - f64::from(gradient[i])).abs() / (1. + slope.abs());
        // Second differences of order step² plus the rounding of an f32 sum over the step.
        assert!(error < 2e-3, "entry {i}: {slope} by differences, {} by backward", gradient[i]);
    }
    Ok(())
}
