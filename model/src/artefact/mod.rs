//! The artefact: one file that holds a model, in a container that cannot execute anything.
//!
//! | module | is |
//! | --- | --- |
//! | [`mod@file`] | reading within a size limit, writing whole or not at all |
//! | `container` | safetensors: a JSON header and raw tensors, which Python opens too |
//! | `checksum` | SHA-256 over all bytes |
//! | `metadata` | the JSON |
//! | `tensors` | typed arrays to and from the container |
//! | `ensemble` | the tensors of imported trees |
//! | [`error`] | why a file is refused |
//!
//! Reading refuses in this order, so that the message names the cause and not a symptom: size, container,
//! truncation, checksum, format version, feature schema, shapes and numbers, canary. Rejected: `bincode` or another
//! serialisation of Rust's own structs, which changes with the structs and opens nowhere else.

mod checksum;
mod container;
mod ensemble;
pub mod error;
pub mod file;
mod metadata;
mod tensors;

use crate::bandit::Bandit;
use crate::calibration::Calibration;
use crate::errors::{ErrorHead, ErrorTerm};
use crate::forest::{Forest, ForestParts, Split, Tree};
use crate::groups::TenantGroups;
use crate::parts::ModelParts;
use error::ArtefactError;
use metadata::Metadata;
use tailcast_features::{FEATURE_COUNT, Row};
use tensors::{Tensor, Tensors};

/// Version of the format. A reader knows each version exactly; a change of meaning is a new number.
pub const FORMAT_VERSION: u32 = 1;

/// Version of a file whose trees another library trained: `ensemble.*` in place of `forest.*`. Releases that do not know such
/// trees refuse it by its number, and go on reading the models that were trained here.
pub const ENSEMBLE_VERSION: u32 = 2;

/// The version of the file of a model.
pub fn format_version(parts: &ModelParts) -> u32 {
    if parts.ensemble.is_some() { ENSEMBLE_VERSION } else { FORMAT_VERSION }
}

/// Largest file that is read: a hundred times a model of a thousand trees, and no danger to a proxy's memory.
pub const MAX_BYTES: u64 = 64 << 20;

/// What a file says.
#[derive(Debug)]
pub(crate) struct Artefact {
    pub(crate) parts: ModelParts,
    pub(crate) canary_forecasts: Vec<f32>,
    pub(crate) checksum: String,
}

/// Serialises valid parts; the same parts give the same bytes.
pub(crate) fn write(parts: &ModelParts, canary_forecasts: &[f32]) -> Result<Vec<u8>, ArtefactError> {
    let mut tensors = match &parts.ensemble {
        Some(ensemble) => ensemble::tensors(ensemble.parts()),
        None => forest_tensors(parts.forest.parts()),
    };
    let (groups, quantiles) = (parts.groups.count, parts.quantiles.len());
    let of_tenants = &parts.groups.tenants;
    let cells = [groups, parts.bandit.endpoints.len()];
    let column = |of: fn(&ErrorTerm) -> f32| parts.errors.terms.iter().map(of).collect::<Vec<f32>>();
    let features: Vec<u16> = parts.errors.terms.iter().map(|term| term.feature).collect();
    tensors.extend([
        Tensor::f32("calibration.offsets", &[groups, quantiles], &parts.calibration.offsets),
        Tensor::u64("groups.tenant_hashes", &of_tenants.iter().map(|(hash, _)| *hash).collect::<Vec<_>>()),
        Tensor::u16("groups.tenant_groups", &of_tenants.iter().map(|(_, group)| *group).collect::<Vec<_>>()),
        Tensor::f32("groups.centroids", &[groups, parts.groups.dimensions()], &parts.groups.centroids.concat()),
        Tensor::u64("bandit.endpoints", &parts.bandit.endpoints),
        Tensor::f32("bandit.weights", &cells, &parts.bandit.weights),
        Tensor::f32("bandit.counts", &cells, &parts.bandit.counts),
        Tensor::f32("bandit.variances", &cells, &parts.bandit.variances),
        Tensor::u16("errors.features", &features),
        Tensor::f32("errors.weights", &[features.len()], &column(|term| term.weight)),
        Tensor::f32("errors.means", &[features.len()], &column(|term| term.mean)),
        Tensor::f32("errors.scales", &[features.len()], &column(|term| term.scale)),
        Tensor::f32("errors.intercept", &[1], &[parts.errors.intercept]),
        Tensor::f32("canary.rows", &[parts.canary_rows.len(), FEATURE_COUNT], parts.canary_rows.as_flattened()),
        Tensor::f32("canary.forecasts", &[parts.canary_rows.len(), groups, quantiles], canary_forecasts),
    ]);
    container::pack(&Metadata::of(parts).to_json()?, tensors)
}

/// Reads an artefact; what it says still has to be validated as a model.
pub(crate) fn read(bytes: &[u8]) -> Result<Artefact, ArtefactError> {
    let (json, container, checksum) = container::unpack(bytes)?;
    let metadata = Metadata::from_json(&json)?;
    let mut tensors = Tensors::new(&container);
    let quantiles = metadata.quantiles.len();
    let (forest, ensemble) = match metadata.trained_by {
        Some(trainer) => (Forest::without_trees(quantiles)?, Some(ensemble::read(&mut tensors, trainer, quantiles)?)),
        None => (read_forest(&mut tensors, quantiles)?, None),
    };
    let (groups, cells) = (metadata.tenant_groups, &[metadata.tenant_groups, tensors.len_of("bandit.endpoints")?]);
    let parts = ModelParts {
        calibration: Calibration { offsets: tensors.f32("calibration.offsets", &[groups, quantiles])? },
        groups: read_groups(&mut tensors, groups, metadata.default_group)?,
        bandit: Bandit {
            endpoints: tensors.u64("bandit.endpoints")?,
            weights: tensors.f32("bandit.weights", cells)?,
            counts: tensors.f32("bandit.counts", cells)?,
            variances: tensors.f32("bandit.variances", cells)?,
        },
        errors: read_errors(&mut tensors)?,
        canary_rows: read_rows(&mut tensors)?,
        forest,
        ensemble,
        quantiles: metadata.quantiles,
        importance: metadata.importance,
        window: metadata.window,
        rows: metadata.rows,
        metrics: metadata.metrics,
        parent: metadata.parent,
        library_version: metadata.library_version,
        created_unix_secs: metadata.created_unix_secs,
    };
    let canary_forecasts = tensors.f32("canary.forecasts", &[parts.canary_rows.len(), groups, quantiles])?;
    ArtefactError::check_finite("canary.forecasts", &canary_forecasts)?;
    tensors.refuse_others()?;
    Ok(Artefact { parts, canary_forecasts, checksum })
}

fn forest_tensors(forest: &ForestParts) -> Vec<Tensor> {
    let counts: Vec<u16> = forest.borders.iter().map(|borders| borders.len() as u16).collect();
    let depths: Vec<u16> = forest.trees.iter().map(|tree| tree.splits.len() as u16).collect();
    let splits = || forest.trees.iter().flat_map(|tree| &tree.splits);
    let leaves: Vec<f32> = forest.trees.iter().flat_map(|tree| tree.leaves.iter().copied()).collect();
    let (quantiles, borders) = (forest.base.len(), forest.borders.concat());
    vec![
        Tensor::u16("forest.border_counts", &counts),
        Tensor::f32("forest.borders", &[borders.len()], &borders),
        Tensor::f32("forest.base", &[quantiles], &forest.base),
        Tensor::u16("forest.tree_depths", &depths),
        Tensor::u16("forest.split_features", &splits().map(|split| split.feature).collect::<Vec<_>>()),
        Tensor::u8("forest.split_bins", &splits().map(|split| split.bin).collect::<Vec<_>>()),
        Tensor::f32("forest.leaves", &[leaves.len() / quantiles.max(1), quantiles], &leaves),
    ]
}

fn read_forest(tensors: &mut Tensors<'_>, quantiles: usize) -> Result<Forest, ArtefactError> {
    let counts = tensors.u16("forest.border_counts")?;
    let depths = tensors.u16("forest.tree_depths")?;
    for (at, depth) in depths.iter().enumerate() {
        // Before it is used as a power of two.
        ArtefactError::check_index("forest.tree_depths", at, usize::from(*depth), crate::forest::MAX_DEPTH)?;
    }
    let total = |counts: &[u16]| counts.iter().map(|count| usize::from(*count)).sum::<usize>();
    let leaf_count = depths.iter().map(|depth| 1usize << depth).sum::<usize>();
    let borders = tensors.f32("forest.borders", &[total(&counts)])?;
    let features = tensors.u16("forest.split_features")?;
    let bins = tensors.u8("forest.split_bins")?;
    ArtefactError::check_len("forest.split_features", features.len(), vec![total(&depths)])?;
    ArtefactError::check_len("forest.split_bins", bins.len(), vec![total(&depths)])?;
    let leaves = tensors.f32("forest.leaves", &[leaf_count, quantiles])?;
    let mut borders = borders.into_iter();
    let mut splits = features.into_iter().zip(bins).map(|(feature, bin)| Split { feature, bin });
    let mut leaves = leaves.into_iter();
    Forest::new(ForestParts {
        base: tensors.f32("forest.base", &[quantiles])?,
        borders: counts.iter().map(|count| borders.by_ref().take(usize::from(*count)).collect()).collect(),
        trees: depths
            .iter()
            .map(|depth| Tree {
                splits: splits.by_ref().take(usize::from(*depth)).collect(),
                leaves: leaves.by_ref().take(quantiles << depth).collect(),
            })
            .collect(),
    })
}

fn read_groups(tensors: &mut Tensors<'_>, count: usize, default_group: u16) -> Result<TenantGroups, ArtefactError> {
    // A shape of [any, 0] holds no bytes, so the file's size does not bound the count.
    ArtefactError::check_index("groups.count", 0, count, crate::groups::MAX_GROUPS)?;
    let hashes = tensors.u64("groups.tenant_hashes")?;
    let groups = tensors.u16("groups.tenant_groups")?;
    ArtefactError::check_len("groups.tenant_groups", groups.len(), vec![hashes.len()])?;
    let (flat, shape) = tensors.f32_any("groups.centroids")?;
    let dimensions = match shape[..] {
        [rows, dimensions] if rows == count => dimensions,
        _ => {
            return Err(ArtefactError::WrongShape {
                tensor: "groups.centroids",
                found: flat.len(),
                expected: count,
                shape,
            });
        }
    };
    let centroids = (0..count).map(|group| flat[group * dimensions..(group + 1) * dimensions].to_vec()).collect();
    Ok(TenantGroups { tenants: hashes.into_iter().zip(groups).collect(), count, centroids, default_group })
}

fn read_errors(tensors: &mut Tensors<'_>) -> Result<ErrorHead, ArtefactError> {
    let features = tensors.u16("errors.features")?;
    let shape = &[features.len()];
    let weights = tensors.f32("errors.weights", shape)?;
    let means = tensors.f32("errors.means", shape)?;
    let scales = tensors.f32("errors.scales", shape)?;
    let terms = features.iter().zip(weights).zip(means.into_iter().zip(scales));
    Ok(ErrorHead {
        intercept: tensors.f32("errors.intercept", &[1])?.first().copied().unwrap_or(f32::NAN),
        terms: terms
            .map(|((feature, weight), (mean, scale))| ErrorTerm { feature: *feature, weight, mean, scale })
            .collect(),
    })
}

fn read_rows(tensors: &mut Tensors<'_>) -> Result<Vec<Row>, ArtefactError> {
    let rows = tensors.f32_any("canary.rows")?.1.first().copied().unwrap_or(0);
    let flat = tensors.f32("canary.rows", &[rows, FEATURE_COUNT])?;
    Ok(flat.as_chunks::<FEATURE_COUNT>().0.to_vec())
}

#[cfg(test)]
mod tests;
