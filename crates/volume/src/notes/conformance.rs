//! What every place for notes must do.

#![allow(clippy::unwrap_used, reason = "a suite for tests: it panics where it fails")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::scope;

use super::Notes;

const NAME: &str = "workers/block-7.json";

/// Runs all that is asked of an empty place for notes; panics where it fails. Afterwards the place is empty again.
///
/// # Panics
/// Where the place does not do what [`Notes`] promises.
pub fn check_notes(notes: &Notes) {
    assert!(notes.is_empty().unwrap());
    what_is_written_is_read(notes);
    names_stay_inside(notes);
    one_of_many_creates(notes);
    one_of_many_replaces(notes);
    no_replacement_is_lost(notes);
    a_note_is_never_half_there(notes);
    assert!(!notes.is_empty().unwrap());
    notes.remove_folder("workers").unwrap();
    notes.remove_folder("workers").unwrap();
    assert!(notes.list("workers").unwrap().is_empty() && notes.read(NAME).unwrap().is_none());
}

fn what_is_written_is_read(notes: &Notes) {
    assert_eq!(notes.read(NAME).unwrap(), None);
    assert_eq!(notes.list("workers").unwrap(), Vec::<String>::new());
    notes.remove(NAME).unwrap();
    notes.write(NAME, b"one").unwrap();
    notes.write("run.json", b"run").unwrap();
    notes.write("workers/parts/1", b"deeper").unwrap();
    let first = notes.read(NAME).unwrap().unwrap();
    assert_eq!(first.bytes, b"one");
    assert_eq!(notes.read(NAME).unwrap().unwrap().version, first.version);
    assert!(!notes.create_new(NAME, b"two").unwrap());
    notes.write(NAME, b"two").unwrap();
    let second = notes.read(NAME).unwrap().unwrap();
    assert_eq!(second.bytes, b"two");
    assert!(!notes.replace_if(NAME, &first.version, b"three").unwrap());
    assert!(notes.replace_if(NAME, &second.version, b"three").unwrap());
    assert_eq!(notes.read(NAME).unwrap().unwrap().bytes, b"three");
    assert_eq!(notes.list("workers").unwrap(), [NAME]);
    assert_eq!(notes.list("").unwrap(), ["run.json"]);
    assert!(notes.address(NAME).to_string_lossy().ends_with(NAME));
    let third = notes.read(NAME).unwrap().unwrap().version;
    notes.remove(NAME).unwrap();
    assert_eq!(notes.read(NAME).unwrap(), None);
    assert!(!notes.replace_if(NAME, &third, b"four").unwrap(), "what is not there is not replaced");
    assert_eq!(notes.read(NAME).unwrap(), None);
    notes.remove_folder("workers").unwrap();
    assert_eq!(notes.read("workers/parts/1").unwrap(), None);
    notes.remove("run.json").unwrap();
}

fn names_stay_inside(notes: &Notes) {
    for name in ["", "..", "a/../b", ".hidden", "a/.hidden", "/a", "a/"] {
        assert!(notes.read(name).is_err() && notes.write(name, b"").is_err(), "{name}");
        assert!(notes.create_new(name, b"").is_err() && notes.remove(name).is_err(), "{name}");
        assert!(notes.remove_folder(name).is_err() && (name.is_empty() || notes.list(name).is_err()), "{name}");
    }
}

fn one_of_many_creates(notes: &Notes) {
    for round in 0..8 {
        let name = format!("workers/new-{round}");
        let created = AtomicUsize::new(0);
        scope(|scope| {
            for me in 0..8 {
                let (name, created) = (&name, &created);
                scope.spawn(move || {
                    if notes.create_new(name, format!("{me}").as_bytes()).unwrap() {
                        created.fetch_add(1, Ordering::Relaxed);
                        let note = notes.read(name).unwrap().unwrap();
                        assert_eq!(note.bytes, format!("{me}").as_bytes(), "whole, and the winner's");
                    }
                });
            }
        });
        assert_eq!(created.into_inner(), 1);
        notes.remove(&name).unwrap();
    }
}

fn one_of_many_replaces(notes: &Notes) {
    notes.write(NAME, b"old").unwrap();
    for round in 0..8 {
        let version = notes.read(NAME).unwrap().unwrap().version;
        let replaced = AtomicUsize::new(0);
        scope(|scope| {
            for me in 0..8 {
                let (version, replaced) = (&version, &replaced);
                scope.spawn(move || {
                    let new = format!("{round} {me}");
                    let done = notes.replace_if(NAME, version, new.as_bytes()).unwrap();
                    replaced.fetch_add(usize::from(done), Ordering::Relaxed);
                });
            }
        });
        assert_eq!(replaced.into_inner(), 1);
    }
}

/// Every increment counts: none is made on a version that is another by then.
fn no_replacement_is_lost(notes: &Notes) {
    let name = "workers/count";
    notes.write(name, b"0").unwrap();
    scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..20 {
                    loop {
                        let note = notes.read(name).unwrap().unwrap();
                        let count: u32 = std::str::from_utf8(&note.bytes).unwrap().parse().unwrap();
                        if notes.replace_if(name, &note.version, (count + 1).to_string().as_bytes()).unwrap() {
                            break;
                        }
                    }
                }
            });
        }
    });
    assert_eq!(notes.read(name).unwrap().unwrap().bytes, b"120");
}

fn a_note_is_never_half_there(notes: &Notes) {
    let text = |n: usize| vec![b'a' + (n % 26) as u8; 100_000];
    notes.write(NAME, &text(0)).unwrap();
    scope(|scope| {
        scope.spawn(|| (1..20).for_each(|n| notes.write(NAME, &text(n)).unwrap()));
        for _ in 0..100 {
            let bytes = notes.read(NAME).unwrap().unwrap().bytes;
            assert!(bytes.len() == 100_000 && bytes.iter().all(|&b| b == bytes[0]));
        }
    });
}
