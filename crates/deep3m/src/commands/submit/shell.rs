//! Words of a shell's command line.

/// The first control character of a text. None has business in a name, and a line end would end a line of a script.
pub(super) fn control(text: &str) -> Option<char> {
    text.chars().find(|c| c.is_control())
}

/// A word that a POSIX shell takes as `text`, whatever is in it.
///
/// Single quotes keep everything but themselves (POSIX shell command language, 2.2.2).
pub(super) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Words as one line.
pub(super) fn words<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// `first`, which is shell as it stands, and words after it: one option on each line, and on the last what is after `--`.
pub(super) fn command(first: &str, words_after: &[String]) -> String {
    let end = words_after.iter().position(|word| word == "--").unwrap_or(words_after.len());
    let options = words_after[..end].iter().map(|word| quote(word));
    let last = words(&words_after[end..]);
    let lines: Vec<String> = std::iter::once(first.to_owned()).chain(options).chain([last]).collect();
    lines.join(" \\\n  ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What a shell makes of a script, byte for byte.
    fn evaluate(shell: &str, script: &str) -> Vec<u8> {
        let output = Command::new(shell).args(["-c", script]).env("HOME", "/home/other").output().unwrap();
        assert!(output.status.success(), "{script:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Text full of what shells take for something else.
    fn nasty() -> impl Strategy<Value = String> {
        let special = prop::sample::select(" '\"\\$`!*?[]{}()<>|&;#~=%^-abä→".chars().collect::<Vec<_>>());
        prop::collection::vec(special, 0..12).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_shell_reads_what_was_quoted(texts in prop::collection::vec(prop_oneof![nasty(), "[^\\p{Cc}]{0,12}"], 1..6)) {
            let expected: Vec<u8> = texts.iter().flat_map(|text| text.bytes().chain([0])).collect();
            for shell in ["sh", "bash"] {
                let one = format!("for word in {}; do printf '%s\\000' \"$word\"; done", words(&texts));
                prop_assert_eq!(evaluate(shell, &one), &expected[..]);
                let many = command("set --", &texts);
                let read = evaluate(shell, &format!("{many}\nfor word; do printf '%s\\000' \"$word\"; done"));
                // `set` drops nothing but its own `--`.
                prop_assert_eq!(read, &expected[..]);
            }
        }
    }

    #[test]
    fn plain_words_stay_readable() {
        assert_eq!(words(&["--output=/data/a.zarr", "", "it's"]), r"--output=/data/a.zarr '' 'it'\''s'");
        let after = ["--tile=256", "--output=a b", "--", "m", "v"].map(str::to_owned);
        assert_eq!(
            command("deep3m predict", &after),
            "deep3m predict \\\n  --tile=256 \\\n  '--output=a b' \\\n  -- m v"
        );
    }
}
