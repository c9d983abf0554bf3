//! What every place for notes must do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::scope;

use super::Notes;

const NAME: &str = "deep3m-workers/block-7.json";

/// Runs all that is asked of an empty place for notes.
pub(crate) fn run(notes: &dyn Notes) {
    what_is_written_is_read(notes);
    one_of_many_creates(notes);
    one_of_many_replaces(notes);
    a_note_is_never_half_there(notes);
}

fn what_is_written_is_read(notes: &dyn Notes) {
    assert_eq!(notes.read(NAME).unwrap(), None);
    assert_eq!(notes.list("deep3m-workers").unwrap(), Vec::<String>::new());
    notes.remove(NAME).unwrap();
    notes.write(NAME, b"one").unwrap();
    notes.write("deep3m-run.json", b"run").unwrap();
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
    let names = notes.list("deep3m-workers").unwrap();
    assert!(names.contains(&NAME.to_owned()) && !names.contains(&"deep3m-run.json".to_owned()), "{names:?}");
    assert!(notes.address(NAME).to_string_lossy().contains("block-7"));
    let third = notes.read(NAME).unwrap().unwrap().version;
    notes.remove(NAME).unwrap();
    assert_eq!(notes.read(NAME).unwrap(), None);
    assert!(!notes.replace_if(NAME, &third, b"four").unwrap(), "what is not there is not replaced");
    assert_eq!(notes.read(NAME).unwrap(), None);
}

fn one_of_many_creates(notes: &dyn Notes) {
    for round in 0..8 {
        let name = format!("deep3m-workers/new-{round}");
        let created = AtomicUsize::new(0);
        scope(|scope| {
            for me in 0..8 {
                let (name, created) = (&name, &created);
                scope.spawn(move || {
                    created.fetch_add(
                        usize::from(notes.create_new(name, format!("{me}").as_bytes()).unwrap()),
                        Ordering::Relaxed,
                    );
                });
            }
        });
        assert_eq!(created.into_inner(), 1);
        notes.remove(&name).unwrap();
    }
}

fn one_of_many_replaces(notes: &dyn Notes) {
    notes.write(NAME, b"old").unwrap();
    for round in 0..8 {
        let version = notes.read(NAME).unwrap().unwrap().version;
        let replaced = AtomicUsize::new(0);
        scope(|scope| {
            for me in 0..8 {
                let (version, replaced) = (&version, &replaced);
                scope.spawn(move || {
                    let new = format!("{round} {me}");
                    replaced.fetch_add(
                        usize::from(notes.replace_if(NAME, version, new.as_bytes()).unwrap()),
                        Ordering::Relaxed,
                    );
                });
            }
        });
        assert_eq!(replaced.into_inner(), 1);
    }
}

fn a_note_is_never_half_there(notes: &dyn Notes) {
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
