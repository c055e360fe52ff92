use crate::chunks;
use crate::error::{KernelError, check_length, volume};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// Sums over the examples of a call to [`softmax_cross_entropy`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LossSums {
    /// Sum of the losses, label smoothing included, added up in double precision in the order of
    /// the examples.
    pub loss: f64,
    /// Number of examples whose largest logit (the first of equals) is not the label's, NaN
    /// logits included.
    pub errors: u64,
}

/// The maximum of a row; NaN if any is.
#[inline(always)]
fn maximum<S: Simd>(s: S, row: &[S::Scalar]) -> S::Scalar {
    let mut vectors = row.chunks_exact(S::LANES);
    let mut best = s.splat(row[0]);
    for vector in &mut vectors {
        let vector = s.load(vector);
        best = s.select(s.gt_or_nan(vector, best), vector, best);
    }
    let mut maximum = row[0];
    for &x in s.to_array(best)[..S::LANES]
        .iter()
        .chain(vectors.remainder())
    {
        if x > maximum || x.partial_cmp(&x).is_none() {
            maximum = x;
        }
    }
    maximum
}

/// `Σ eˣ⁻ᵐᵃˣ` over a row, the terms written to `terms` where it is given.
#[inline(always)]
fn exponentials<S: Simd>(
    s: S,
    row: &[S::Scalar],
    max: S::Scalar,
    mut terms: Option<&mut [S::Scalar]>,
) -> S::Scalar {
    let max = s.splat(max);
    let mut sum = s.zero();
    for (i, vector) in row.chunks(S::LANES).enumerate() {
        let vector = if vector.len() == S::LANES {
            s.load(vector)
        } else {
            // Lanes after the row's end must add nothing.
            let mut filled = [S::Scalar::from_f64(f64::NEG_INFINITY); 16];
            filled[..vector.len()].copy_from_slice(vector);
            s.load(&filled)
        };
        let term = s.exp(s.sub(vector, max));
        sum = s.add(sum, term);
        if let Some(terms) = &mut terms {
            s.store(&mut terms[i * S::LANES..], term);
        }
    }
    s.sum(sum)
}

struct Share<'a, T> {
    classes: usize,
    smoothing: f64,
    scale: f64,
    logits: &'a [T],
    labels: &'a [u32],
    dlogits: Option<&'a mut [T]>,
    /// Loss and error of each example.
    out: &'a mut [f64],
}

impl<T: Real> Kernel<T> for Share<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(mut self, s: S) {
        let classes = self.classes;
        let each = self.smoothing / classes as f64;
        for (i, (row, &label)) in self
            .logits
            .chunks_exact(classes)
            .zip(self.labels)
            .enumerate()
        {
            let label = label as usize;
            let max = maximum(s, row);
            let mut gradient = self
                .dlogits
                .as_deref_mut()
                .map(|d| &mut d[i * classes..(i + 1) * classes]);
            let sum = exponentials(s, row, max, gradient.as_deref_mut());
            let mut loss =
                max.to_f64() + sum.to_f64().ln() - (1.0 - self.smoothing) * row[label].to_f64();
            if self.smoothing > 0.0 {
                loss -= each * row.iter().map(|x| x.to_f64()).sum::<f64>();
            }
            let right = row[label] == max && !row[..label].contains(&max);
            self.out[2 * i] = loss;
            self.out[2 * i + 1] = if right { 0.0 } else { 1.0 };
            if let Some(gradient) = &mut gradient {
                let factor = s.splat(T::from_f64(self.scale / sum.to_f64()));
                let shift = s.splat(T::from_f64(-self.scale * each));
                for vector in gradient.chunks_mut(S::LANES) {
                    s.store(vector, s.fma(s.load(vector), factor, shift));
                }
                gradient[label] =
                    gradient[label] - T::from_f64(self.scale * (1.0 - self.smoothing));
            }
        }
    }
}

/// Softmax cross-entropy with label smoothing, and its gradient in the same pass.
///
/// The loss of an example with logits `z` and label `y` among `K` classes is
/// `−Σₖ qₖ ln softmax(z)ₖ` with `q = (1 − ε)·[k = y] + ε/K`, ε = `smoothing` in `0..1` (Szegedy et
/// al. 2016). `logits` are `[n, classes]`, `labels` `[n]`; where `dlogits` is given it is
/// overwritten with `scale · ∂ loss / ∂ logits`, `scale` being 1 for a sum and `1/weight` for a
/// mean over the step.
///
/// # Errors
/// When a slice does not have its shape's length, a label is not below `classes`, or ε is out of
/// range.
pub fn softmax_cross_entropy<T: Real>(
    workspace: &Workspace,
    classes: usize,
    logits: &[T],
    labels: &[u32],
    smoothing: f64,
    scale: f64,
    dlogits: Option<&mut [T]>,
) -> Result<LossSums, KernelError> {
    if classes == 0 {
        return Err(KernelError::Shape(
            "cross-entropy over 0 classes: choose at least 1".to_owned(),
        ));
    }
    check_length("logits", logits, volume(&[labels.len(), classes])?)?;
    if let Some(dlogits) = &dlogits {
        check_length("dlogits", dlogits, logits.len())?;
    }
    if !(0.0..1.0).contains(&smoothing) {
        return Err(KernelError::Setting {
            name: "smoothing",
            value: smoothing,
            range: "at least 0 and below 1",
        });
    }
    if let Some(position) = labels.iter().position(|&label| label as usize >= classes) {
        return Err(KernelError::Index {
            argument: "labels",
            position,
            value: labels[position],
            bound: classes,
        });
    }
    let piece = chunks::piece(labels.len(), chunks::FLAT.div_ceil(8 * classes));
    let mut out = workspace.take::<f64>(2 * labels.len());
    let shares = logits
        .chunks(piece * classes)
        .zip(labels.chunks(piece))
        .zip(chunks::optional_mut(dlogits, piece * classes))
        .zip(out.chunks_mut(2 * piece))
        .map(|(((logits, labels), dlogits), out)| Share {
            classes,
            smoothing,
            scale,
            logits,
            labels,
            dlogits,
            out,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    let mut sums = LossSums::default();
    for example in out.chunks_exact(2) {
        sums.loss += example[0];
        sums.errors += u64::from(example[1] != 0.0);
    }
    Ok(sums)
}
