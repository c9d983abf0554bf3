//! What a container sees of the world.

use std::str::FromStr;

/// Something with a name, to be seen under a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// The claim's or file system's name.
    pub(super) source: String,
    /// The absolute path in the container.
    pub(super) path: String,
}

impl FromStr for Mount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || format!("'{text}' found; expected a name and an absolute path, such as microscopy:/data");
        let (source, path) = text.split_once(':').ok_or_else(fail)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        // Kubernetes takes no colon in the path of a mount.
        let fits =
            path.len() > 1 && path.starts_with('/') && !path.contains(':') && super::shell::control(path).is_none();
        if source.is_empty() || !source.chars().all(plain) || !fits {
            return Err(fail());
        }
        Ok(Self { source: source.to_owned(), path: path.trim_end_matches('/').to_owned() })
    }
}

impl Mount {
    /// Whether a path lies in it.
    pub(super) fn holds(&self, path: &str) -> bool {
        path.strip_prefix(&self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts() {
        let mount: Mount = "lab-data:/data/".parse().unwrap();
        assert_eq!(mount, Mount { source: "lab-data".to_owned(), path: "/data".to_owned() });
        assert!(mount.holds("/data/a") && mount.holds("/data") && !mount.holds("/database/a"));
        for bad in ["/data", "a:data", ":/data", "a:/", "a b:/data", "a:/da:ta", "a:/da\nta"] {
            assert!(bad.parse::<Mount>().is_err(), "{bad}");
        }
    }
}
