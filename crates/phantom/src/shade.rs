//! Grey values: how stained tissue looks in a block-face scanning electron microscope, from 0 (black) to 255.

use crate::organelle::{Lysosome, Mitochondrion, Myelin, Nucleus, Vesicle};
use crate::process::Place;
use crate::vector::Vec3;

/// Noise at a voxel, each in about -1 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Texture {
    /// Blobs of 24 nm: ribosomes, filaments.
    pub(crate) fine: f32,
    /// Blobs of 70 nm.
    pub(crate) middle: f32,
    /// Blobs of 420 nm.
    pub(crate) coarse: f32,
}

/// Half of the thickness of what is labelled as plasma membrane (two membranes and the cleft between them), in nm.
pub(crate) const MEMBRANE_HALF: f64 = 14.0;

const MEMBRANE: f32 = 78.0;

/// 1 in the middle of a line, 0 at `half` nm from it and beyond.
fn line(distance: f64, half: f64) -> f32 {
    let t = distance / half;
    let rest = (1.0 - t * t).max(0.0);
    (rest * rest) as f32
}

/// From 0 to 1 as `v` goes from `low` to `high`.
fn ramp(v: f64, low: f64, high: f64) -> f32 {
    ((v - low) / (high - low)).clamp(0.0, 1.0) as f32
}

fn mixed(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// A wave of period 1 from -1 to 1, made of parabolas: no library's sine, so that all machines agree.
fn wave(phase: f64) -> f32 {
    let t = phase - phase.floor();
    let half = if t < 0.5 { t } else { t - 0.5 };
    let bow = 16.0 * half * (0.5 - half);
    (if t < 0.5 { bow } else { -bow }) as f32
}

/// Cytoplasm with its plasma membrane.
pub(crate) fn cytoplasm(place: Place, dark_share: f64, t: Texture) -> f32 {
    let h = crate::hash::mix(place.process);
    let kind = crate::hash::unit(h);
    let shift = (h & 0xff) as f32 / 255.0;
    let (grey, grain) = if kind < dark_share {
        // Dark processes: about as dark as mitochondria, and none.
        (103.0 + 22.0 * shift, 16.0)
    } else if kind < 0.45 {
        (132.0 + 20.0 * shift, 34.0)
    } else {
        (152.0 + 32.0 * shift, 24.0)
    };
    // Ribosomes and granules are the highest values of the fine noise, tubules of endoplasmic reticulum the places where
    // the noise of middle size is near zero.
    let speck = (t.fine - 0.4).max(0.0) * 70.0;
    let here = ((t.coarse - 0.05) * 3.0).clamp(0.0, 1.0);
    let tubule = here * (1.0 - (t.middle / 0.16).abs()).max(0.0) * 48.0;
    grey + grain * (0.6 * t.fine + 0.5 * t.middle) + 9.0 * t.coarse - speck - tubule
}

/// The line of the plasma membrane over what is there.
pub(crate) fn membrane(grey: f32, border: f64, t: Texture) -> f32 {
    mixed(grey, MEMBRANE + 9.0 * t.middle, 0.95 * line(border, MEMBRANE_HALF * 2.0 + 4.0 * f64::from(t.coarse)))
}

/// A mitochondrion at signed distance `d` from its surface, over what is outside.
pub(crate) fn mitochondrion(outside: f32, m: &Mitochondrion, d: f64, p: Vec3, t: Texture) -> f32 {
    let across = (p - m.spine.centre()).dot(m.normal) + 16.0 * f64::from(t.coarse) + 9.0 * f64::from(t.middle);
    // Lamellae are interrupted, and keep clear of the inner membrane here and there.
    let present = ((t.middle + 0.55) * 1.4).clamp(0.0, 1.0) * ramp(-d, 14.0, 38.0);
    let stripes = wave(across / m.spacing);
    let inside = m.matrix + m.cristae * stripes * present + 7.0 * t.fine + 7.0 * t.coarse;
    // Outer membrane, a paler gap, inner membrane.
    let envelope = m.matrix - 14.0;
    let inside = mixed(inside, envelope, 0.85 * line(d + 26.0, 11.0));
    let inside = mixed(inside, m.matrix + 26.0, 0.7 * line(d + 15.0, 9.0));
    let body = mixed(outside, inside, ramp(-d, -4.0, 6.0));
    mixed(body, envelope, 0.9 * line(d + 3.0, 12.0))
}

/// A nucleus at signed distance `d` from its envelope.
pub(crate) fn nucleus(outside: f32, _n: &Nucleus, d: f64, t: Texture) -> f32 {
    // Heterochromatin lines the envelope and lies in clumps; between them the nucleoplasm is pale and mottled.
    let dense = f64::from(t.coarse) * 0.9 + 0.35 - 0.0011 * (-d - 120.0);
    let clump = ramp(dense + 0.25 * f64::from(t.middle), -0.12, 0.12);
    let pale = 168.0 + 26.0 * t.middle + 12.0 * t.fine;
    let grey = 118.0 + 6.0 * t.middle + 5.0 * t.fine;
    let inside = mixed(pale, grey, clump);
    let body = mixed(outside, inside, ramp(-d, -4.0, 6.0));
    mixed(mixed(body, 70.0, 0.9 * line(d + 8.0, 16.0)), 66.0, 0.6 * line(d + 34.0, 14.0))
}

/// A myelinated axon at signed distance `d` from the sheath's outer surface.
pub(crate) fn myelin(outside: f32, m: &Myelin, d: f64, t: Texture) -> f32 {
    let depth = -d + 10.0 * f64::from(t.coarse);
    let sheath = 42.0 + 9.0 * wave(depth / 34.0) + 8.0 * t.middle;
    let axon = 186.0 + 14.0 * t.fine + 12.0 * t.middle;
    let inside = mixed(sheath, axon, ramp(depth, m.sheath - 6.0, m.sheath + 6.0));
    mixed(outside, inside, ramp(-d, -6.0, 6.0))
}

/// A lysosome at signed distance `d` from its surface.
pub(crate) fn lysosome(outside: f32, l: &Lysosome, d: f64, t: Texture) -> f32 {
    let inside = l.grey + l.mottle * (t.middle + 0.5 * t.fine);
    mixed(mixed(outside, inside, ramp(-d, -5.0, 7.0)), l.grey.min(60.0), 0.6 * line(d, 10.0))
}

/// Cisternae: pairs of membranes with a pale lumen, in a patch that fades at `d` = 0.
pub(crate) fn stack(outside: f32, across: f64, spacing: f64, d: f64, t: Texture) -> f32 {
    let phase = (across + 22.0 * f64::from(t.coarse) + 8.0 * f64::from(t.middle)) / spacing;
    let strength = ramp(-d, 0.0, 50.0) * (0.8 + 0.5 * t.coarse).clamp(0.0, 1.0);
    let s = wave(phase);
    mixed(outside, if s > 0.0 { 92.0 } else { outside + 14.0 }, strength * s.abs() * 0.85)
}

/// A synaptic vesicle at signed distance `d` from its surface.
pub(crate) fn vesicle(outside: f32, _v: &Vesicle, d: f64) -> f32 {
    let body = mixed(outside, 172.0, ramp(-d, 4.0, 12.0));
    mixed(body, 74.0, 0.9 * line(d + 3.5, 9.0))
}
