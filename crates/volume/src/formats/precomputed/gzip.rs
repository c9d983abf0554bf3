//! Gzip, with a bound on what comes out.

use std::io::Read;

use flate2::read::MultiGzDecoder;

/// Whether bytes begin as a gzip file does (magic number and the one method there is).
pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b, 8])
}

/// The bytes inside, at most `most` of them; else what is wrong.
pub(super) fn gunzip(bytes: &[u8], most: u64) -> Result<Vec<u8>, String> {
    let mut inside = Vec::new();
    let mut decoder = MultiGzDecoder::new(bytes).take(most.saturating_add(1));
    decoder.read_to_end(&mut inside).map_err(|e| format!("broken gzip data ({e})"))?;
    if inside.len() as u64 > most {
        return Err(format!("gzip data of more than {most} bytes"));
    }
    Ok(inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    #[test]
    fn no_more_comes_out_than_may() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        assert!(is_gzip(&bomb) && bomb.len() < 2000);
        assert_eq!(gunzip(&bomb, 1 << 20).unwrap().len(), 1 << 20);
        assert!(gunzip(&bomb, 1000).unwrap_err().contains("more than 1000 bytes"));
        assert!(gunzip(&bomb[..bomb.len() - 9], 1 << 20).unwrap_err().contains("broken gzip"));
    }
}
