//! Trying again what may work in a moment.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use deep3m_volume::VolumeError;

/// Waits between tries: together ten seconds, in which a file server that changes over is back. (Object stores have
/// retries of their own, over minutes.)
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(8)];

/// `EIO` on Unix: what a network file system says of a server that it cannot reach.
const EIO: i32 = 5;

/// Does something, again after a pause where the error is one that may pass; `patient` says whether to wait at all.
pub(crate) fn retry<T>(
    patient: bool,
    stop: &AtomicBool,
    mut attempt: impl FnMut() -> Result<T, VolumeError>,
) -> Result<T, VolumeError> {
    let mut outcome = attempt();
    for pause in PAUSES.iter().filter(|_| patient) {
        if !outcome.as_ref().is_err_and(may_pass) || !wait(*pause, stop) {
            break;
        }
        outcome = attempt();
    }
    outcome
}

/// Waits; false when told to stop meanwhile.
pub(crate) fn wait(pause: Duration, stop: &AtomicBool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < pause {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        sleep(Duration::from_millis(50).min(pause.saturating_sub(begun.elapsed())));
    }
    true
}

fn io_error(error: &VolumeError) -> Option<&io::Error> {
    if let VolumeError::Io { source, .. } = error { Some(source) } else { None }
}

/// Whether the same may work a moment later: the network or the disk failed, not what is asked for.
fn may_pass(error: &VolumeError) -> bool {
    io_error(error).is_some_and(|source| {
        is_full(error)
            || (cfg!(unix) && source.raw_os_error() == Some(EIO))
            || matches!(
                source.kind(),
                ErrorKind::Interrupted
                    | ErrorKind::TimedOut
                    | ErrorKind::WouldBlock
                    | ErrorKind::ResourceBusy
                    | ErrorKind::StaleNetworkFileHandle
                    | ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::ConnectionRefused
                    | ErrorKind::NotConnected
                    | ErrorKind::BrokenPipe
                    | ErrorKind::NetworkDown
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::HostUnreachable
            )
    })
}

/// Whether there is no room, now and for whatever is written next.
pub(crate) fn is_full(error: &VolumeError) -> bool {
    io_error(error).is_some_and(|source| {
        matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(error: impl Into<io::Error>) -> VolumeError {
        VolumeError::io("a.png", "read", error.into())
    }

    #[test]
    fn what_may_pass_is_tried_again_and_nothing_else() {
        let stop = AtomicBool::new(false);
        let tries = |patient: bool, stop: &AtomicBool, error: &dyn Fn() -> VolumeError, works_at: u32| {
            let mut tries = 0;
            let outcome = retry(patient, stop, || {
                tries += 1;
                if tries == works_at { Ok(()) } else { Err(error()) }
            });
            (tries, outcome.is_ok())
        };
        let passing = || fail(ErrorKind::TimedOut);
        assert_eq!(tries(true, &stop, &passing, 2), (2, true));
        assert_eq!(tries(false, &stop, &passing, 2), (1, false));
        assert_eq!(tries(true, &AtomicBool::new(true), &passing, 2), (1, false));
        assert_eq!(tries(true, &stop, &|| fail(ErrorKind::NotFound), 2), (1, false));
        let damaged = || VolumeError::malformed(deep3m_volume::Place::file("a.png"), "x", "y");
        assert_eq!(tries(true, &stop, &damaged, 2), (1, false));
        #[cfg(unix)]
        assert!(may_pass(&fail(io::Error::from_raw_os_error(EIO))));
        assert!(may_pass(&fail(ErrorKind::StorageFull)) && is_full(&fail(ErrorKind::StorageFull)));
        assert!(!is_full(&passing()));
    }
}
