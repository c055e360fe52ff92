//! Whatever a program writes is read without harm.

use batchscope_command::{Names, metrics_of_output};
use proptest::prelude::*;

fn names() -> Names {
    Names {
        metrics: Vec::new(),
        wanted: vec!["val-loss".parse().unwrap()],
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        metrics_of_output(&bytes, &names());
    }

    /// A report among noise is found, whatever stands before and after its line.
    #[test]
    fn a_report_among_noise_is_found(before in "[^\n\r]{0,40}", after in ".{0,40}", value in -1e6f64..1e6) {
        let output = format!("{before}\nstep=5 val_loss={value}\n{after}");
        let found = metrics_of_output(output.as_bytes(), &names());
        let values: Vec<f64> = found.iter().flat_map(|metrics| metrics.values().copied()).collect();
        prop_assert!(values.contains(&value), "{values:?}");
    }

    #[test]
    fn text_with_signs_of_values_is_read(text in "[a-z_=:{}\"' 0-9.eE+-]{0,200}") {
        metrics_of_output(text.as_bytes(), &names());
    }
}
