//! What a person sees on standard error: progress bars and notices.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar on standard error, hidden where that is no terminal. Notices are printed in either case.
pub(crate) struct Progress {
    bar: ProgressBar,
}

/// What a progress bar counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Voxels, shown in mega- and gigavoxels with their rate.
    Voxels,
    /// Sections.
    Sections,
    /// Iterations.
    Iterations,
    /// Seconds of a time budget.
    Seconds,
    /// Workers on other machines, whose rate says nothing.
    Workers,
}

impl Progress {
    /// A bar from 0 to `total`, with rate and time left.
    pub(crate) fn new(label: &str, total: u64, unit: Unit) -> Self {
        let numbers = match unit {
            Unit::Voxels => "{human_pos}/{human_len} voxels  {per_sec}",
            Unit::Sections => "{human_pos}/{human_len} sections  {per_sec}",
            Unit::Iterations => "{human_pos}/{human_len}  {per_sec}",
            Unit::Seconds => "{pos}/{len} s",
            Unit::Workers => "{pos}/{len}",
        };
        let left = if matches!(unit, Unit::Workers) { "" } else { "  {eta} left" };
        let template = format!("{{prefix:>10}} [{{bar:32}}] {numbers}{left}  {{wide_msg}}");
        let style = ProgressStyle::with_template(&template).expect("the template is fixed and tested");
        let bar = ProgressBar::with_draw_target(Some(total), target());
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(label.to_owned());
        Self { bar }
    }

    /// Shows the bar below those that are in the group already.
    pub(crate) fn within(self, group: &Bars) -> Self {
        Self { bar: group.0.add(self.bar) }
    }

    /// Adds to what is done.
    pub(crate) fn advance(&self, by: u64) {
        self.bar.inc(by);
    }

    /// Sets what is done.
    pub(crate) fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Counts `done` as there before this run began, so that rate and time left are those of this run.
    pub(crate) fn resume_at(&self, done: u64) {
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    /// The text at the end of the bar.
    pub(crate) fn message(&self, text: String) {
        self.bar.set_message(text);
    }

    /// Prints a line above the bar.
    pub(crate) fn notice(&self, text: &str) {
        self.bar.suspend(|| notice(text));
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Several bars at a time, one below the other.
pub(crate) struct Bars(MultiProgress);

impl Bars {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(MultiProgress::with_draw_target(target()))
    }
}

/// Standard error, drawn anew four times a second.
fn target() -> ProgressDrawTarget {
    ProgressDrawTarget::stderr_with_hz(4)
}

/// Prints a line that the user should know of.
pub(crate) fn notice(text: &str) {
    eprintln!("note: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_has_a_valid_template() {
        for unit in [Unit::Voxels, Unit::Sections, Unit::Iterations, Unit::Seconds, Unit::Workers] {
            Progress::new("test", 10, unit).finish();
        }
    }
}
