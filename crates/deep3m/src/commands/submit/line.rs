//! The command line of a prediction, taken apart so that workers can be given it.
//!
//! Whatever `deep3m predict` takes is taken here, checked as there, and handed on as it was typed: an option that is added
//! to `predict` needs no word here.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command};

use crate::commands::predict;

/// What is not the user's to give: each worker has a number of its own and is waited for by the engine; an output that each
/// worker replaced would never be complete; results of many workers are not printed one by one.
const NOT_TAKEN: [&str; 4] = ["worker", "wait", "overwrite", "json"];

/// What only the last step does: it needs the whole result.
const LAST_STEP: [&str; 1] = ["seam"];

/// A prediction as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PredictLine {
    words: Vec<Word>,
}

/// A word of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    /// The argument's name in the program.
    id: String,
    /// The option with its dashes; `None` for MODEL and VOLUME.
    option: Option<String>,
    /// What it is given; `None` for a switch.
    value: Option<String>,
    /// Whether the value is a path or an address.
    path: bool,
}

impl PredictLine {
    /// The value of an argument.
    pub(super) fn value(&self, id: &str) -> &str {
        let word = self.words.iter().find(|word| word.id == id);
        word.and_then(|word| word.value.as_deref()).unwrap_or_default()
    }

    /// The same with an option that nobody gave, where `deep3m predict` takes it.
    pub(super) fn with_default(mut self, id: &str, value: &str) -> Self {
        let arguments = arguments();
        let long = arguments.iter().find(|arg| arg.get_id() == id).and_then(Arg::get_long);
        if let (Some(long), true) = (long, self.words.iter().all(|word| word.id != id)) {
            let (option, value) = (Some(format!("--{long}")), Some(value.to_owned()));
            self.words.push(Word { id: id.to_owned(), option, value, path: false });
        }
        self
    }

    /// The same with each path as `place` says it.
    pub(super) fn with_paths<E>(&self, mut place: impl FnMut(&str) -> Result<String, E>) -> Result<Self, E> {
        let mut words = self.words.clone();
        for word in words.iter_mut().filter(|word| word.path) {
            if let Some(value) = &word.value {
                word.value = Some(place(value)?);
            }
        }
        Ok(Self { words })
    }

    /// The words after `deep3m predict` of a worker; its number is not among them.
    pub(super) fn worker(&self) -> Vec<String> {
        self.after_predict(|word| !LAST_STEP.contains(&&*word.id))
    }

    /// The words after `deep3m predict` of the last step.
    pub(super) fn last_step(&self) -> Vec<String> {
        self.after_predict(|_| true)
    }

    fn after_predict(&self, wanted: impl Fn(&Word) -> bool) -> Vec<String> {
        let (options, positions): (Vec<&Word>, Vec<&Word>) =
            self.words.iter().filter(|word| wanted(word)).partition(|word| word.option.is_some());
        let options = options.into_iter().map(|word| match (&word.option, &word.value) {
            (Some(option), Some(value)) => format!("{option}={value}"),
            (Some(option), None) => option.clone(),
            _ => String::new(),
        });
        let positions = positions.into_iter().filter_map(|word| word.value.clone());
        options.chain(std::iter::once("--".to_owned())).chain(positions).collect()
    }
}

/// The arguments of `deep3m predict` that are taken.
fn arguments() -> Vec<Arg> {
    let command = predict::Args::augment_args(Command::new("predict"));
    let taken = command.get_arguments().filter(|arg| !NOT_TAKEN.contains(&arg.get_id().as_str()));
    taken.map(|arg| arg.clone().help_heading(None)).collect()
}

impl clap::Args for PredictLine {
    fn augment_args(command: Command) -> Command {
        command.args(arguments())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for PredictLine {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut line = Self::default();
        for arg in arguments() {
            let id = arg.get_id().as_str();
            // What has its default here has it there.
            if !matches!(matches.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable)) {
                continue;
            }
            let option = arg.get_long().map(|long| format!("--{long}"));
            let path = arg.get_value_parser().type_id() == ValueParser::path_buf().type_id()
                || ["model", "volume", "output"].contains(&id);
            let word = |value| Word { id: id.to_owned(), option: option.clone(), value, path };
            if !matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) {
                line.words.push(word(None));
                continue;
            }
            for values in matches.get_raw_occurrences(id).into_iter().flatten() {
                let delimiter = arg.get_value_delimiter().unwrap_or(',').to_string();
                let values: Vec<&str> = values.map(|value| plain(id, value)).collect::<Result<_, _>>()?;
                line.words.push(word(Some(values.join(&delimiter))));
            }
        }
        Ok(line)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Text that a script or a manifest can hold.
fn plain<'a>(id: &str, value: &'a std::ffi::OsStr) -> Result<&'a str, clap::Error> {
    let refuse = |kind, found: &str| {
        let name = PathBuf::from(value);
        let text =
            format!("{id} {}: {found}; expected plain text. Rename it\n", name.display().to_string().escape_debug());
        clap::Error::raw(kind, text)
    };
    let text = value.to_str().ok_or_else(|| refuse(ErrorKind::InvalidUtf8, "a name that is not UTF-8"))?;
    match super::shell::control(text) {
        Some(control) => Err(refuse(ErrorKind::ValueValidation, &format!("the control character {control:?}"))),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        line: PredictLine,
    }

    fn parse(words: &[&str]) -> Result<PredictLine, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"submit").chain(words)).map(|cli| cli.line)
    }

    #[test]
    fn what_was_typed_is_handed_on() {
        let words = ["m", "--frames", "1,3", "v.tif", "--variations=4", "-o", "a b.zarr", "--seam", "--tile", "256"];
        let line = parse(&words).unwrap();
        assert_eq!(
            line.last_step(),
            ["--output=a b.zarr", "--frames=1,3", "--variations=4", "--tile=256", "--seam", "--", "m", "v.tif"]
        );
        assert!(!line.worker().contains(&"--seam".to_owned()));
        assert_eq!((line.value("volume"), line.value("halo")), ("v.tif", ""));
        // Paths, and nothing else, are moved.
        let moved = line.with_paths(|path| Ok::<_, ()>(format!("/at/{path}"))).unwrap();
        assert_eq!(
            moved.worker(),
            ["--output=/at/a b.zarr", "--frames=1,3", "--variations=4", "--tile=256", "--", "/at/m", "/at/v.tif"]
        );
    }

    #[test]
    fn what_nobody_gave_is_added_where_predict_takes_it() {
        let line = parse(&["m", "v", "-o", "o", "--halo=8"]).unwrap();
        assert_eq!(line.clone().with_default("halo", "16").with_default("nonsense", "1"), line);
        assert_eq!(line.with_default("tile", "64").worker(), ["--output=o", "--halo=8", "--tile=64", "--", "m", "v"]);
    }

    #[test]
    fn what_predict_would_refuse_is_refused() {
        for words in
            [&["m", "v"][..], &["m", "v", "-o", "o", "--variations", "5"], &["m", "v", "-o", "o", "--region", "1"]]
        {
            assert!(parse(words).is_err(), "{words:?}");
        }
        for word in ["--overwrite", "--json", "--worker=0/2"] {
            assert_eq!(parse(&["m", "v", "-o", "o", word]).unwrap_err().kind(), ErrorKind::UnknownArgument, "{word}");
        }
    }

    #[test]
    fn names_that_no_script_can_hold_are_refused() {
        for bad in ["a\nb", "a\rb", "a\u{7f}b", "tab\tin"] {
            let error = parse(&["m", bad, "-o", "o"]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation);
            assert!(error.to_string().contains("control character"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_text_are_refused() {
        use std::os::unix::ffi::OsStrExt;
        let bad = std::ffi::OsStr::from_bytes(b"a\xff");
        let words = ["submit", "m", "v", "-o"].map(std::ffi::OsStr::new);
        let error = Cli::try_parse_from(words.into_iter().chain([bad])).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidUtf8);
    }

    #[test]
    fn what_predict_says_of_itself_is_predict_s() {
        Command::debug_assert(PredictLine::augment_args(Command::new("submit")));
    }
}
