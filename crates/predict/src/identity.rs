//! What makes two runs the same: all that decides the bytes of a prediction.

use std::collections::BTreeMap;
use std::path::PathBuf;

use deep3m_volume::{Extent, Region, VoxelType};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::PlanSettings;
use crate::{EarlyStop, VariationCount};

/// The models of a prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// The model directory, for readers; a model that was moved is the same.
    pub path: PathBuf,
    /// The SHA-256 of each model's weights in hexadecimal, by its name (`1fm`, `3fm`, `5fm`).
    pub weights: BTreeMap<String, String>,
}

/// All that decides the bytes of a prediction, and is written beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunIdentity {
    /// The program that made it, with its version.
    pub program: String,
    /// The models.
    pub model: ModelIdentity,
    /// How grey values were normalised.
    pub normalisation: Value,
    /// The volume, as an absolute path.
    pub volume: PathBuf,
    /// Its voxels' type.
    pub voxel_type: VoxelType,
    /// The part that was asked for; its first voxel is the output's first voxel.
    pub region: Option<Region>,
    /// Variations that were averaged, at most.
    pub variations: VariationCount,
    /// When fewer were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<EarlyStop>,
    /// Whether the disagreement of the passes is kept, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disagreement: bool,
    /// Sections that went through the network at once.
    pub batch: u32,
    /// The block grid.
    pub plan: PlanSettings,
}

impl RunIdentity {
    /// The name and version that this program writes.
    pub fn this_program() -> String {
        format!("deep3m {}", env!("CARGO_PKG_VERSION"))
    }

    /// The size of the output.
    pub fn output_extent(&self) -> Extent {
        self.region.map_or(self.plan.extent, |region| region.extent)
    }

    /// What differs from another run, as "variations: found 16, expected 8" where `self` is found and `other` expected.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        differences(self, other)
    }
}

/// What differs between two runs; where a model lies is no difference.
pub(crate) fn differences<R: Serialize>(found: &R, expected: &R) -> Vec<String> {
    let value = |run: &R| {
        let mut value = serde_json::to_value(run).unwrap_or_default();
        if let Some(model) = value.get_mut("model").and_then(Value::as_object_mut) {
            model.remove("path");
        }
        value
    };
    let mut differs = Vec::new();
    compare("", &value(found), &value(expected), &mut differs);
    differs
}

/// Goes down two JSON values in step and names each leaf that differs.
fn compare(name: &str, found: &Value, expected: &Value, differs: &mut Vec<String>) {
    let (Value::Object(a), Value::Object(b)) = (found, expected) else {
        if found != expected {
            differs.push(format!("{name}: found {}, expected {}", text(found), text(expected)));
        }
        return;
    };
    for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
        let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        compare(&name, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), differs);
    }
}

/// A JSON value as a reader would write it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
