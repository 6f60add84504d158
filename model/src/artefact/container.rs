//! The container: safetensors, with all of our metadata as one JSON text under one key.
//!
//! One key, because the library keeps the keys in a hash map and would write several in a random order: the same
//! model would not be the same bytes. Before the library reads a file, its promised size is compared with the real
//! one, so that a truncated file is called truncated. Rejected: writing the header ourselves.

use super::checksum;
use super::error::ArtefactError;
use super::tensors::Tensor;
use safetensors::SafeTensors;
use std::collections::HashMap;

/// The key under `__metadata__`.
const KEY: &str = "tailcast";

/// Bytes of the header's length at the start of every safetensors file.
const LENGTH_BYTES: usize = 8;

/// Packs and seals.
pub(super) fn pack(json: &str, tensors: Vec<Tensor>) -> Result<Vec<u8>, ArtefactError> {
    let metadata = HashMap::from([(KEY.to_owned(), json.to_owned())]);
    let tensors = tensors.iter().map(|tensor| (tensor.name(), tensor));
    let mut bytes = safetensors::serialize(tensors, Some(metadata))
        .map_err(|error| ArtefactError::Metadata(format!("the container cannot be written: {error}")))?;
    checksum::seal(&mut bytes)?;
    Ok(bytes)
}

/// Checks size, form and checksum; the metadata, the tensors, and the checksum.
pub(super) fn unpack(bytes: &[u8]) -> Result<(String, SafeTensors<'_>, String), ArtefactError> {
    if bytes.len() as u64 > super::MAX_BYTES {
        return Err(ArtefactError::TooLarge { found_bytes: bytes.len() as u64, limit_bytes: super::MAX_BYTES });
    }
    check_form(bytes)?;
    let checksum = checksum::verify(bytes)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| ArtefactError::Damaged(error.to_string()))?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| ArtefactError::Damaged(error.to_string()))?;
    let json = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY)).cloned();
    let json = json.ok_or_else(|| ArtefactError::NotAnArtefact(format!("the metadata has no key {KEY:?}")))?;
    Ok((json, tensors, checksum))
}

/// Compares the promised size with the real one.
fn check_form(bytes: &[u8]) -> Result<(), ArtefactError> {
    let foreign = |what: String| Err(ArtefactError::NotAnArtefact(what));
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return match bytes.len() {
            0 => foreign("the file is empty".to_owned()),
            found_bytes => Err(ArtefactError::Truncated { found_bytes, expected_bytes: LENGTH_BYTES }),
        };
    };
    let length = u64::from_le_bytes(*length);
    if length > super::MAX_BYTES || rest.first().is_some_and(|first| *first != b'{') {
        return foreign("it does not start like a safetensors file".to_owned());
    }
    let expected_bytes = LENGTH_BYTES + length as usize;
    let Some(header) = rest.get(..length as usize) else {
        return Err(ArtefactError::Truncated { found_bytes: bytes.len(), expected_bytes });
    };
    let header: safetensors::tensor::Metadata = match serde_json::from_slice(header) {
        Ok(header) => header,
        Err(error) => return foreign(format!("its header cannot be read: {error}")),
    };
    let expected_bytes = expected_bytes.saturating_add(header.data_len());
    match bytes.len() {
        found_bytes if found_bytes < expected_bytes => Err(ArtefactError::Truncated { found_bytes, expected_bytes }),
        found if found > expected_bytes => {
            Err(ArtefactError::Damaged(format!("it has {found} bytes where {expected_bytes} are announced")))
        }
        _ => Ok(()),
    }
}
