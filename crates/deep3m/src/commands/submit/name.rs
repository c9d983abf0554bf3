//! Names of jobs.

use std::path::Path;

/// Most characters of a name. Kubernetes gives a Pod the Job's name, five random letters, the index and five more, and a
/// host name has at most 63.
const LONGEST: usize = 36;

/// A name that every engine takes: lower-case letters, digits and dashes (RFC 1123).
pub(super) fn parse(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = !text.starts_with('-') && !text.ends_with('-');
    if text.is_empty() || text.len() > LONGEST || !ends || !text.chars().all(plain) {
        return Err(format!(
            "'{text}' found; expected at most {LONGEST} lower-case letters, digits and dashes, no dash at the ends"
        ));
    }
    Ok(text.to_owned())
}

/// A name from what the output is called.
pub(super) fn of_output(output: &str) -> String {
    let stem = Path::new(output).file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let words = stem.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let name = std::iter::once("deep3m").chain(words).collect::<Vec<_>>().join("-");
    name[..name.len().min(LONGEST)].trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_that_is_made_is_a_name(output in "\\PC{0,60}") {
            let name = of_output(&output);
            prop_assert_eq!(parse(&name), Ok(name.clone()));
        }
    }

    #[test]
    fn names() {
        assert_eq!(of_output("/data/My (result)_2.zarr"), "deep3m-my-result-2");
        assert_eq!(of_output("s3://bucket/é.zarr"), "deep3m");
        for bad in ["", "-a", "a-", "A", "a b", "a_b", &"a".repeat(37)] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
