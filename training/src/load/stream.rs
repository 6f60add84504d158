//! An Arrow IPC stream that may be cut off or damaged: every whole batch before the damage.
//!
//! A stream is a row of messages, each `FFFFFFFF`, length, header, body (Arrow columnar format, "IPC streaming
//! format"). The walk finds the messages that are whole; each is decoded behind the schema message as a stream
//! of its own, so that a bad batch spoils neither the batches before it nor the decoder's state.

use super::{check_metadata, columns_read};
use arrow::ipc::{MessageHeader, root_as_message};
use polars::prelude::*;
use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;

/// Marks the start of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// A message of length zero: the end of a stream.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Length of the marker and the length field.
const PREFIX_BYTES: usize = 8;

/// The whole messages of a stream.
struct Messages {
    schema: Range<usize>,
    batches: Vec<Range<usize>>,
    end: usize,
}

/// The table of all whole batches, or of the last of them that together have `rows` rows, and the bytes after them that
/// belong to none.
pub(super) fn read(bytes: &[u8], rows: usize) -> Result<(DataFrame, u64), String> {
    let messages = walk(bytes)?;
    let schema = &bytes[messages.schema.clone()];
    let mut stream = IpcStreamReader::new(Cursor::new(schema.to_vec()));
    let metadata = stream.custom_metadata().map_err(|error| error.to_string())?;
    let metadata: HashMap<String, String> = metadata
        .map(|pairs| pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect())
        .unwrap_or_default();
    check_metadata(&metadata)?;
    let mut end = messages.end;
    // From the last back, so that of a long segment no more is decoded than is asked for.
    let (mut frames, mut found) = (Vec::new(), 0);
    for batch in messages.batches.into_iter().rev() {
        if found >= rows {
            break;
        }
        let start = batch.start;
        match decode(schema, &bytes[batch]) {
            Ok(frame) => {
                found += frame.height();
                frames.push(frame);
            }
            // Nothing behind a damaged batch is trusted.
            Err(_) => {
                frames.clear();
                (found, end) = (0, start);
            }
        }
    }
    let mut table = decode(schema, &[])?;
    for frame in frames.into_iter().rev() {
        table.vstack_mut_owned(frame).map_err(|error| error.to_string())?;
    }
    Ok((table, (bytes.len() - end) as u64))
}

fn decode(schema: &[u8], batch: &[u8]) -> Result<DataFrame, String> {
    let names = columns_read().into_iter().map(|(name, _)| name).collect();
    let stream = [schema, batch, &END_OF_STREAM].concat();
    IpcStreamReader::new(Cursor::new(stream)).with_columns(Some(names)).finish().map_err(|error| error.to_string())
}

fn walk(bytes: &[u8]) -> Result<Messages, String> {
    let (kind, mut end) = message(bytes, 0).ok_or("it is no Arrow IPC stream, or was cut off in its schema")?;
    if kind != MessageHeader::Schema {
        return Err("it is no Arrow IPC stream: the first message is no schema".to_owned());
    }
    let schema = 0..end;
    let mut batches = Vec::new();
    while let Some((kind, next)) = message(bytes, end) {
        if kind != MessageHeader::RecordBatch {
            break;
        }
        batches.push(end..next);
        end = next;
    }
    if bytes[end..] == END_OF_STREAM {
        end = bytes.len();
    }
    Ok(Messages { schema, batches, end })
}

/// The kind of the message that starts at `start`, and where it ends; `None` where no whole message starts there.
fn message(bytes: &[u8], start: usize) -> Option<(MessageHeader, usize)> {
    let prefix = bytes.get(start..start.checked_add(PREFIX_BYTES)?)?;
    let (marker, length) = prefix.split_at(4);
    if marker != CONTINUATION {
        return None;
    }
    let length = usize::try_from(i32::from_le_bytes(length.try_into().ok()?)).ok()?;
    let header_end = start.checked_add(PREFIX_BYTES)?.checked_add(length)?;
    let header = root_as_message(bytes.get(start + PREFIX_BYTES..header_end)?).ok()?;
    let end = header_end.checked_add(usize::try_from(header.bodyLength()).ok()?)?;
    (end <= bytes.len()).then_some((header.header_type(), end))
}
