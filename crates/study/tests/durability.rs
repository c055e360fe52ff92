//! What a store survives: kills, full disks, damage, other programs' files, other processes.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use batchscope_core::TrialRecord;
use batchscope_study::{
    Cursor, FakeTrainer, MemoryStore, Plan, Queue, RateRange, Remedy, SqliteStore, StopToken,
    Store, StoreError, StudyError, StudyResult, TrialState, finished_records, run, same_record,
    without_times,
};

fn plan() -> Plan {
    Plan {
        batch_sizes: vec![32, 128, 512],
        target: "val-error=0.1".parse().unwrap(),
        learning_rates: RateRange {
            low: 0.02,
            high: 3.0,
        },
        tune_trials: 4,
        study_seed: 3,
        jobs: 2,
        ..Plan::default()
    }
}

fn study(trainer: &FakeTrainer, store: &mut dyn Queue) -> Result<StudyResult, StudyError> {
    run(&plan(), trainer, store, &StopToken::new(), &[])
}

fn straight() -> StudyResult {
    study(&FakeTrainer::default(), &mut MemoryStore::new()).unwrap()
}

fn same_but_for_times(a: &[TrialRecord], b: &[TrialRecord]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!(
            same_record(&without_times(a), &without_times(b)),
            "{a:#?}\nis not\n{b:#?}"
        );
    }
}

const CHILD: &str = "BATCHSCOPE_STUDY_TEST_CHILD";

/// Not a test of its own: the process that `a_killed_study_loses_nothing_finished` kills.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let trainer = FakeTrainer {
        pace: Duration::from_micros(100),
        ..FakeTrainer::default()
    };
    study(&trainer, &mut SqliteStore::open(path).unwrap()).unwrap();
}

#[test]
fn a_killed_study_loses_nothing_finished() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.db");
    let count = |path: &Path| {
        SqliteStore::read(path)
            .and_then(|store| finished_records(&store))
            .map_or(0, |records| records.len())
    };
    let mut kept = 0;
    for more in [1, 7, 10] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--test-threads=1"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while count(&path) < kept + more {
            assert!(
                child.try_wait().unwrap().is_none(),
                "the child ended before it was killed"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        let now = count(&path);
        assert!(
            now >= kept + more,
            "{now} finished trials after the kill, {} before",
            kept + more
        );
        kept = now;
    }
    let mut store = SqliteStore::open(&path).unwrap();
    assert_eq!(finished_records(&store).unwrap().len(), kept);
    let resumed = study(&FakeTrainer::default(), &mut store).unwrap();
    same_but_for_times(&resumed.records, &straight().records);
}

#[test]
fn a_full_disk_loses_nothing_finished() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.db");
    let mut finished = 0;
    let mut filled = 0;
    loop {
        let mut store = SqliteStore::open(&path).unwrap();
        store.limit_pages(store.pages().unwrap() + 12).unwrap();
        match study(&FakeTrainer::default(), &mut store) {
            Ok(result) => {
                same_but_for_times(&result.records, &straight().records);
                break;
            }
            Err(StudyError::Store(StoreError::Full { path: named })) => assert_eq!(named, path),
            Err(other) => panic!("{other}"),
        }
        let now = finished_records(&store).unwrap().len();
        assert!(now >= finished, "{now} finished trials, {finished} before");
        finished = now;
        filled += 1;
        assert!(filled < 200, "no headway");
    }
    assert!(filled > 2, "the disk was full {filled} times");
}

#[test]
fn one_process_works_while_others_only_look() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.db");
    let mut store = SqliteStore::open(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(
        matches!(&error, StoreError::Locked { holder, .. } if *holder == Some(std::process::id())),
        "{error}"
    );
    assert!(error.to_string().contains("study.db"), "{error}");
    assert_eq!(error.remedies(), [Remedy::EndHolder, Remedy::OtherFolder]);
    let result = study(&FakeTrainer::default(), &mut store).unwrap();
    let mut reader = SqliteStore::read(&path).unwrap();
    let changes = reader.changes_since(Cursor::START).unwrap();
    assert_eq!(changes.trials.len(), result.records.len());
    // A reader is told what the worker changes meanwhile, and that only.
    store.requeue(3).unwrap();
    let since = reader.changes_since(changes.cursor).unwrap().trials;
    assert!(
        matches!(&since[..], [trial] if trial.spec.id == 3 && trial.state == TrialState::Waiting),
        "{since:?}"
    );
    assert!(matches!(
        reader.heartbeat("me").unwrap_err(),
        StoreError::Io { .. }
    ));
    drop(store);
    SqliteStore::open(&path).unwrap();
}

/// A finished study to damage.
fn finished(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("study.db");
    let mut store = SqliteStore::open(&path).unwrap();
    study(&FakeTrainer::default(), &mut store).unwrap();
    path
}

fn sql(path: &Path, text: &str) {
    rusqlite::Connection::open(path)
        .unwrap()
        .execute_batch(text)
        .unwrap();
}

#[test]
fn files_that_are_no_study_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.db");
    std::fs::write(&garbage, b"# My notes\n".repeat(500)).unwrap();
    let other = folder.path().join("other.db");
    sql(
        &other,
        "CREATE TABLE recipes (name TEXT); INSERT INTO recipes VALUES ('soup')",
    );
    for path in [garbage, other] {
        let before = std::fs::read(&path).unwrap();
        for error in [
            SqliteStore::open(&path).unwrap_err(),
            SqliteStore::read(&path).unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
            assert!(
                error.to_string().contains(path.to_str().unwrap()),
                "{error}"
            );
        }
        let after = std::fs::read(&path).unwrap();
        // Bytes 18 and 19 say that a write-ahead log is used, and 24.. and 92.. count changes.
        let same = before
            .iter()
            .zip(&after)
            .enumerate()
            .all(|(i, (a, b))| a == b || i < 100);
        assert!(before.len() == after.len() && same, "the file was changed");
    }
    assert!(matches!(
        SqliteStore::read(folder.path().join("none.db")),
        Err(StoreError::Io { .. })
    ));
    assert!(SqliteStore::open(folder.path().join("no/such/folder/study.db")).is_err());
    // An empty file is a store not yet begun.
    let empty = folder.path().join("empty.db");
    std::fs::write(&empty, b"").unwrap();
    assert!(
        SqliteStore::open(&empty)
            .unwrap()
            .header()
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_later_layout_is_refused_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = finished(folder.path());
    sql(&path, "PRAGMA user_version = 7");
    for error in [
        SqliteStore::open(&path).unwrap_err(),
        SqliteStore::read(&path).unwrap_err(),
    ] {
        assert!(
            matches!(error, StoreError::Newer { found: 7, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("later batchscope"), "{error}");
    }
}

/// A study from before gradient noise was watched, as layout 1 kept it.
#[test]
fn an_earlier_layout_is_read_and_brought_forward() {
    let folder = tempfile::tempdir().unwrap();
    let path = finished(folder.path());
    sql(
        &path,
        "DROP INDEX trials_by_revision; ALTER TABLE trials DROP COLUMN revision;
         DROP TABLE noise; PRAGMA user_version = 1",
    );
    std::fs::remove_file(folder.path().join("study.db.revision")).unwrap();
    let records = |store: &dyn Store| finished_records(store).unwrap();
    let reader = SqliteStore::read(&path).unwrap();
    let looked = records(&reader);
    same_but_for_times(&looked, &straight().records);
    // It has no revisions to go by: every reading tells everything.
    let first = reader.changes_since(Cursor::START).unwrap();
    assert_eq!(reader.changes_since(first.cursor).unwrap(), first);
    drop(reader);
    let store = SqliteStore::open(&path).unwrap();
    let opened = records(&store);
    same_but_for_times(&opened, &looked);
    let all = store.changes_since(Cursor::START).unwrap();
    assert_eq!(all.trials.len(), opened.len());
    assert_eq!(store.changes_since(all.cursor).unwrap().trials, []);
}

#[test]
fn damage_is_an_error_that_names_the_file() {
    let damages: [&str; 13] = [
        // What parses, but is not what was written.
        "UPDATE metrics SET value = value * 1.5 WHERE trial = 3 AND place = 2",
        "UPDATE trials SET seconds = seconds + 1 WHERE id = 3",
        "UPDATE trials SET identity = replace(identity, '64', '65') WHERE id = 3",
        "UPDATE study SET header = replace(header, '64', '65')",
        // What does not parse.
        "UPDATE trials SET spec = 'not json' WHERE id = 3",
        "UPDATE trials SET spec = json_set(spec, '$.id', 99) WHERE id = 3",
        "UPDATE trials SET outcome = NULL WHERE id = 3",
        "UPDATE trials SET outcome = '{\"state\":\"sunk\"}' WHERE id = 3",
        "UPDATE trials SET micro_batch = -1 WHERE id = 3",
        "PRAGMA foreign_keys = OFF; DELETE FROM trials WHERE id = 3",
        "PRAGMA foreign_keys = OFF; DELETE FROM measurements WHERE trial = 3 AND place = 1",
        "UPDATE metrics SET metric = 'nonsense' WHERE trial = 3 AND place = 0 AND metric = 'val-loss'",
        "UPDATE study SET header = '{}'",
    ];
    let folder = tempfile::tempdir().unwrap();
    let whole = finished(folder.path());
    for damage in damages {
        let path = folder.path().join("damaged.db");
        std::fs::copy(&whole, &path).unwrap();
        sql(&path, damage);
        let error = SqliteStore::open(&path)
            .map_err(StudyError::from)
            .and_then(|mut store| study(&FakeTrainer::default(), &mut store))
            .unwrap_err();
        assert!(
            matches!(&error, StudyError::Store(StoreError::Damaged { path: named, .. }) if *named == path),
            "{damage}: {error}"
        );
    }
}

#[test]
fn torn_and_overwritten_files_never_panic_and_never_pass_for_another_study() {
    let whole = straight();
    let folder = tempfile::tempdir().unwrap();
    let path = finished(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    let spoil = |n: usize, spoiled: &[u8]| {
        let path = folder.path().join(format!("spoiled-{n}.db"));
        std::fs::write(&path, spoiled).unwrap();
        let result = SqliteStore::open(&path)
            .map_err(StudyError::from)
            .and_then(|mut store| study(&FakeTrainer::default(), &mut store));
        match result {
            // Damage in a free page, or so early that nothing is left: the study is whole again.
            Ok(result) => same_but_for_times(&result.records, &whole.records),
            Err(error) => assert!(error.to_string().contains("spoiled"), "{error}"),
        }
    };
    for (n, keep) in [0, 1, 50, 100, 4096, 4097, bytes.len() / 2, bytes.len() - 1]
        .into_iter()
        .enumerate()
    {
        spoil(n, &bytes[..keep]);
    }
    for n in 0..24 {
        let mut spoiled = bytes.clone();
        let from = n * (bytes.len() / 24);
        spoiled[from..].iter_mut().take(64).for_each(|b| *b ^= 0xa5);
        spoil(100 + n, &spoiled);
    }
}
