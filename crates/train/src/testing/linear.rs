use batchscope_core::{
    Batch, DataShape, Inputs, Labels, LossSum, MetricSums, Mode, Network, NetworkError,
    NetworkFactory, NormsOf, ParameterKind, ParameterLayout, ParameterTensor, StateTensor,
    StreamKey,
};

/// Makes linear models of one output, with squared error: whatever is done to them has a closed form.
#[derive(Debug, Clone)]
pub struct LinearFactory {
    /// The weights they begin with, one an input.
    pub weights: Vec<f32>,
}

impl NetworkFactory for LinearFactory {
    fn name(&self) -> String {
        format!("linear({})", self.weights.len())
    }

    fn build(&self, _: &DataShape, _: StreamKey) -> Result<Box<dyn Network>, NetworkError> {
        Ok(Box::new(LinearNetwork::new(self.weights.clone())))
    }

    fn memory(&self, _: &DataShape, micro_batch: u64) -> u64 {
        8 * self.weights.len() as u64 * (1 + micro_batch)
    }

    fn device(&self) -> String {
        "cpu (by hand)".to_owned()
    }
}

/// `(w·x − y)²`.
#[derive(Debug, Clone)]
pub struct LinearNetwork {
    layout: ParameterLayout,
    weights: Vec<f32>,
    gradient: Vec<f32>,
}

impl LinearNetwork {
    /// A model of these weights.
    pub fn new(weights: Vec<f32>) -> Self {
        let tensor = ParameterTensor {
            name: "weight".to_owned(),
            shape: vec![weights.len(), 1],
            kind: ParameterKind::Matrix,
        };
        Self {
            layout: ParameterLayout {
                tensors: vec![tensor],
            },
            gradient: vec![0.0; weights.len()],
            weights,
        }
    }

    /// Input and residual `w·x − y` of every example.
    fn residuals<'a>(
        &'a self,
        batch: &'a Batch,
    ) -> Result<impl Iterator<Item = (&'a [f32], f32)> + 'a, NetworkError> {
        let (Inputs::Values(x), Labels::Values(y)) = (&batch.inputs, &batch.labels) else {
            return Err(NetworkError::Device("expected values".to_owned()));
        };
        let residual = move |(x, y): (&'a [f32], &'a f32)| {
            let output: f32 = x.iter().zip(&self.weights).map(|(x, w)| x * w).sum();
            (x, output - y)
        };
        Ok(x.chunks_exact(self.weights.len()).zip(y).map(residual))
    }

    fn loss(&self, batch: &Batch) -> Result<f64, NetworkError> {
        Ok(self.residuals(batch)?.map(|(_, r)| f64::from(r * r)).sum())
    }
}

impl Network for LinearNetwork {
    fn layout(&self) -> &ParameterLayout {
        &self.layout
    }

    fn ghost_size(&self, _: u64) -> Option<u64> {
        None
    }

    fn begin_step(&mut self, _: u64) {
        self.gradient.fill(0.0);
    }

    fn accumulate(&mut self, batch: &Batch, scale: f32) -> Result<LossSum, NetworkError> {
        let mut gradient = std::mem::take(&mut self.gradient);
        for (x, r) in self.residuals(batch)? {
            for (g, x) in gradient.iter_mut().zip(x) {
                *g += scale * 2.0 * r * x;
            }
        }
        self.gradient = gradient;
        Ok(LossSum {
            loss: self.loss(batch)?,
            weight: batch.weight(),
        })
    }

    fn accumulate_measured(
        &mut self,
        batch: &Batch,
        scale: f32,
        of: NormsOf,
        squared_norms: &mut [f64],
    ) -> Result<LossSum, NetworkError> {
        let squared = |g: &[f32]| g.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
        squared_norms[0] += match of {
            NormsOf::MicroBatch => {
                let mut apart = Self::new(self.weights.clone());
                apart.accumulate(batch, scale)?;
                squared(&apart.gradient)
            }
            NormsOf::Examples => self
                .residuals(batch)?
                .map(|(x, r)| f64::from(scale * 2.0 * r).powi(2) * squared(x))
                .sum(),
        };
        self.accumulate(batch, scale)
    }

    fn measures_per_example_grad_norms(&self) -> bool {
        true
    }

    fn input_gradient(
        &mut self,
        batch: &Batch,
        _: Mode,
        gradient: &mut Vec<f32>,
    ) -> Result<LossSum, NetworkError> {
        gradient.clear();
        for (_, r) in self.residuals(batch)? {
            gradient.extend(self.weights.iter().map(|w| 2.0 * r * w));
        }
        Ok(LossSum {
            loss: self.loss(batch)?,
            weight: batch.weight(),
        })
    }

    fn visit(
        &mut self,
        visitor: &mut batchscope_core::ParameterVisitor<'_>,
    ) -> Result<(), NetworkError> {
        visitor(0, &mut self.weights, &mut self.gradient);
        Ok(())
    }

    fn end_step(&mut self) {}

    fn evaluate(&mut self, batch: &Batch) -> Result<MetricSums, NetworkError> {
        Ok(MetricSums {
            loss: self.loss(batch)?,
            errors: 0.0,
            weight: batch.weight(),
            confusion: None,
        })
    }

    fn export(&self) -> Result<Vec<StateTensor>, NetworkError> {
        let tensor = &self.layout.tensors[0];
        Ok(vec![StateTensor {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            values: self.weights.clone(),
        }])
    }

    fn import(&mut self, state: &[StateTensor]) -> Result<(), NetworkError> {
        match state {
            [tensor] if tensor.shape == self.layout.tensors[0].shape => {
                self.weights.copy_from_slice(&tensor.values);
                Ok(())
            }
            _ => Err(NetworkError::State("not of a linear model".to_owned())),
        }
    }
}
