//! A volume that a command makes under another name, and that appears when it is whole.

use std::path::{Path, PathBuf};

use deep3m_volume::{
    Format, VolumeSpec, VolumeWriter, create_as, fs, is_remote, remove_folder_volume, reopen, same_place,
};
use miette::{IntoDiagnostic, Result};

/// Where an output is made, so that no half of it is taken for the whole.
pub(crate) struct Target {
    out: PathBuf,
    made: PathBuf,
    format: Format,
    overwrite: bool,
}

impl Target {
    /// For labels of 32 bits, made from these inputs.
    pub(crate) fn of_labels(out: &Path, inputs: &[&Path], overwrite: bool) -> Result<Self> {
        if !is_remote(out) && matches!(Format::of_output(out), Format::Mrc | Format::PngFolder | Format::TiffFolder) {
            miette::bail!(
                "{}: found a format without labels of 32 bits; expected a name ending in .zarr, .precomputed, .h5 or .tif",
                out.display()
            );
        }
        Self::new(out, inputs, overwrite, " --labels")
    }

    /// For an image or a probability, made from these inputs.
    pub(crate) fn of_image(out: &Path, inputs: &[&Path], overwrite: bool) -> Result<Self> {
        Self::new(out, inputs, overwrite, "")
    }

    fn new(out: &Path, inputs: &[&Path], overwrite: bool, labels: &str) -> Result<Self> {
        let format = Format::of_output(out);
        if is_remote(out) {
            miette::bail!(
                "{}: found an output in object storage; expected a path on this machine. Copy it there afterwards: deep3m \
                 convert OUT.zarr -o {}{labels}",
                out.display(),
                out.display()
            );
        }
        if inputs.iter().any(|input| same_place(out, input)) {
            miette::bail!("{}: is read by this command; choose another output", out.display());
        }
        if !overwrite && format.is_folder() && out.exists() {
            miette::bail!("{}: already exists; choose another name, or give --overwrite to replace it", out.display());
        }
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let made = if format.is_folder() { out.with_file_name(name) } else { out.to_owned() };
        Ok(Self { out: out.to_owned(), made, format, overwrite })
    }

    /// Where an output that is a folder is made; `None` for one file.
    pub(crate) fn made_beside(&self) -> Option<&Path> {
        self.is_moved().then_some(self.made.as_path())
    }

    /// Goes on with what a process made that was stopped.
    pub(crate) fn reopen(&self) -> Result<Box<dyn VolumeWriter>> {
        reopen(&self.made).into_diagnostic()
    }

    /// Removes what is made so far, where that is a folder.
    pub(crate) fn remove_made(&self) -> Result<()> {
        if self.is_moved() && self.made.exists() {
            remove_folder_volume(&self.made, self.format).into_diagnostic()?;
            fs::remove_dir(&self.made).into_diagnostic()?;
        }
        Ok(())
    }

    /// Begins the output.
    pub(crate) fn create(&self, spec: &VolumeSpec) -> Result<Box<dyn VolumeWriter>> {
        // What a killed process left.
        self.remove_made()?;
        create_as(&self.made, self.format, spec, self.overwrite).into_diagnostic()
    }

    fn is_moved(&self) -> bool {
        self.made != self.out
    }

    /// Gives the finished output its name.
    pub(crate) fn take_place(&self) -> Result<()> {
        if !self.is_moved() {
            return Ok(());
        }
        if self.overwrite && self.out.exists() {
            remove_folder_volume(&self.out, self.format).into_diagnostic()?;
            fs::remove_dir(&self.out).into_diagnostic()?;
        }
        std::fs::rename(&self.made, &self.out)
            .map_err(|e| miette::miette!("{}: rename into place: {e}", self.out.display()))
    }
}
