//! An optimizer of one's own, as CONTRIBUTING.md has it: a descriptor, an update, a line in a
//! registry. Here the registry is the test's own; in the crate the line stands in `OPTIMIZERS`.
//!
//! J. Bernstein et al., "signSGD: Compressed Optimisation for Non-Convex Problems" (arXiv
//! 1802.04434, 2018), algorithm 1: `w ← w − η·sign(g)`.

use batchscope_core::{
    Choice, ChoiceError, DecayPolicy, Descriptor, Kind, Parameter, ParameterDefault, ParameterKind,
    ParameterLayout, ParameterTensor, Range, Registry, StateTensor,
};
use batchscope_optim::{Optimizer, OptimizerKind, Rates, StateError};

/// What can be chosen.
static SIGN_SGD: OptimizerKind = OptimizerKind {
    descriptor: Descriptor {
        name: "signsgd",
        aliases: &[],
        about: "Steps of one length in every coordinate",
        source: "Bernstein et al. 2018, arXiv 1802.04434",
        parameters: &[Parameter {
            name: "threshold",
            about: "Gradients no larger than this are left alone",
            kind: Kind::Number(Range::NOT_NEGATIVE),
            default: ParameterDefault::Number(0.0),
        }],
    },
    rates: Rates::around(0.001),
    build: |choice: &Choice, _: &ParameterLayout, _: DecayPolicy| {
        Ok(Box::new(SignSgd {
            threshold: choice.number("threshold").unwrap_or(0.0) as f32,
            learning_rate: 0.0,
        }))
    },
};

/// Every optimizer of this test.
static MINE: Registry<OptimizerKind> = Registry {
    what: "optimizer",
    all: &[&SIGN_SGD],
};

struct SignSgd {
    threshold: f32,
    learning_rate: f32,
}

impl Optimizer for SignSgd {
    fn begin_step(&mut self, learning_rate: f64, _step: u64) {
        self.learning_rate = learning_rate as f32;
    }

    fn update(&mut self, _tensor: usize, parameters: &mut [f32], gradient: &[f32]) {
        for (w, g) in parameters.iter_mut().zip(gradient) {
            if g.abs() > self.threshold {
                *w -= self.learning_rate * g.signum();
            }
        }
    }

    fn state(&self) -> Vec<StateTensor> {
        Vec::new()
    }

    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError> {
        match state.first() {
            None => Ok(()),
            Some(tensor) => Err(StateError::Unknown(tensor.name.clone())),
        }
    }
}

#[test]
fn it_is_chosen_by_name_and_steps_by_its_rule() {
    assert_eq!(MINE.faults(), Vec::<String>::new());
    let layout = ParameterLayout {
        tensors: vec![ParameterTensor {
            name: "weight".into(),
            shape: vec![3],
            kind: ParameterKind::Matrix,
        }],
    };
    let (kind, choice) = MINE.read("signsgd(threshold=0.5)").unwrap();
    let mut optimizer = (kind.build)(&choice, &layout, DecayPolicy::All).unwrap();
    optimizer.begin_step(0.25, 0);
    let mut weight = [1.0, 1.0, 1.0];
    optimizer.update(0, &mut weight, &[3.0, -0.75, 0.5]);
    assert_eq!(weight, [0.75, 1.25, 1.0]);
}

#[test]
fn its_settings_are_checked_like_any_other_s() {
    for (text, key) in [
        ("signsgd(threshold=-1)", "threshold"),
        ("signsgd(beta=1)", "beta"),
    ] {
        let error: ChoiceError = MINE.read(text).err().unwrap();
        assert_eq!(error.key(), Some(key), "{text}");
    }
}
