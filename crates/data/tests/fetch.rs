//! Downloads, from servers on this machine that misbehave in the ways servers do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use batchscope_data::{DataError, FetchOptions, RemoteFile, download, fetch};
use tempfile::tempdir;

/// 50,000 bytes that do not repeat.
fn content() -> Vec<u8> {
    (0..50_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

/// The file under test; its MD5 was computed by Python's hashlib.
const FILE: RemoteFile = RemoteFile {
    name: "numbers.bin",
    bytes: 50_000,
    md5: "38f9b855f8e76880779edaad557454aa",
};

/// What the server does with a request: gets the first byte asked for, writes a whole answer.
type Answer = fn(&mut TcpStream, Option<usize>, usize);

/// A server whose `n`th request (from 0) is answered with `n`; returns its address and a record of the
/// ranges asked for.
fn serve(answer: Answer) -> (String, Arc<Mutex<Vec<Option<usize>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let record = asked.clone();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut start = None;
            while let Some(Ok(line)) = lines.next() {
                if line.is_empty() {
                    break;
                }
                let lower = line.to_ascii_lowercase();
                if let Some(range) = lower.strip_prefix("range: bytes=") {
                    start = range.trim_end_matches('-').parse().ok();
                }
            }
            record.lock().unwrap().push(start);
            answer(&mut stream, start, number);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read(&mut [0; 64]);
        }
    });
    (address, asked)
}

fn send(stream: &mut TcpStream, status: &str, headers: &str, length: usize, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
}

/// Serves the file and honors ranges.
fn honest(stream: &mut TcpStream, start: Option<usize>, _: usize) {
    let all = content();
    match start {
        None => send(stream, "200 OK", "", all.len(), &all),
        Some(start) if start >= all.len() => send(stream, "416 Range Not Satisfiable", "", 0, &[]),
        Some(start) => {
            let range = format!(
                "Content-Range: bytes {start}-{}/{}\r\n",
                all.len() - 1,
                all.len()
            );
            send(
                stream,
                "206 Partial Content",
                &range,
                all.len() - start,
                &all[start..],
            );
        }
    }
}

/// Breaks the first answer off after 20,000 bytes.
fn breaks_once(stream: &mut TcpStream, start: Option<usize>, number: usize) {
    match number {
        0 => send(stream, "200 OK", "", 50_000, &content()[..20_000]),
        _ => honest(stream, start, number),
    }
}

fn options() -> FetchOptions<'static> {
    FetchOptions {
        timeout: Duration::from_secs(10),
        ..FetchOptions::default()
    }
}

fn get(addresses: &[&str], folder: &Path) -> Result<std::path::PathBuf, DataError> {
    let addresses: Vec<String> = addresses
        .iter()
        .map(|&address| address.to_owned())
        .collect();
    download(&FILE, &addresses, folder, &mut options())
}

fn part(folder: &Path) -> std::path::PathBuf {
    folder.join("numbers.bin.part")
}

#[test]
fn a_whole_download_is_verified_renamed_reported_and_not_repeated() {
    let (address, asked) = serve(honest);
    let folder = tempdir().unwrap();
    let folder = folder.path().join("made/on/the/way");
    let mut seen = Vec::new();
    let mut progress = |name: &str, done: u64, total: Option<u64>| {
        assert_eq!((name, total), ("numbers.bin", Some(50_000)));
        seen.push(done);
    };
    let mut reporting = FetchOptions {
        progress: Some(&mut progress),
        ..options()
    };
    let path = download(
        &FILE,
        std::slice::from_ref(&address),
        &folder,
        &mut reporting,
    )
    .unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), content());
    assert!(!part(&folder).exists());
    assert!(seen.is_sorted() && seen.last() == Some(&50_000));
    get(&[&address], &folder).unwrap();
    assert_eq!(
        asked.lock().unwrap().len(),
        1,
        "a verified file is not fetched again"
    );
    std::fs::write(&path, b"damaged").unwrap();
    get(&[&address], &folder).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), content());
}

#[test]
fn a_broken_transfer_continues_where_it_stopped() {
    let (address, asked) = serve(breaks_once);
    let folder = tempdir().unwrap();
    let path = get(&[&address], folder.path()).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content());
    assert_eq!(*asked.lock().unwrap(), [None, Some(20_000)]);
}

#[test]
fn what_arrived_is_kept_for_the_next_call() {
    let (address, _) = serve(breaks_once);
    let folder = tempdir().unwrap();
    let mut once = FetchOptions {
        attempts: 1,
        ..options()
    };
    let error = download(
        &FILE,
        std::slice::from_ref(&address),
        folder.path(),
        &mut once,
    )
    .unwrap_err();
    assert!(matches!(&error, DataError::Download { .. }), "{error}");
    assert!(
        error.to_string().contains("numbers.bin") && error.to_string().contains("continue"),
        "{error}"
    );
    assert_eq!(
        std::fs::metadata(part(folder.path())).unwrap().len(),
        20_000
    );
    assert_eq!(
        std::fs::read(get(&[&address], folder.path()).unwrap()).unwrap(),
        content()
    );
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    let (address, asked) = serve(|stream, _, number| match number {
        0 => send(stream, "200 OK", "", 50_000, &content()[..20_000]),
        _ => send(stream, "200 OK", "", 50_000, &content()),
    });
    let folder = tempdir().unwrap();
    assert_eq!(
        std::fs::read(get(&[&address], folder.path()).unwrap()).unwrap(),
        content()
    );
    assert_eq!(*asked.lock().unwrap(), [None, Some(20_000)]);
}

#[test]
fn another_range_than_asked_for_is_not_appended() {
    let (address, _) = serve(|stream, start, number| match start {
        None => breaks_once(stream, start, number),
        Some(_) => send(
            stream,
            "206 Partial Content",
            "Content-Range: bytes 0-9/50000\r\n",
            10,
            &content()[..10],
        ),
    });
    let folder = tempdir().unwrap();
    let error = get(&[&address], folder.path()).unwrap_err().to_string();
    assert!(error.contains("another range"), "{error}");
}

#[test]
fn another_file_is_refused_and_removed() {
    let (address, asked) = serve(|stream, _, _| send(stream, "200 OK", "", 5, b"hello"));
    let folder = tempdir().unwrap();
    let error = get(&[&address], folder.path()).unwrap_err();
    let DataError::Checksum {
        expected, found, ..
    } = &error
    else {
        panic!("{error}")
    };
    // MD5 of "hello", RFC 1321's algorithm by any implementation.
    assert_eq!(
        (expected.as_str(), found.as_str()),
        (FILE.md5, "5d41402abc4b2a76b9719d911017c592")
    );
    assert!(!part(folder.path()).exists() && !folder.path().join("numbers.bin").exists());
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn the_rest_of_another_file_is_fetched_again_from_the_start() {
    let (address, asked) = serve(honest);
    let folder = tempdir().unwrap();
    for (length, ranges) in [
        (20_000, [Some(20_000), None]),
        (50_000, [Some(50_000), None]),
        (60_000, [Some(60_000), None]),
    ] {
        std::fs::write(part(folder.path()), vec![1; length]).unwrap();
        let path = get(&[&address], folder.path()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content());
        assert_eq!(asked.lock().unwrap().split_off(0), ranges);
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn mirrors_stand_in_for_each_other_and_the_last_error_is_told() {
    let (missing, _) = serve(|stream, _, _| send(stream, "404 Not Found", "", 0, &[]));
    let (good, _) = serve(honest);
    let folder = tempdir().unwrap();
    let error = get(&[&missing], folder.path()).unwrap_err().to_string();
    assert!(error.contains("404") && error.contains(&missing), "{error}");
    assert_eq!(
        std::fs::read(get(&[&missing, &good], folder.path()).unwrap()).unwrap(),
        content()
    );
}

#[test]
fn busy_servers_are_tried_again() {
    let (address, asked) = serve(|stream, start, number| match number {
        0 => send(stream, "503 Service Unavailable", "", 0, &[]),
        _ => honest(stream, start, number),
    });
    let folder = tempdir().unwrap();
    get(&[&address], folder.path()).unwrap();
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn endless_answers_are_cut_off() {
    let (address, _) = serve(|stream, _, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while stream.write_all(&[0; 65_536]).is_ok() {}
    });
    let folder = tempdir().unwrap();
    assert!(matches!(
        get(&[&address], folder.path()),
        Err(DataError::Checksum { .. })
    ));
}

#[test]
fn data_sets_are_fetched_by_name_from_another_base() {
    let folder = tempdir().unwrap();
    let error = fetch("imagenet", folder.path(), FetchOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("fashion-mnist"), "{error}");
    let (address, _) = serve(|stream, _, _| send(stream, "404 Not Found", "", 0, &[]));
    for known in batchscope_data::list() {
        let options = FetchOptions {
            base_url: Some(format!("{address}/mirror/")),
            ..options()
        };
        let error = fetch(known.name, folder.path(), options)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("{address}/mirror/{}", known.files[0].name)),
            "{error}"
        );
    }
}
