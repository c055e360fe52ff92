//! What the learning rate may do after warm-up, as choices: `cosine(90ep, floor=0.01)`.
//!
//! The arithmetic is [`crate::LearningRate`]'s.

use batchscope_core::{
    Choice, ChoiceError, Decay, Described, Descriptor, Kind, Length, Parameter, ParameterDefault,
    Range, Registry,
};

/// A schedule that can be chosen.
pub struct ScheduleKind {
    /// Name and parameters.
    pub descriptor: Descriptor,
    /// The decay of a checked choice.
    read: fn(&Choice) -> Result<Decay, ChoiceError>,
}

impl Described for ScheduleKind {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

/// Every schedule there is.
pub static SCHEDULES: Registry<ScheduleKind> = Registry {
    what: "schedule",
    all: &[&CONSTANT, &STEP, &LINEAR, &COSINE, &POLYNOMIAL],
};

/// Reads a decay: `constant`, `step(0.1@30ep@60ep)`, `linear(90ep)`, `cosine(90ep, floor=0.01)`,
/// `poly(2, 90ep)`, and the same with colons.
///
/// # Errors
/// When there is no such schedule, or a parameter is wrong.
pub fn read_decay(text: &str) -> Result<Decay, ChoiceError> {
    let (kind, choice) = SCHEDULES.read(text)?;
    (kind.read)(&choice)
}

/// A decay as [`read_decay`] reads it.
pub fn write_decay(decay: &Decay) -> String {
    let floor = |floor: &f64| match floor {
        0.0 => String::new(),
        floor => format!(",floor={floor}"),
    };
    match decay {
        Decay::Constant => "constant".to_owned(),
        Decay::Step { at, factor } => {
            let marks: Vec<String> = at.iter().map(Length::to_string).collect();
            format!("step({factor}@{})", marks.join("@"))
        }
        Decay::Linear { over, floor: f } => format!("linear({over}{})", floor(f)),
        Decay::Cosine { over, floor: f } => format!("cosine({over}{})", floor(f)),
        Decay::Polynomial {
            over,
            power,
            floor: f,
        } => format!("poly({power},{over}{})", floor(f)),
    }
}

const LENGTH: &str = "a length: steps (200) or epochs (30ep)";
const OVER: Parameter = Parameter {
    name: "over",
    about: "Length, measured from the end of warm-up",
    kind: Kind::Text(LENGTH),
    default: ParameterDefault::Required,
};
const FLOOR: Parameter = Parameter {
    name: "floor",
    about: "Final fraction of the rate",
    kind: Kind::Number(Range::UNIT),
    default: ParameterDefault::Number(0.0),
};

static CONSTANT: ScheduleKind = ScheduleKind {
    descriptor: Descriptor {
        name: "constant",
        aliases: &[],
        about: "The rate stays",
        source: "",
        parameters: &[],
    },
    read: |_| Ok(Decay::Constant),
};

static STEP: ScheduleKind = ScheduleKind {
    descriptor: Descriptor {
        name: "step",
        aliases: &[],
        about: "The rate is multiplied by a factor at each mark",
        source: "",
        parameters: &[Parameter {
            name: "marks",
            about: "The factor, in (0, 1], and the marks, each a length",
            kind: Kind::Text("FACTOR@LENGTH@…, a length being steps (200) or epochs (30ep)"),
            default: ParameterDefault::Required,
        }],
    },
    read: |choice| {
        let text = choice.text("marks").unwrap_or_default();
        let wrong = || refuse(choice, "marks", &STEP.descriptor);
        let mut marks = text.split('@');
        let factor = marks.next().and_then(|factor| factor.trim().parse().ok());
        let factor = factor.filter(|f: &f64| f.is_finite()).ok_or_else(wrong)?;
        let at: Result<Vec<Length>, _> = marks.map(str::parse).collect();
        match at {
            Ok(at) if !at.is_empty() => Ok(Decay::Step { at, factor }),
            _ => Err(wrong()),
        }
    },
};

static LINEAR: ScheduleKind = ScheduleKind {
    descriptor: Descriptor {
        name: "linear",
        aliases: &[],
        about: "A straight line to the floor",
        source: "",
        parameters: &[OVER, FLOOR],
    },
    read: |choice| {
        Ok(Decay::Linear {
            over: over(choice)?,
            floor: floor(choice),
        })
    },
};

static COSINE: ScheduleKind = ScheduleKind {
    descriptor: Descriptor {
        name: "cosine",
        aliases: &[],
        about: "Half a cosine to the floor",
        source: "Loshchilov and Hutter 2017, arXiv 1608.03983",
        parameters: &[OVER, FLOOR],
    },
    read: |choice| {
        Ok(Decay::Cosine {
            over: over(choice)?,
            floor: floor(choice),
        })
    },
};

static POLYNOMIAL: ScheduleKind = ScheduleKind {
    descriptor: Descriptor {
        name: "poly",
        aliases: &["polynomial"],
        about: "A power of the part that is left, down to the floor",
        source: "",
        parameters: &[
            Parameter {
                name: "power",
                about: "Exponent",
                kind: Kind::Number(Range::new(f64::NEG_INFINITY, false, f64::INFINITY, false)),
                default: ParameterDefault::Required,
            },
            OVER,
            FLOOR,
        ],
    },
    read: |choice| {
        Ok(Decay::Polynomial {
            over: over(choice)?,
            power: choice.number("power").unwrap_or(1.0),
            floor: floor(choice),
        })
    },
};

fn over(choice: &Choice) -> Result<Length, ChoiceError> {
    let text = choice.text("over").unwrap_or_default();
    text.parse()
        .map_err(|_| refuse(choice, "over", &LINEAR.descriptor))
}

fn floor(choice: &Choice) -> f64 {
    choice.number("floor").unwrap_or(0.0)
}

/// The error of a text that is not what the parameter's kind says.
fn refuse(choice: &Choice, key: &str, descriptor: &Descriptor) -> ChoiceError {
    ChoiceError::Value {
        name: choice.name().to_owned(),
        key: key.to_owned(),
        value: choice.text(key).unwrap_or_default().to_owned(),
        range: descriptor
            .parameter(key)
            .map(|parameter| parameter.kind.to_string())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sound() {
        assert_eq!(SCHEDULES.faults(), Vec::<String>::new());
    }

    #[test]
    fn schedules_read_back_as_written() {
        for (text, decay) in [
            ("constant", Decay::Constant),
            (
                "step:0.1@30ep@6000",
                Decay::Step {
                    at: vec![Length::Epochs(30.0), Length::Steps(6000)],
                    factor: 0.1,
                },
            ),
            (
                "cosine:90ep:0.01",
                Decay::Cosine {
                    over: Length::Epochs(90.0),
                    floor: 0.01,
                },
            ),
            (
                "linear(5ep)",
                Decay::Linear {
                    over: Length::Epochs(5.0),
                    floor: 0.0,
                },
            ),
            (
                "polynomial:2:100",
                Decay::Polynomial {
                    over: Length::Steps(100),
                    power: 2.0,
                    floor: 0.0,
                },
            ),
        ] {
            assert_eq!(read_decay(text).unwrap(), decay, "{text}");
            assert_eq!(read_decay(&write_decay(&decay)).unwrap(), decay, "{text}");
        }
        for broken in [
            "",
            "cosine",
            "step:0.1",
            "step:x@3",
            "linear:x",
            "poly:2",
            "constant:1",
            "cosine:1:0:0",
            "cosine:1:2",
            "warm:3",
        ] {
            assert!(read_decay(broken).is_err(), "{broken}");
        }
    }
}
