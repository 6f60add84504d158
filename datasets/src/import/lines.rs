//! Lines of an input that is not trusted: plain or gzip, bounded, in any encoding that is nearly UTF-8.

use super::ImportError;
use flate2::bufread::MultiGzDecoder;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::rc::Rc;

/// Longest line that is read as one. Access logs cut requests at 8 to 64 KiB; beyond a mebibyte it is no log line.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Size of the read buffer: what one system call brings.
const BUFFER_BYTES: usize = 64 << 10;

/// The first bytes of a gzip member.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A line without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Number, from one.
    pub(super) number: u64,
    /// Its text; bytes that are not UTF-8 are replaced by U+FFFD.
    pub(super) text: String,
    /// Whether it was longer than [`MAX_LINE_BYTES`], so that `text` is its beginning.
    pub(super) cut: bool,
}

/// Reads lines.
pub(super) struct Lines<'a> {
    input: Box<dyn BufRead + 'a>,
    /// Lines that were given back.
    waiting: VecDeque<Line>,
    read: u64,
    bytes: Rc<Cell<u64>>,
    buffer: Vec<u8>,
}

impl<'a> Lines<'a> {
    /// Looks at the first bytes and unpacks if they are gzip's.
    pub(super) fn open(input: impl Read + 'a) -> Result<Self, ImportError> {
        let bytes = Rc::new(Cell::new(0));
        let mut input = Counting { input, bytes: Rc::clone(&bytes) };
        let mut head = Vec::with_capacity(4);
        let source = |source| ImportError::Read { line: 0, source };
        // A pipe may give one byte at a time, so the head is read until it is there.
        input.by_ref().take(4).read_to_end(&mut head).map_err(source)?;
        if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = head.as_slice() {
            return Err(ImportError::Encoding { found: "UTF-16" });
        }
        if let [0x28, 0xb5, 0x2f, 0xfd] = head.as_slice() {
            return Err(ImportError::Encoding { found: "zstd" });
        }
        if head.starts_with(b"PAR1") {
            return Err(ImportError::Encoding { found: "Parquet" });
        }
        let packed = head.starts_with(&GZIP_MAGIC);
        let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(input));
        let input: Box<dyn BufRead + 'a> = if packed {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(whole)))
        } else {
            Box::new(whole)
        };
        Ok(Self { input, waiting: VecDeque::new(), read: 0, bytes, buffer: Vec::new() })
    }

    /// Bytes of the input read so far, before unpacking.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Lines read from the input so far.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Gives lines back: they come next, in this order.
    pub(super) fn give_back(&mut self, lines: impl DoubleEndedIterator<Item = Line>) {
        for line in lines.rev() {
            self.waiting.push_front(line);
        }
    }

    /// The next line, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line>, ImportError> {
        if let Some(line) = self.waiting.pop_front() {
            return Ok(Some(line));
        }
        let cut = match self.fill() {
            Ok(Some(cut)) => cut,
            Ok(None) => return Ok(None),
            Err(source) => return Err(ImportError::Read { line: self.read, source }),
        };
        self.read += 1;
        let mut text = self.buffer.as_slice();
        if self.read == 1 {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        let text = String::from_utf8_lossy(text.trim_ascii_end()).into_owned();
        Ok(Some(Line { number: self.read, text, cut }))
    }

    /// Fills the buffer with one line; `Some(true)` where it was cut, `None` at the end of the input.
    fn fill(&mut self) -> io::Result<Option<bool>> {
        self.buffer.clear();
        let mut any = false;
        loop {
            let room = (MAX_LINE_BYTES + 1).saturating_sub(self.buffer.len()) as u64;
            let got = self.input.by_ref().take(room).read_until(b'\n', &mut self.buffer)?;
            if got == 0 {
                return Ok(any.then_some(false));
            }
            any = true;
            // A log that was truncated under its writer begins with a hole, which reads as zeros.
            let zeros = self.buffer.iter().take_while(|byte| **byte == 0).count();
            self.buffer.drain(..zeros);
            if self.buffer.last() == Some(&b'\n') {
                return Ok(Some(false));
            }
            if self.buffer.len() > MAX_LINE_BYTES {
                self.input.skip_until(b'\n')?;
                return Ok(Some(true));
            }
        }
    }
}

/// Counts what passes.
struct Counting<R> {
    input: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.bytes.set(self.bytes.get() + got as u64);
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn lines(input: &[u8]) -> Vec<(u64, String, bool)> {
        let mut lines = Lines::open(input).unwrap();
        std::iter::from_fn(|| lines.next().unwrap()).map(|line| (line.number, line.text, line.cut)).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn line_ends_marks_and_missing_ends_are_no_part_of_a_line() {
        let expected = [(1, "a".to_owned(), false), (2, String::new(), false), (3, "b".to_owned(), false)];
        assert_eq!(lines(b"\xef\xbb\xbfa\r\n\nb"), expected);
        assert_eq!(lines(b"a\n\nb\n"), expected);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn gzip_of_several_members_is_unpacked() {
        let mut packed = gzip(b"a\nb");
        packed.extend(gzip(b"c\n"));
        let texts: Vec<String> = lines(&packed).into_iter().map(|line| line.1).collect();
        assert_eq!(texts, ["a", "bc"]);
    }

    #[test]
    fn damaged_gzip_is_an_error_that_names_the_line() {
        let packed = gzip(&b"a line that is long enough\n".repeat(1_000));
        let mut lines = Lines::open(&packed[..packed.len() - 9]).unwrap();
        let error = loop {
            match lines.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the end came without an error"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("after line"), "{error}");
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let mut input = vec![b'x'; 10 << 20];
        input.extend(b"\nnext\n");
        let lines = lines(&input);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].2 && lines[0].1.len() == MAX_LINE_BYTES + 1);
        assert_eq!(lines[1], (2, "next".to_owned(), false));
    }

    #[test]
    fn a_hole_at_the_beginning_of_a_line_is_passed_over() {
        let mut input = vec![0; 3 << 20];
        input.extend(b"after the hole\n");
        assert_eq!(lines(&input), [(1, "after the hole".to_owned(), false)]);
    }

    #[test]
    fn lines_given_back_come_again_in_order() {
        let mut lines = Lines::open(&b"a\nb\nc\n"[..]).unwrap();
        let (a, b) = (lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap());
        lines.give_back([a.clone(), b.clone()].into_iter());
        assert_eq!(lines.next().unwrap(), Some(a));
        assert_eq!(lines.next().unwrap(), Some(b));
        assert_eq!(lines.next().unwrap().unwrap().text, "c");
        assert_eq!(lines.bytes(), 6);
    }

    #[test]
    fn encodings_that_no_log_has_are_named() {
        for (bytes, name) in [(&b"\xff\xfea\0"[..], "UTF-16"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"PAR1", "Parquet")] {
            let error = Lines::open(bytes).err().unwrap().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        assert_eq!(lines(b"caf\xe9\n"), [(1, "caf\u{fffd}".to_owned(), false)]);
    }
}
