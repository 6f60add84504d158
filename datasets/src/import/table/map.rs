//! The column map as a user writes it: `arrival=TIMESTAMP,tenant==shop,latency=duration:s`.
//!
//! `field=COLUMN`, `field=#3` for the third column, `field==LITERAL`; a time may end in `:s`, `:ms`, `:us`, `:ns`.

use super::super::ImportError;
use super::super::time::Unit;
use super::field::{Field, NAMES};

/// Where a field comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A column by name.
    Column(String),
    /// A column by place, from zero.
    Place(usize),
    /// The same in every row.
    Literal(String),
}

/// One entry of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) field: Field,
    pub(super) source: Source,
    pub(super) unit: Option<Unit>,
}

/// Entries of a map, no field twice.
pub(super) type Map = Vec<Entry>;

/// Reads a map.
pub(super) fn parse(text: &str) -> Result<Map, ImportError> {
    let mut map: Map = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let entry = entry(part)?;
        if map.iter().any(|known| known.field == entry.field) {
            return Err(ImportError::Map(format!("{} is given twice", entry.field.name())));
        }
        map.push(entry);
    }
    let has = |field| map.iter().any(|entry| entry.field == field);
    if has(Field::Arrival) && has(Field::End) {
        return Err(ImportError::Map("arrival and end are both given; one of them is enough".to_owned()));
    }
    if !has(Field::Arrival) && !has(Field::End) {
        return Err(ImportError::Map(format!(
            "{text:?} has no arrival; say which column is the time of arrival: arrival=COLUMN (or end=COLUMN with latency=COLUMN)"
        )));
    }
    if has(Field::End) && !has(Field::Latency) {
        return Err(ImportError::Map("end needs latency=COLUMN, from which the arrival follows".to_owned()));
    }
    Ok(map)
}

fn entry(part: &str) -> Result<Entry, ImportError> {
    let Some((name, value)) = part.split_once('=') else {
        return Err(ImportError::Map(format!("{part:?} has no =; write field=COLUMN or field==LITERAL")));
    };
    let (name, value) = (name.trim(), value.trim());
    let Some(field) = Field::parse(name) else {
        return Err(ImportError::Map(format!("there is no field {name:?}; the fields are {NAMES}")));
    };
    let (literal, value) = match value.strip_prefix('=') {
        Some(literal) => (true, literal.trim()),
        None => (false, value),
    };
    let (value, unit) = match value.rsplit_once(':') {
        Some((column, unit)) if field.is_time() => match Unit::parse(unit) {
            Some(unit) => (column.trim(), Some(unit)),
            None => (value, None),
        },
        _ => (value, None),
    };
    if value.is_empty() {
        return Err(ImportError::Map(format!("{part:?} names no column; write {name}=COLUMN or {name}==LITERAL")));
    }
    if literal && matches!(field, Field::Arrival | Field::End) {
        return Err(ImportError::Map(format!("{part:?}: not all requests come at one time; write {name}=COLUMN")));
    }
    let place =
        value.strip_prefix('#').and_then(|place| place.parse::<usize>().ok()).and_then(|place| place.checked_sub(1));
    let source = match place {
        _ if literal => Source::Literal(value.to_owned()),
        Some(place) => Source::Place(place),
        None => Source::Column(value.to_owned()),
    };
    Ok(Entry { field, source, unit })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn columns_literals_places_and_units_are_understood() {
        let map = parse(" arrival = TIMESTAMP , tenant==shop:s,latency=duration:s, endpoint=#3,route=a:b").unwrap();
        let entry = |field, source, unit| Entry { field, source, unit };
        assert_eq!(
            map,
            [
                entry(Field::Arrival, Source::Column("TIMESTAMP".into()), None),
                entry(Field::Tenant, Source::Literal("shop:s".into()), None),
                entry(Field::Latency, Source::Column("duration".into()), Some(Unit::Seconds)),
                entry(Field::Endpoint, Source::Place(2), None),
                entry(Field::Route, Source::Column("a:b".into()), None),
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        assert!(error("arival=t").contains("no field \"arival\"; the fields are arrival, end, tenant"));
        assert!(error("arrival").contains("write field=COLUMN"));
        assert!(error("arrival=").contains("names no column"));
        assert!(error("tenant=t").contains("arrival=COLUMN"));
        assert!(error("").contains("arrival=COLUMN"));
        assert!(error("arrival=a,arrival=b").contains("given twice"));
        assert!(error("arrival=a,end=b").contains("one of them"));
        assert!(error("end=b").contains("latency=COLUMN"));
        assert!(error("arrival==5").contains("not all requests"));
    }

    proptest! {
        #[test]
        fn no_map_makes_it_panic(text in "[a-z=,:#0-9é ]{0,60}") {
            let _ = parse(&text);
        }
    }
}
