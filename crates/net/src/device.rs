//! Where a network runs: chosen at run time among what the program was built with and what the machine has.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

/// What `--device` chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceChoice {
    /// The first NVIDIA GPU, else the first GPU that Vulkan finds, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU by its number.
    Cuda(usize),
    /// A GPU by its number among those that Vulkan finds.
    Vulkan(usize),
}

/// Why a device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Text that names no device.
    #[error("device: found \"{found}\"; expected auto, cpu, cuda, cuda:N, vulkan or vulkan:N")]
    Unknown {
        /// What was written.
        found: String,
    },
    /// The program was built without it.
    #[error(
        "device {choice}: this deep3m was built without it; build with `--features {feature}`, or use --device cpu"
    )]
    NotBuiltIn {
        /// What was asked for.
        choice: DeviceChoice,
        /// The cargo feature that adds it.
        feature: &'static str,
    },
    /// The machine does not have it.
    #[error(
        "device {choice}: found {found} such device(s) on this machine; numbers count from 0. Is the driver installed?"
    )]
    Absent {
        /// What was asked for.
        choice: DeviceChoice,
        /// How many there are.
        found: usize,
    },
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Vulkan(number) => write!(f, "vulkan:{number}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || DeviceError::Unknown { found: text.to_owned() };
        let (kind, number) = match text.split_once(':') {
            Some((kind, number)) => (kind, number.parse().map_err(|_| unknown())?),
            None => (text, 0),
        };
        match kind {
            "auto" if kind == text => Ok(Self::Auto),
            "cpu" if kind == text => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(number)),
            "vulkan" => Ok(Self::Vulkan(number)),
            _ => Err(unknown()),
        }
    }
}

impl DeviceChoice {
    /// The device, without automatic differentiation (see [`Device::autodiff`]).
    pub fn open(self) -> Result<Device, DeviceError> {
        match self.resolve() {
            Self::Cuda(number) => {
                pick(self, number, cuda().ok_or(DeviceError::NotBuiltIn { choice: self, feature: "cuda" })?)
            }
            Self::Vulkan(number) => {
                pick(self, number, vulkan().ok_or(DeviceError::NotBuiltIn { choice: self, feature: "vulkan" })?)
            }
            Self::Cpu | Self::Auto => Ok(Device::flex()),
        }
    }

    /// `Auto` replaced by the device that it means on this machine.
    #[must_use]
    pub fn resolve(self) -> Self {
        if self != Self::Auto {
            return self;
        }
        if cuda().is_some_and(|devices| !devices.is_empty()) {
            Self::Cuda(0)
        } else if vulkan().is_some_and(|devices| !devices.is_empty()) {
            Self::Vulkan(0)
        } else {
            Self::Cpu
        }
    }

    /// What kind of device it is: "cpu", "cuda" or "vulkan". Devices of one kind round alike.
    pub fn kind(self) -> &'static str {
        match self.resolve() {
            Self::Cuda(_) => "cuda",
            Self::Vulkan(_) => "vulkan",
            Self::Cpu | Self::Auto => "cpu",
        }
    }

    /// The device in words, for logs and reports: "CPU, 8 threads", "NVIDIA GPU 0 (CUDA)".
    pub fn describe(self) -> String {
        match self.resolve() {
            Self::Cuda(number) => format!("NVIDIA GPU {number} (CUDA)"),
            Self::Vulkan(number) => format!("GPU {number} (Vulkan)"),
            Self::Cpu | Self::Auto => {
                let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
                format!("CPU, {threads} threads")
            }
        }
    }
}

fn pick(choice: DeviceChoice, number: usize, mut devices: Vec<Device>) -> Result<Device, DeviceError> {
    let found = devices.len();
    if number < found { Ok(devices.swap_remove(number)) } else { Err(DeviceError::Absent { choice, found }) }
}

/// The NVIDIA GPUs; `None` where the program was built without CUDA.
#[cfg(feature = "cuda")]
fn cuda() -> Option<Vec<Device>> {
    Some(Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec())
}

/// The NVIDIA GPUs; `None` where the program was built without CUDA.
#[cfg(not(feature = "cuda"))]
const fn cuda() -> Option<Vec<Device>> {
    None
}

/// The GPUs that Vulkan finds; `None` where the program was built without it.
#[cfg(feature = "vulkan")]
fn vulkan() -> Option<Vec<Device>> {
    Some(Device::enumerate(burn::tensor::DeviceType::Vulkan).into_vec())
}

/// The GPUs that Vulkan finds; `None` where the program was built without it.
#[cfg(not(feature = "vulkan"))]
const fn vulkan() -> Option<Vec<Device>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_back() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda(1), DeviceChoice::Vulkan(0)] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for bad in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "auto:1"] {
            assert!(bad.parse::<DeviceChoice>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_cpu_is_always_there_and_others_say_why_not() {
        assert!(DeviceChoice::Cpu.open().is_ok());
        let error = DeviceChoice::Cuda(99).open().unwrap_err().to_string();
        assert!(error.contains("cuda:99"), "{error}");
    }
}
