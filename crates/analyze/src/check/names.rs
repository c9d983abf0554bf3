//! The numbers in the names of slices.

use std::path::Path;

use deep3m_volume::{Format, VolumeInfo, fs};

use super::finding::{Code, Finding};

/// Gaps that are named; a folder with more of them is numbered in some other way.
const MOST_GAPS: usize = 20;

/// Slices that are numbered throughout: what is `before` the number, `behind` it, all numbers in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    before: String,
    behind: String,
    digits: usize,
    all: Vec<u64>,
}

impl Numbers {
    /// Of a volume that is a folder of slices.
    pub(super) fn of(info: &VolumeInfo) -> Option<Self> {
        if !matches!(info.format, Format::PngFolder | Format::TiffFolder) {
            return None;
        }
        let names: Vec<String> = fs::list(&info.path).ok()?.iter().filter_map(|path| slice_name(path)).collect();
        Self::in_names(&names).filter(|n| n.all.len() as u64 == info.extent.z)
    }

    /// `None` unless all names differ in one number alone.
    fn in_names(names: &[String]) -> Option<Self> {
        let split: Vec<(&str, &str, &str)> = names.iter().map(|name| last_number(name)).collect::<Option<_>>()?;
        let &(before, digits, behind) = split.first()?;
        if split.iter().any(|s| s.0 != before || s.2 != behind) {
            return None;
        }
        let mut all: Vec<u64> = split.iter().map(|s| s.1.parse().ok()).collect::<Option<_>>()?;
        all.sort_unstable();
        Some(Self { before: before.into(), behind: behind.into(), digits: digits.len(), all })
    }

    fn name(&self, number: u64) -> String {
        format!("{}{number:0digits$}{}", self.before, self.behind, digits = self.digits)
    }

    /// The usual distance of neighbours: 1, or 10 where every tenth section was kept.
    fn step(&self) -> Option<u64> {
        let mut steps: Vec<u64> = self.all.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.sort_unstable();
        steps.get(steps.len() / 2).copied().filter(|&step| step > 0)
    }

    /// Numbers that are missing.
    pub(super) fn gaps(&self) -> Vec<Finding> {
        let Some(step) = self.step() else { return Vec::new() };
        let gaps: Vec<(usize, u64, u64)> = (1..self.all.len())
            .map(|i| (i, self.all[i - 1], self.all[i]))
            .filter(|(_, before, behind)| behind - before > step)
            .collect();
        if gaps.len() > MOST_GAPS {
            return Vec::new();
        }
        gaps.into_iter()
            .map(|(z, before, behind)| {
                let missing = (behind - before).div_ceil(step) - 1;
                let (first, last) = (self.name(before + step), self.name(behind - step));
                let names = if missing == 1 { first } else { format!("{first} to {last}") };
                let files = if missing == 1 { "file is" } else { "files are" };
                let message = format!("{missing} {files} missing before this section: {names}");
                let fix = "copy them into the folder; where there are none, train on the parts on either side";
                Finding::warning(Code::MissingFiles, missing as f64, "files", message, fix).at(z as u64, z as u64)
            })
            .collect()
    }

    /// Images and labels of different numbers.
    pub(super) fn compare(&self, labels: &Self) -> Option<Finding> {
        // Labels that were numbered anew say nothing.
        let anew = |n: &Self| n.all.first().is_some_and(|&first| first <= 1);
        if self.all == labels.all || anew(self) != anew(labels) || self.all.len() != labels.all.len() {
            return None;
        }
        let z = self.all.iter().zip(&labels.all).position(|(a, b)| a != b)?;
        let (image, label) = (self.name(self.all[z]), labels.name(labels.all[z]));
        let message = format!("numbers differ: {image} has the labels {label}");
        let fix = "remove or add files until each image has its own labels";
        let apart = self.all[z].abs_diff(labels.all[z]) as f64;
        Some(Finding::warning(Code::NumbersDiffer, apart, "numbers", message, fix).at(z as u64, z as u64))
    }
}

fn slice_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    (!name.starts_with('.') && ["png", "tif", "tiff"].contains(&ending.as_str())).then(|| name.to_owned())
}

/// What is before the last number of a name, its digits, and what is behind.
fn last_number(name: &str) -> Option<(&str, &str, &str)> {
    let stem = name.rfind('.').unwrap_or(name.len());
    let end = name[..stem].rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = name[..end]
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |i| i + name[i..].chars().next().map_or(1, char::len_utf8));
    Some((&name[..start], &name[start..end], &name[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(names: &[&str]) -> Option<Numbers> {
        Numbers::in_names(&names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn gaps_are_named_with_the_section_behind_them() {
        let found = numbers(&["em_008.png", "em_009.png", "em_010.png", "em_013.png", "em_014.png"]).unwrap().gaps();
        assert_eq!((found.len(), found[0].sections, found[0].figure), (1, Some((3, 3)), 2.0));
        assert!(found[0].message.contains("em_011.png to em_012.png"), "{}", found[0].message);
        assert!(numbers(&["s1.tif", "s2.tif", "s3.tif"]).unwrap().gaps().is_empty());
        assert!(numbers(&["s10.tif", "s20.tif", "s30.tif"]).unwrap().gaps().is_empty(), "every tenth section");
        assert_eq!(numbers(&["s10.tif", "s20.tif", "s30.tif", "s50.tif"]).unwrap().gaps()[0].figure, 1.0);
    }

    #[test]
    fn other_names_say_nothing() {
        assert_eq!(numbers(&["a1.png", "b2.png"]), None);
        assert_eq!(numbers(&["a.png"]), None);
        assert_eq!(numbers(&["99999999999999999999999.png"]), None);
        assert_eq!(last_number("µ7ä.tif"), Some(("µ", "7", "ä.tif")));
    }

    #[test]
    fn images_and_labels_have_the_same_numbers_unless_one_was_numbered_anew() {
        let of = |first: u64| {
            let names: Vec<String> = (first..first + 5).map(|i| format!("x{i:03}.png")).collect();
            Numbers::in_names(&names).unwrap()
        };
        let found = of(10).compare(&of(11)).unwrap();
        assert_eq!((found.figure, found.sections), (1.0, Some((0, 0))));
        assert!(of(10).compare(&of(10)).is_none() && of(10).compare(&of(0)).is_none());
    }
}
