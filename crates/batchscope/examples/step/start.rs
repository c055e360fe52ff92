//! What all sides of the comparison start from, as a safetensors file: the network's complete state
//! under its own names and in its canonical shapes, and the batch as `inputs` (images
//! `[n, height, width, channels]`, tokens `[n, sequence]`) and `labels`.

use std::path::Path;

use batchscope_core::{InputShape, Inputs, Labels, StateTensor};
use batchscope_train::UpdateRule;
use safetensors::{Dtype, tensor::TensorView};

use crate::workloads::{Failure, Step};

/// Writes the start of a step that has not been taken.
pub fn write(step: &Step, file: &Path) -> Result<(), Failure> {
    let mut tensors = Vec::new();
    for StateTensor {
        name,
        shape,
        values,
    } in step.network.export()?
    {
        tensors.push((name, Dtype::F32, shape, le_bytes(&values, f32::to_le_bytes)));
    }
    let (mut values, mut tokens, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for batch in &step.batches {
        match &batch.inputs {
            Inputs::Values(more) => values.extend_from_slice(more),
            Inputs::Tokens(more) => tokens.extend_from_slice(more),
        }
        match &batch.labels {
            Labels::Classes(more) | Labels::Tokens(more) => labels.extend_from_slice(more),
            Labels::Values(_) | Labels::Pixels(_) => {
                return Err("no workload regresses or segments".into());
            }
        }
    }
    let len: usize = step.batches.iter().map(|batch| batch.len).sum();
    let (dtype, shape, inputs) = match step.batches[0].shape.input {
        InputShape::Image {
            height,
            width,
            channels,
        } => (
            Dtype::F32,
            vec![len, height, width, channels],
            le_bytes(&values, f32::to_le_bytes),
        ),
        InputShape::Vector { features } => (
            Dtype::F32,
            vec![len, features],
            le_bytes(&values, f32::to_le_bytes),
        ),
        InputShape::Tokens { sequence, .. } => (
            Dtype::U32,
            vec![len, sequence],
            le_bytes(&tokens, u32::to_le_bytes),
        ),
    };
    tensors.push(("inputs".to_owned(), dtype, shape, inputs));
    let shape = vec![labels.len()];
    let labels = le_bytes(&labels, u32::to_le_bytes);
    tensors.push(("labels".to_owned(), Dtype::U32, shape, labels));
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    safetensors::serialize_to_file(views, None, file)?;
    Ok(())
}

fn le_bytes<T: Copy>(values: &[T], to: impl Fn(T) -> [u8; 4]) -> Vec<u8> {
    values.iter().flat_map(|&value| to(value)).collect()
}

/// The state of a step, to go back to.
pub struct Start {
    network: Vec<StateTensor>,
    rule: Vec<StateTensor>,
}

impl Start {
    /// Where the step is now.
    pub fn of(step: &Step) -> Result<Self, Failure> {
        Ok(Self {
            network: step.network.export()?,
            rule: step.rule.state(),
        })
    }

    /// Takes the step back there.
    pub fn restore(&self, step: &mut Step) -> Result<(), Failure> {
        step.network.import(&self.network)?;
        Ok(step.rule.load(&self.rule)?)
    }
}
