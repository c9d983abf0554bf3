//! Predictions in CDeep3M's geometry, to reproduce an old result: packages of 1000 + 2 × 12 pixels, blocks of 100
//! sections, its padding, its bytes and its folders. Its seams and its plane-wise scales come with it; [`crate::predict`]
//! has neither.

mod bytes;
mod packages;
mod run;

use deep3m_volume::{VolumeInfo, memory};

pub use run::predict;

use crate::PredictError;
use crate::cost::{MemoryCost, Networks, cdeep3m_cost};

/// The memory of such a prediction at its peak; its blocks cannot be chosen.
pub fn cost(networks: &Networks, info: &VolumeInfo) -> MemoryCost {
    cdeep3m_cost(networks, info)
}

/// Refuses a memory budget that such a prediction does not keep.
///
/// # Errors
/// [`PredictError::Memory`].
pub fn check_memory(networks: &Networks, info: &VolumeInfo, budget: u64) -> Result<(), PredictError> {
    let least = memory::budget_for(cost(networks, info).peak());
    if least <= budget {
        return Ok(());
    }
    Err(PredictError::Memory { budget, least, advice: ", or leave out --layout cdeep3m: its blocks are fixed".into() })
}
