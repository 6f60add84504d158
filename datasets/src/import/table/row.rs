//! One record to a draft, by the plan.

use super::super::draft::{Draft, NO_TIME, Reason, Target};
use super::super::request::{bytes, is_method, present, request_line, status};
use super::super::time::{Instant, duration, instant};
use super::field::Field;
use super::resolve::{Cell, Plan, Resolved};
use std::borrow::Cow;

/// A method that is none.
const BAD_METHOD: Reason = "method is not a word";
/// A latency that is there and is no number.
const BAD_LATENCY: Reason = "latency is not a number";
/// A size that is there and is no number.
const BAD_SIZE: Reason = "size is not a number";
/// An end without the latency from which the arrival follows.
const NO_LATENCY: Reason = "no latency, so that the arrival does not follow from the end";

/// How recorders write that there is no value.
const NOTHING: [&str; 8] = ["null", "NULL", "None", "none", "NaN", "nan", "N/A", "n/a"];

/// A record whose columns can be looked up.
pub(super) trait Record {
    /// The value in a column; `None` where the record has it not.
    fn cell(&self, place: usize, name: &str) -> Option<Cow<'_, str>>;
}

/// The draft of a record.
pub(super) fn draft<'a>(plan: &'a Plan, record: &'a impl Record) -> Result<Draft<'a>, Reason> {
    let mut stamp = None;
    let mut is_end = false;
    let mut draft = Draft::new(Instant(0), Target::Path("/".into()));
    for resolved in &plan.fields {
        let Some(value) = value(resolved, record) else { continue };
        match resolved.field {
            Field::Arrival | Field::End => {
                is_end = resolved.field == Field::End;
                stamp = instant(&value, resolved.unit);
            }
            Field::Tenant => draft.tenant = Some(value),
            Field::Route => target(&mut draft, value),
            Field::Method if is_method(&value) => draft.method = Some(value),
            Field::Method => return Err(BAD_METHOD),
            Field::RequestBytes => draft.request_bytes = size(&value)?,
            Field::ResponseBytes => draft.response_bytes = size(&value)?,
            Field::Endpoint => draft.endpoint = Some(value),
            Field::Status => draft.status = status(&value)?,
            Field::Latency => draft.latency_us = latency(&value, resolved)?,
        }
    }
    draft.stamp = stamp.ok_or(NO_TIME)?;
    if is_end {
        draft.before_stamp_us = draft.latency_us.ok_or(NO_LATENCY)?;
    }
    Ok(draft)
}

fn value<'a>(resolved: &'a Resolved, record: &'a impl Record) -> Option<Cow<'a, str>> {
    let value = match &resolved.cell {
        Cell::Literal(text) => Cow::Borrowed(text.as_str()),
        Cell::Column(place, name) => record.cell(*place, name)?,
    };
    let trimmed = match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    };
    (present(&trimmed).is_some() && !NOTHING.contains(&&*trimmed)).then_some(trimmed)
}

/// A path or URL, a request line (which also has the method), or the name of an operation.
fn target<'a>(draft: &mut Draft<'a>, value: Cow<'a, str>) {
    let line = request_line(&value).ok().filter(|(_, target)| value.contains(" HTTP/") || target.starts_with('/'));
    if let Some((method, target)) = line {
        let method = method.to_owned();
        draft.target = Target::Path(target.to_owned().into());
        draft.method.get_or_insert(method.into());
    } else if value.starts_with('/') || value.contains("://") {
        draft.target = Target::Path(value);
    } else {
        draft.target = Target::Name(value);
    }
}

fn size(value: &str) -> Result<Option<u64>, Reason> {
    match bytes(value) {
        None if value.parse::<f64>().is_err() => Err(BAD_SIZE),
        size => Ok(size),
    }
}

fn latency(value: &str, resolved: &Resolved) -> Result<Option<u64>, Reason> {
    // Of several tries the last one answered.
    let last = value.rsplit([',', ' ']).next().unwrap_or(value);
    match duration(last, resolved.unit) {
        // A negative number is how recorders write "unknown".
        None if last.parse::<f64>().is_err() => Err(BAD_LATENCY),
        latency => Ok(latency),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::resolve::plan;
    use super::*;

    struct Values(Vec<&'static str>);

    impl Record for Values {
        fn cell(&self, place: usize, _name: &str) -> Option<Cow<'_, str>> {
            self.0.get(place).map(|text| Cow::Borrowed(*text))
        }
    }

    fn read(map: &str, values: &[&'static str]) -> Result<Draft<'static>, Reason> {
        let columns: Vec<String> = (0..values.len()).map(|at| ["t", "b", "c"][at].to_owned()).collect();
        let plan = Box::leak(Box::new(plan(Some(map), &columns).unwrap()));
        draft(plan, Box::leak(Box::new(Values(values.to_vec()))))
    }

    #[test]
    fn a_route_is_a_path_a_request_line_or_a_name() {
        let target = |value| {
            let draft = read("arrival=t,route=b", &["5", value]).unwrap();
            (draft.target, draft.method.map(|method| method.into_owned()))
        };
        assert_eq!(target("/a/1"), (Target::Path("/a/1".into()), None));
        assert_eq!(target("https://x.example/a"), (Target::Path("https://x.example/a".into()), None));
        assert_eq!(target("PUT /a HTTP/1.1"), (Target::Path("/a".into()), Some("PUT".into())));
        assert_eq!(target("3fa9c0"), (Target::Name("3fa9c0".into()), None));
        assert_eq!(target("list all"), (Target::Name("list all".into()), None));
        assert_eq!(target(""), (Target::Path("/".into()), None));
    }

    #[test]
    fn nothing_is_unknown_and_junk_is_a_reason() {
        let sized = |value| read("arrival=t,request_bytes=b", &["5", value]).map(|draft| draft.request_bytes);
        assert_eq!(sized("12"), Ok(Some(12)));
        for nothing in ["", "-", "null", "NaN", " "] {
            assert_eq!(sized(nothing), Ok(None), "{nothing:?}");
        }
        assert_eq!(sized("many"), Err(BAD_SIZE));
        let slow = |value| read("arrival=t,latency=b:ms", &["5", value]).map(|draft| draft.latency_us);
        assert_eq!(slow("1.5"), Ok(Some(1_500)));
        assert_eq!(slow("2s"), Ok(Some(2_000_000)));
        assert_eq!(slow("-1"), Ok(None));
        assert_eq!(slow("0.1, 0.2"), Ok(Some(200)));
        assert_eq!(slow("slow"), Err(BAD_LATENCY));
        assert_eq!(read("arrival=t", &["soon"]), Err(NO_TIME));
        assert_eq!(read("arrival=t,method=b", &["5", "G E T"]), Err(BAD_METHOD));
    }

    #[test]
    fn an_end_and_a_latency_give_the_arrival() {
        let draft = read("end=t:s,latency=b:s", &["10.5", "0.5"]).unwrap();
        assert_eq!((draft.stamp, draft.before_stamp_us), (Instant(10_500_000), 500_000));
        assert_eq!(read("end=t:s,latency=b:s", &["10.5", "-"]), Err(NO_LATENCY));
    }
}
