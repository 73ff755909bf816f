//! How a row stands in the tree: its bytes, then one byte that says what they are.
//!
//! ```text
//! value ... | 0x00     the value itself
//! digest    | 0x01     a value too large for the tree: the 32-byte name of the blob that holds it
//! ```
//!
//! These two numbers are on people's disks: never change them. It knows neither keys nor what a value means.

use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::limits;
use crate::store::blobs::Blobs;

const HERE: u8 = 0;
const ASIDE: u8 = 1;

/// The row of a value that stands in the tree itself.
pub(super) fn here(mut value: Vec<u8>) -> Vec<u8> {
    value.push(HERE);
    value
}

/// True for a row that may not stand in the tree as it is.
pub(super) fn too_large_for_the_tree(row: &[u8]) -> bool {
    row.len() > limits::ROW_INLINE_BYTES_MAX + 1
}

/// Puts the value of a large row into a blob and leaves its name.
///
/// Dies it just before the row is committed, then a blob lies there that nothing names: harmless.
pub(super) fn set_aside(row: &mut Vec<u8>, blobs: &Blobs) -> Result<()> {
    let value = row.strip_suffix(&[HERE]).expect("only a row that was just put is set aside");
    let digest = blobs.put(value)?;
    *row = [&digest.as_bytes()[..], &[ASIDE]].concat();
    Ok(())
}

/// The value of a row.
///
/// # Errors
/// `data_corrupt` where it is no row or its blob is not what it was; `store_unavailable` where the blob cannot be read.
pub(super) fn value(row: &[u8], blobs: &Blobs) -> Result<Vec<u8>> {
    match row.split_last() {
        Some((&HERE, value)) => Ok(value.to_vec()),
        Some((&ASIDE, digest)) => blobs.get(&digest_of(digest)?),
        _ => Err(corrupt(row)),
    }
}

/// True if the row, or its absence, is what a guard expects.
pub(super) fn is(row: Option<&[u8]>, expected: Option<&[u8]>) -> bool {
    match (row.and_then(<[u8]>::split_last), expected) {
        (None, None) => true,
        (Some((&HERE, value)), Some(expected)) => value == expected,
        (Some((&ASIDE, digest)), Some(expected)) => {
            expected.len() > limits::ROW_INLINE_BYTES_MAX && digest == Digest::of(expected).as_bytes()
        }
        _ => false,
    }
}

fn digest_of(bytes: &[u8]) -> Result<Digest> {
    let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| corrupt(bytes))?;
    Ok(Digest::from_bytes(bytes))
}

fn corrupt(row: &[u8]) -> Error {
    Error::new(Code::DataCorrupt, format!("a row of {} bytes does not say what it is; the store was damaged from outside", row.len()))
}
