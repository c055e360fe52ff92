//! Event files exchanged with the libraries that people use: tensorboardX, which writes what PyTorch's SummaryWriter
//! writes, and TensorBoard itself. They need Python with both (`BATCHSCOPE_PYTHON`, or `python3`); without them they are
//! skipped, visibly.

use std::{fs, path::Path, process::Command};

use batchscope_tensorboard::{Entries, Entry, Run, Setting, Writer};

/// The Python that has a module; `None` is said on standard error.
fn python(module: &str) -> Option<String> {
    let python = std::env::var("BATCHSCOPE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&python)
        .args(["-c", &format!("import {module}")])
        .output();
    if has.is_ok_and(|out| out.status.success()) {
        return Some(python);
    }
    assert!(
        std::env::var_os("BATCHSCOPE_PYTHON").is_none(),
        "{python} has no {module}"
    );
    eprintln!("skipped: {python} has no {module}");
    None
}

fn runs(python: &str, script: &str, folder: &Path) -> String {
    let output = Command::new(python)
        .args(["-c", script, &folder.display().to_string()])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn entries(file: &Path) -> Vec<Entry> {
    let (mut entries, mut found) = (Entries::default(), Vec::new());
    let bytes = fs::read(file).unwrap();
    entries
        .push(&bytes, &mut |entry| found.push(entry))
        .unwrap();
    assert_eq!((entries.left_out(), entries.is_within()), (0, false));
    found
}

#[test]
fn what_tensorboardx_writes_is_read() {
    let Some(python) = python("tensorboardX") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let script = "
import sys, tensorboardX
writer = tensorboardX.SummaryWriter(sys.argv[1])
for step in (10, 20):
    writer.add_scalar('val/loss', 1 / step, step)
    writer.add_histogram('weights', [1.0, 2.0, 3.0], step)
writer.add_text('note', 'hello')
writer.add_hparams({'batch_size': 32, 'lr': 0.1, 'optimizer': 'sgd', 'nesterov': True}, {'hparam/accuracy': 0.9}, name='hp')
writer.close()
";
    runs(&python, script, folder.path());
    let found = Run::find(folder.path()).unwrap();
    let run = found.iter().find(|run| run.name.is_empty()).unwrap();
    let scalars: Vec<(String, i64, f64)> = entries(&run.files[0].0)
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Scalar {
                tag, step, value, ..
            } => Some((tag, step, value)),
            Entry::Settings(_) => None,
        })
        .collect();
    let curve = [
        ("val/loss".to_owned(), 10, 0.1),
        ("val/loss".to_owned(), 20, 0.05),
    ];
    assert_eq!(scalars, curve);
    let below: Vec<&Run> = found.iter().filter(|below| below.lies_in(run)).collect();
    assert_eq!(below.len(), 1, "{found:?}");
    assert_eq!(below[0].files.len(), 1, "{found:?}");
    let settings = entries(&below[0].files[0].0)
        .into_iter()
        .find_map(|entry| match entry {
            Entry::Settings(settings) if !settings.is_empty() => Some(settings),
            _ => None,
        });
    let pairs: Vec<String> = settings
        .unwrap()
        .iter()
        .map(|s| format!("{}={}", s.name, s.value))
        .collect();
    assert_eq!(
        pairs,
        ["batch_size=32", "lr=0.1", "nesterov=true", "optimizer=sgd"]
    );
}

#[test]
fn what_we_write_is_read_by_tensorboard() {
    let Some(python) = python("tensorboard") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = fs::File::create(folder.path().join("events.out.tfevents.0.batchscope")).unwrap();
    let mut writer = Writer::new(file, 0.0).unwrap();
    let setting = |name: &str, value: &str| Setting {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let settings = [setting("batch_size", "32"), setting("optimizer", "sgd")];
    writer.settings(&settings, 0.0).unwrap();
    for step in [10, 20] {
        writer
            .scalar("val_loss", 1.0 / step as f64, step, 0.25 * step as f64)
            .unwrap();
    }
    drop(writer);
    let script = "
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
events = EventAccumulator(sys.argv[1])
events.Reload()
for scalar in events.Scalars('val_loss'):
    print(scalar.step, round(scalar.value, 6), scalar.wall_time)
content = events.SummaryMetadata('_hparams_/session_start_info').plugin_data.content
start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
print(start.hparams['batch_size'].number_value, start.hparams['optimizer'].string_value)
";
    let printed = runs(&python, script, folder.path());
    assert_eq!(printed, "10 0.1 2.5\n20 0.05 5.0\n32.0 sgd\n");
}
