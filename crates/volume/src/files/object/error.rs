//! What a store's refusal means, and what to do about it.

use std::error::Error as _;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;

use object_store::Error as StoreError;
use object_store::client::HttpError;

use crate::VolumeError;
use crate::files::address::Scheme;

/// The error of a request, with what to do.
pub(crate) fn volume_error(scheme: Scheme, address: PathBuf, action: &'static str, error: &StoreError) -> VolumeError {
    let (kind, words) = words(scheme, error);
    VolumeError::io(address, action, Error::new(kind, words))
}

/// Whether the same request may succeed later: no answer, or one that says so.
pub(super) fn is_passing(error: &StoreError) -> bool {
    match status(error) {
        Some(status) => matches!(status, 408 | 429 | 500 | 502..=599),
        None => is_silence(error),
    }
}

/// Whether there was no answer, or none to its end.
fn is_silence(error: &StoreError) -> bool {
    causes(error).any(<dyn std::error::Error>::is::<HttpError>)
}

/// Whether it is the bucket that is not there.
pub(super) fn lacks_bucket(error: &StoreError) -> bool {
    let text = text(error);
    [
        "NoSuchBucket",
        "InvalidBucketName",
        "specified bucket does not exist",
        "ContainerNotFound",
        "ContainerBeingDeleted",
    ]
    .iter()
    .any(|words| text.contains(words))
}

fn causes(error: &StoreError) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// All that is known of an error: each cause once, as most repeat the next.
fn text(error: &StoreError) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// The status of the answer. The crate tells it in words only.
fn status(error: &StoreError) -> Option<u16> {
    let text = text(error);
    let (_, after) = text.split_once("status code: ")?;
    after.get(..3)?.parse().ok()
}

fn words(scheme: Scheme, error: &StoreError) -> (ErrorKind, String) {
    let text = text(error);
    if lacks_bucket(error) {
        return (ErrorKind::NotFound, "there is no such bucket. Check its name, and the region or endpoint".into());
    }
    let said = code(&text).map_or(String::new(), |code| format!(", {code}"));
    match (error, status(error)) {
        (StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }, _) | (_, Some(401 | 403)) => {
            let status = status(error).unwrap_or(403);
            let words = format!("the store refuses access ({status}{said}). {}", credentials(scheme));
            (ErrorKind::PermissionDenied, words)
        }
        (StoreError::NotFound { .. }, _) => (ErrorKind::NotFound, "nothing lies there. Check the address".into()),
        // The addresses at which machines in the cloud ask for their own credentials.
        _ if ["169.254.169.254", "169.254.170.2", "metadata.google.internal"]
            .iter()
            .any(|host| text.contains(host)) =>
        {
            (ErrorKind::PermissionDenied, format!("no credentials were found. {}", credentials(scheme)))
        }
        _ if text.contains("redirect without LOCATION") => {
            (ErrorKind::Other, "the bucket lies in another region. Set AWS_REGION to it".into())
        }
        _ if ["non-partial response", "Range request not supported"].iter().any(|words| text.contains(words)) => {
            let words = "the server sends whole files only, and this volume keeps many chunks in one (shards). Copy it to \
                         this machine first";
            (ErrorKind::Unsupported, words.into())
        }
        (_, Some(status)) => (ErrorKind::Other, format!("the store answers {status}{said}: {}", short(&text))),
        _ if is_silence(error) => {
            let reason = causes(error).last().map_or_else(String::new, ToString::to_string);
            let words =
                format!("no answer ({}). Check the network and the address{}", short(&reason), endpoint(scheme));
            (ErrorKind::NotConnected, words)
        }
        _ => (ErrorKind::Other, short(&text)),
    }
}

/// The code in a store's XML answer: `<Code>SlowDown</Code>`.
fn code(text: &str) -> Option<&str> {
    let (_, after) = text.split_once("<Code>")?;
    after.split_once("</Code>").map(|(code, _)| code).filter(|code| code.len() < 60)
}

fn short(text: &str) -> String {
    if text.len() > 300 { format!("{}…", text.chars().take(300).collect::<String>()) } else { text.to_owned() }
}

fn credentials(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 => {
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_SKIP_SIGNATURE=true for a public bucket), and check that \
             they may list and read the bucket, and write to it where something is written"
        }
        Scheme::Google => {
            "Set GOOGLE_APPLICATION_CREDENTIALS to the file of a key (GOOGLE_SKIP_SIGNATURE=true for a public bucket), and \
             check the rights on the bucket"
        }
        Scheme::Azure => {
            "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (AZURE_SKIP_SIGNATURE=true for a public \
             container), and check the rights on the container"
        }
        Scheme::Web => "The server wants a login, which is not supported: copy the volume to this machine first",
    }
}

fn endpoint(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 => ", with AWS_ENDPOINT_URL, AWS_REGION and AWS_ALLOW_HTTP where they are set",
        Scheme::Azure => ", with AZURE_STORAGE_ACCOUNT_NAME",
        Scheme::Google | Scheme::Web => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> StoreError {
        StoreError::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn busy_stores_are_asked_again_and_refusals_are_not() {
        for (text, passing) in [
            ("Server returned non-2xx status code: 503 Service Unavailable: ", true),
            ("Server returned non-2xx status code: 429 Too Many Requests: ", true),
            ("Server returned non-2xx status code: 501 Not Implemented: ", false),
            ("Server returned non-2xx status code: 400 Bad Request: ", false),
            ("something else", false),
        ] {
            assert_eq!(is_passing(&generic(text)), passing, "{text}");
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        let denied = StoreError::PermissionDenied {
            path: "a".into(),
            source: "status code: 403 Forbidden: <Error><Code>InvalidAccessKeyId</Code></Error>".into(),
        };
        let bucket = StoreError::NotFound { path: "a".into(), source: "<Code>NoSuchBucket</Code>".into() };
        for (error, expected) in [
            (denied, ["403, InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"]),
            (bucket, ["no such bucket", "endpoint"]),
            (generic("GET http://169.254.169.254/latest/api/token"), ["no credentials", "AWS_ACCESS_KEY_ID"]),
        ] {
            let words = volume_error(Scheme::S3, "s3://b/v".into(), "read", &error).to_string();
            assert!(words.starts_with("s3://b/v: read: "), "{words}");
            assert!(expected.iter().all(|part| words.contains(part)), "{words}");
        }
    }
}
