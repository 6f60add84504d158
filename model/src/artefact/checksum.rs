//! A digest over the whole file, inside the file.
//!
//! The digest is SHA-256 of all bytes with its own 64 hexadecimal digits read as `0`. They follow a marker in the
//! metadata that must occur exactly once in the file, so no byte is left uncovered: the header's length, padding,
//! tensors and the case of the digits included. Rejected: a digest of the tensors alone (a changed quantile level
//! would pass), a second file beside the first (two files cannot be swapped at once), and appended bytes (no longer
//! a safetensors file).

use super::error::ArtefactError;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Hexadecimal digits of a SHA-256.
pub(super) const DIGITS: usize = 64;

/// What stands for the digest while it is computed.
pub(super) const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The bytes before the digest: the key inside of the metadata, which is JSON inside of a JSON string. Text of the
/// metadata cannot contain these bytes, because its quotes are escaped twice.
const MARKER: &[u8] = br#"\"sha256\":\""#;

/// Writes the digest into its place, and returns it.
pub(super) fn seal(bytes: &mut [u8]) -> Result<String, ArtefactError> {
    let place = place(bytes)?;
    let digest = digest(bytes, &place);
    bytes[place].copy_from_slice(digest.as_bytes());
    Ok(digest)
}

/// Checks the digest, and returns it.
pub(super) fn verify(bytes: &[u8]) -> Result<String, ArtefactError> {
    let place = place(bytes)?;
    let digest = digest(bytes, &place);
    let written = &bytes[place];
    if written == digest.as_bytes() {
        return Ok(digest);
    }
    let written = String::from_utf8_lossy(written).escape_debug().to_string();
    Err(ArtefactError::Damaged(format!("its checksum is {digest}, the file says {written}")))
}

fn digest(bytes: &[u8], place: &Range<usize>) -> String {
    let mut hash = Sha256::new();
    hash.update(&bytes[..place.start]);
    hash.update(BLANK);
    hash.update(&bytes[place.end..]);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn place(bytes: &[u8]) -> Result<Range<usize>, ArtefactError> {
    let mut found = bytes.windows(MARKER.len()).enumerate().filter(|(_, window)| *window == MARKER).map(|(at, _)| at);
    let start = found.next().map(|at| at + MARKER.len());
    match (start, found.next()) {
        (Some(start), None) if start + DIGITS <= bytes.len() => Ok(start..start + DIGITS),
        (Some(_), None) => Err(ArtefactError::Damaged("it ends inside of its checksum".to_owned())),
        (Some(_), Some(_)) => Err(ArtefactError::Damaged("it has more than one checksum".to_owned())),
        (None, _) => Err(ArtefactError::Damaged("it has no checksum".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn text() -> Vec<u8> {
        format!(r#"head {{\"sha256\":\"{BLANK}\"}} tail"#).into_bytes()
    }

    #[test]
    fn a_sealed_text_verifies_and_sealing_again_changes_nothing() {
        let mut bytes = text();
        let digest = seal(&mut bytes).unwrap();
        assert_eq!(verify(&bytes).unwrap(), digest);
        let before = bytes.clone();
        assert_eq!(seal(&mut bytes).unwrap(), digest);
        assert_eq!(bytes, before);
    }

    #[test]
    fn the_digest_is_that_of_the_text_with_zeros_in_its_place() {
        let digest = seal(&mut text()).unwrap();
        let plain: String = Sha256::digest(text()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, plain);
    }

    #[test]
    fn upper_case_digits_are_refused() {
        let mut bytes = text();
        seal(&mut bytes).unwrap();
        let place = place(&bytes).unwrap();
        bytes[place].make_ascii_uppercase();
        assert!(verify(&bytes).unwrap_err().to_string().contains("the file says"));
    }

    #[test]
    fn no_checksum_two_of_them_and_half_of_one_are_refused() {
        let refusal = |bytes: &[u8]| verify(bytes).unwrap_err().to_string();
        assert!(refusal(b"").contains("no checksum"));
        assert!(refusal(&[text(), text()].concat()).contains("more than one"));
        assert!(refusal(&text()[..60]).contains("inside of its checksum"));
    }
}
