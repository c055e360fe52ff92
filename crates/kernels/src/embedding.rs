use crate::chunks;
use crate::error::{KernelError, check_length, volume};
use crate::simd::Real;

/// Copies row `tokens[i]` of `table`, `[vocabulary, width]`, to row `i` of `out`,
/// `[tokens, width]`.
///
/// # Errors
/// When a token is not below the vocabulary or a slice does not have its shape's length.
pub fn embedding_gather<T: Real>(
    vocabulary: usize,
    width: usize,
    table: &[T],
    tokens: &[u32],
    out: &mut [T],
) -> Result<(), KernelError> {
    checked(vocabulary, width, tokens)?;
    check_length("table", table, vocabulary * width)?;
    check_length("out", out, tokens.len() * width)?;
    let piece = chunks::piece(tokens.len(), chunks::FLAT.div_ceil(width));
    let shares = tokens.chunks(piece).zip(out.chunks_mut(piece * width));
    chunks::for_each(shares, |(tokens, out)| {
        for (&token, out) in tokens.iter().zip(out.chunks_exact_mut(width)) {
            out.copy_from_slice(&table[token as usize * width..][..width]);
        }
    });
    Ok(())
}

/// *Adds* row `i` of `dout`, `[tokens, width]`, to row `tokens[i]` of `dtable`,
/// `[vocabulary, width]`, in the order of the tokens: the gradient of [`embedding_gather`].
///
/// # Errors
/// When a token is not below the vocabulary or a slice does not have its shape's length.
pub fn embedding_scatter_add<T: Real>(
    vocabulary: usize,
    width: usize,
    tokens: &[u32],
    dout: &[T],
    dtable: &mut [T],
) -> Result<(), KernelError> {
    checked(vocabulary, width, tokens)?;
    check_length("dtable", dtable, vocabulary * width)?;
    check_length("dout", dout, tokens.len() * width)?;
    // Each piece owns a range of rows and goes through all tokens, so a row's sum has one order.
    let piece = chunks::piece(vocabulary, vocabulary.div_ceil(8));
    chunks::for_each(dtable.chunks_mut(piece * width).enumerate(), |(i, rows)| {
        let owned = i * piece..i * piece + rows.len() / width;
        for (&token, dout) in tokens.iter().zip(dout.chunks_exact(width)) {
            let token = token as usize;
            if owned.contains(&token) {
                let row = &mut rows[(token - owned.start) * width..][..width];
                row.iter_mut().zip(dout).for_each(|(sum, &d)| *sum += d);
            }
        }
    });
    Ok(())
}

pub(crate) fn checked(vocabulary: usize, width: usize, tokens: &[u32]) -> Result<(), KernelError> {
    if vocabulary == 0 || width == 0 {
        return Err(KernelError::Shape(format!(
            "an embedding of {vocabulary} tokens by {width}: choose at least 1"
        )));
    }
    volume(&[vocabulary, width])?;
    volume(&[tokens.len(), width])?;
    match tokens
        .iter()
        .position(|&token| token as usize >= vocabulary)
    {
        Some(position) => Err(KernelError::Index {
            argument: "tokens",
            position,
            value: tokens[position],
            bound: vocabulary,
        }),
        None => Ok(()),
    }
}
