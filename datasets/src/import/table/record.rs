//! One record of separated values from the text of a line, by one decoder for all lines.
//!
//! The decoder is built once and fed line by line, because building it costs ten times what a record does. It is
//! built anew after a record that did not end with its text. Rejected: giving the decoder the whole input, which
//! an unclosed quote would make it swallow to the end.

use csv::{Reader, ReaderBuilder, StringRecord};
use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

/// Reads records from texts.
pub(super) struct Decoder {
    separator: u8,
    feed: Rc<RefCell<Feed>>,
    reader: Reader<Outlet>,
}

/// What the decoder reads from.
#[derive(Default)]
struct Feed {
    text: Vec<u8>,
    at: usize,
    /// Whether more was asked for than there is.
    dry: bool,
}

struct Outlet(Rc<RefCell<Feed>>);

impl Read for Outlet {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut feed = self.0.borrow_mut();
        let got = feed.text.get(feed.at..).unwrap_or_default().read(buffer)?;
        feed.at += got;
        feed.dry |= got == 0;
        Ok(got)
    }
}

/// What a text is as a record.
pub(super) struct Decoded {
    /// The fields; `None` where the decoder refuses them.
    pub(super) record: Option<StringRecord>,
    /// Whether a quoted field was not closed, so that the next line may belong to it. It then holds the line's end.
    pub(super) open: bool,
}

impl Decoder {
    pub(super) fn new(separator: u8) -> Self {
        let feed = Rc::default();
        Self { separator, reader: reader(separator, &feed), feed }
    }

    /// The record of a text that is not empty.
    pub(super) fn read(&mut self, text: &str) -> Decoded {
        {
            let mut feed = self.feed.borrow_mut();
            feed.text.clear();
            feed.text.extend_from_slice(text.as_bytes());
            feed.text.push(b'\n');
            feed.at = 0;
            feed.dry = false;
        }
        let before = self.reader.position().byte();
        let mut record = StringRecord::new();
        let read = matches!(self.reader.read_record(&mut record), Ok(true));
        let open = self.feed.borrow().dry;
        let whole = self.reader.position().byte() - before == text.len() as u64 + 1;
        if open || !read || !whole {
            self.reader = reader(self.separator, &self.feed);
        }
        Decoded { record: read.then_some(record), open }
    }
}

fn reader(separator: u8, feed: &Rc<RefCell<Feed>>) -> Reader<Outlet> {
    ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(Outlet(Rc::clone(feed)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    fn fields(decoder: &mut Decoder, text: &str) -> (Vec<String>, bool) {
        let decoded = decoder.read(text);
        (decoded.record.unwrap().iter().map(str::to_owned).collect(), decoded.open)
    }

    #[test]
    fn records_follow_each_other_whatever_came_before() {
        let mut decoder = Decoder::new(b',');
        for _ in 0..3 {
            assert_eq!(fields(&mut decoder, "a,\"b,\"\"c\""), (vec!["a".into(), "b,\"c".into()], false));
            assert_eq!(fields(&mut decoder, "a,\"open"), (vec!["a".into(), "open\n".into()], true));
            assert_eq!(
                fields(&mut decoder, "5\" screen,6\" screen"),
                (vec!["5\" screen".into(), "6\" screen".into()], false)
            );
            assert_eq!(fields(&mut decoder, "a,\"x\ny\",b"), (vec!["a".into(), "x\ny".into(), "b".into()], false));
            assert_eq!(fields(&mut decoder, "one\ntwo"), (vec!["one".into()], false));
        }
    }

    proptest! {
        #[test]
        fn a_record_does_not_depend_on_the_one_before(before in "[a,\"\r\n]{1,20}", text in "[a,\"]{1,20}") {
            let mut used = Decoder::new(b',');
            used.read(&before);
            let (used, fresh) = (used.read(&text), Decoder::new(b',').read(&text));
            prop_assert_eq!((used.record, used.open), (fresh.record, fresh.open));
        }
    }
}
