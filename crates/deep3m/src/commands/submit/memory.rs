//! How much memory a worker is given.

use std::str::FromStr;

/// An amount of memory in MiB, which is what engines count in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    mib: u64,
}

impl Memory {
    /// The amount in MiB.
    pub(super) const fn mib(self) -> u64 {
        self.mib
    }

    /// What deep3m may plan with, as an option's value: a quarter is left for what it does not count.
    pub(super) fn to_plan_with(self) -> String {
        format!("{}MiB", self.mib - self.mib / 4)
    }

    /// An amount that the program knows.
    pub(super) const fn from_mib(mib: u64) -> Self {
        Self { mib }
    }
}

impl FromStr for Memory {
    type Err = String;

    /// A number with its unit, rounded up to whole MiB.
    fn from_str(text: &str) -> Result<Self, String> {
        let fail =
            || format!("'{text}' found; expected an amount of memory with its unit, such as 16GB, 16GiB or 500MB");
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fail)?;
        let (number, unit) = text.split_at(end);
        let unit: f64 = match unit.trim() {
            "MB" => 1e6,
            "GB" => 1e9,
            "TB" => 1e12,
            "MiB" => f64::from(1 << 20),
            "GiB" => f64::from(1 << 30),
            "TiB" => f64::from(1 << 20) * f64::from(1 << 20),
            _ => return Err(fail()),
        };
        let bytes = number.parse::<f64>().map_err(|_| fail())? * unit;
        let mib = (bytes / f64::from(1 << 20)).ceil();
        if (1.0..1e12).contains(&mib) { Ok(Self { mib: mib as u64 }) } else { Err(fail()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, mib) in [("16GiB", 16384), ("16GB", 15259), ("1.5 GiB", 1536), ("500MB", 477), ("1TiB", 1 << 20)] {
            assert_eq!(text.parse::<Memory>().unwrap().mib(), mib, "{text}");
        }
        assert_eq!("16GiB".parse::<Memory>().unwrap().to_plan_with(), "12288MiB");
        assert_eq!("1MiB".parse::<Memory>().unwrap().to_plan_with(), "1MiB");
        for bad in ["16", "GB", "-1GB", "0GB", "1e9GB", "16G", "1.2.3GB", "999999999TB", "nanGB", "16 GB of"] {
            assert!(bad.parse::<Memory>().is_err(), "{bad}");
        }
    }
}
