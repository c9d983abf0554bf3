//! Gzip and zstd that decode no more than a chunk can hold.
//!
//! A few hundred bytes can decode to gigabytes. The decoders of `zarrs` go on until the end, or make room for what a
//! frame says of itself; these know the size of a chunk from the metadata and stop there.

use std::borrow::Cow;
use std::io::{Error, Read};
use std::sync::{Arc, Once};

use flate2::bufread::GzDecoder;
use zarrs::array::codec::api::{
    CodecRuntimePluginV2, CodecRuntimePluginV3, PartialDecoderCapability, PartialEncoderCapability, register_codec_v2,
    register_codec_v3,
};
use zarrs::array::codec::{GzipCodec, ZstdCodec};
use zarrs::array::{
    ArrayBytesRaw, BytesRepresentation, BytesToBytesCodecTraits, Codec, CodecError, CodecMetadataOptions, CodecOptions,
    CodecTraits, CodecTraitsV2, CodecTraitsV3, RecommendedConcurrency,
};
use zarrs::metadata::Configuration;
use zarrs::plugin::{ExtensionAliasesV2, ExtensionAliasesV3, ExtensionName, ZarrVersion};

/// Deflate's highest ratio: a copy of 258 bytes takes at least two bits (RFC 1951).
const DEFLATE_RATIO: u64 = 1032;

/// What a decoded chunk may be larger than the metadata say, where they say only a bound.
const SLACK: u64 = 64 << 10;

/// Makes the bounded codecs those that `zarrs` finds, for the whole program.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        register_codec_v3(CodecRuntimePluginV3::new(GzipCodec::matches_name_v3, |metadata| {
            Ok(bounded(Method::Gzip, <GzipCodec as CodecTraitsV3>::create(metadata)?))
        }));
        register_codec_v3(CodecRuntimePluginV3::new(ZstdCodec::matches_name_v3, |metadata| {
            Ok(bounded(Method::Zstd, <ZstdCodec as CodecTraitsV3>::create(metadata)?))
        }));
        register_codec_v2(CodecRuntimePluginV2::new(GzipCodec::matches_name_v2, |metadata| {
            Ok(bounded(Method::Gzip, <GzipCodec as CodecTraitsV2>::create(metadata)?))
        }));
        register_codec_v2(CodecRuntimePluginV2::new(ZstdCodec::matches_name_v2, |metadata| {
            Ok(bounded(Method::Zstd, <ZstdCodec as CodecTraitsV2>::create(metadata)?))
        }));
    });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Gzip,
    Zstd,
}

/// A codec of `zarrs` with another decoder.
#[derive(Debug)]
struct Bounded {
    method: Method,
    codec: Arc<dyn BytesToBytesCodecTraits>,
}

fn bounded(method: Method, codec: Codec) -> Codec {
    match codec {
        Codec::BytesToBytes(codec) => Codec::BytesToBytes(Arc::new(Bounded { method, codec })),
        other => other,
    }
}

impl ExtensionName for Bounded {
    fn name(&self, version: ZarrVersion) -> Option<Cow<'static, str>> {
        self.codec.name(version)
    }
}

impl CodecTraits for Bounded {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn configuration(&self, version: ZarrVersion, options: &CodecMetadataOptions) -> Option<Configuration> {
        self.codec.configuration(version, options)
    }

    fn partial_decoder_capability(&self) -> PartialDecoderCapability {
        PartialDecoderCapability { partial_read: false, partial_decode: false }
    }

    fn partial_encoder_capability(&self) -> PartialEncoderCapability {
        PartialEncoderCapability { partial_encode: false }
    }
}

impl BytesToBytesCodecTraits for Bounded {
    fn into_dyn(self: Arc<Self>) -> Arc<dyn BytesToBytesCodecTraits> {
        self
    }

    fn recommended_concurrency(&self, decoded: &BytesRepresentation) -> Result<RecommendedConcurrency, CodecError> {
        self.codec.recommended_concurrency(decoded)
    }

    fn encoded_representation(&self, decoded: &BytesRepresentation) -> BytesRepresentation {
        self.codec.encoded_representation(decoded)
    }

    fn encode<'a>(&self, decoded: ArrayBytesRaw<'a>, options: &CodecOptions) -> Result<ArrayBytesRaw<'a>, CodecError> {
        self.codec.encode(decoded, options)
    }

    fn decode<'a>(
        &self,
        encoded: ArrayBytesRaw<'a>,
        decoded: &BytesRepresentation,
        _options: &CodecOptions,
    ) -> Result<ArrayBytesRaw<'a>, CodecError> {
        let most = match *decoded {
            BytesRepresentation::FixedSize(size) => size,
            // The bound is an estimate of what encoders make of the size before: an eighth more for odd ones.
            BytesRepresentation::BoundedSize(size) => size.saturating_add(size / 8).saturating_add(SLACK),
            BytesRepresentation::UnboundedSize => {
                return Err(CodecError::Other("a chunk of no known size".into()));
            }
        };
        let bytes = match self.method {
            Method::Gzip => gzip(&encoded, most),
            Method::Zstd => zstd_frames(&encoded, most),
        };
        Ok(Cow::Owned(bytes.map_err(Arc::new)?))
    }
}

/// Decodes gzip to at most `most` bytes.
fn gzip(encoded: &[u8], most: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = room(most.min((encoded.len() as u64).saturating_mul(DEFLATE_RATIO)))?;
    let mut decoder = GzDecoder::new(encoded).take(most);
    decoder.read_to_end(&mut bytes)?;
    // One byte further lies the end, or more than there may be.
    decoder.set_limit(1);
    if decoder.read(&mut [0])? > 0 {
        return Err(Error::other(format!("a chunk of more than {most} bytes when decoded")));
    }
    Ok(bytes)
}

/// Decodes zstd to at most `most` bytes.
fn zstd_frames(encoded: &[u8], most: u64) -> Result<Vec<u8>, Error> {
    // What the frames say, or their blocks can hold, where that is less.
    let stated = zstd::bulk::Decompressor::upper_bound(encoded).map_or(most, |bound| bound as u64);
    let mut bytes = room(most.min(stated))?;
    let size = zstd::bulk::Decompressor::new()?
        .decompress_to_buffer(encoded, &mut bytes)
        .map_err(|e| Error::new(e.kind(), format!("{e} (a chunk of at most {most} bytes when decoded is expected)")))?;
    bytes.truncate(size);
    Ok(bytes)
}

/// Room for a number of bytes, or an error where the memory is not there.
fn room(bytes: u64) -> Result<Vec<u8>, Error> {
    let mut room = Vec::new();
    room.try_reserve_exact(usize::try_from(bytes).map_err(Error::other)?).map_err(Error::other)?;
    Ok(room)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(9));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_fits_is_decoded() {
        for size in [0_usize, 1, 1000, 300_000] {
            let bytes: Vec<u8> = (0..size).map(|i| (i * i / 7) as u8).collect();
            assert_eq!(gzip(&gzipped(&bytes), size as u64).unwrap(), bytes);
            assert_eq!(zstd_frames(&zstd::encode_all(&bytes[..], 1).unwrap(), size as u64).unwrap(), bytes);
            // Without a stated size, in many small blocks.
            let mut stream = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            for part in bytes.chunks(777) {
                stream.write_all(part).unwrap();
                stream.flush().unwrap();
            }
            assert_eq!(zstd_frames(&stream.finish().unwrap(), size as u64).unwrap(), bytes);
        }
    }

    #[test]
    fn what_is_larger_is_refused() {
        let bytes = vec![7; 1_000_000];
        for most in [0, 1, 999_999] {
            assert!(gzip(&gzipped(&bytes), most).unwrap_err().to_string().contains("more than"));
            let error = zstd_frames(&zstd::encode_all(&bytes[..], 1).unwrap(), most).unwrap_err().to_string();
            assert!(error.contains(&format!("at most {most} bytes")), "{error}");
        }
    }

    #[test]
    fn damaged_chunks_are_errors() {
        let bytes: Vec<u8> = (0..5000_u32).map(|i| ((i * i) >> 5) as u8).collect();
        for sound in [gzipped(&bytes), zstd::encode_all(&bytes[..], 1).unwrap()] {
            for cut in 0..sound.len() {
                assert!(gzip(&sound[..cut], 5000).is_err() && zstd_frames(&sound[..cut], 5000).is_err() || cut == 0);
            }
        }
    }
}
