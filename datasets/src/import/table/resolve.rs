//! A map with the input's columns found in it.

use super::super::ImportError;
use super::super::time::{Unit, duration};
use super::field::Field;
use super::guess::{guess, unit as unit_of_column};
use super::map::{self, Source};
use std::collections::BTreeMap;

/// Where a field's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    /// In this column: its place and its name.
    Column(usize, String),
    /// Here.
    Literal(String),
}

/// A field, where it is, and its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) field: Field,
    pub(super) cell: Cell,
    pub(super) unit: Option<Unit>,
}

/// Everything needed to read a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) fields: Vec<Resolved>,
    /// For the report: which column became which field.
    pub(super) columns: BTreeMap<String, String>,
    /// For the report.
    pub(super) notes: Vec<String>,
}

/// Finds the map's columns among `columns`; without a map it is guessed.
pub(super) fn plan(map: Option<&str>, columns: &[String]) -> Result<Plan, ImportError> {
    let (map, notes) = match map {
        Some(text) => (map::parse(text)?, Vec::new()),
        None => {
            let (map, mut notes) = guess(columns)?;
            notes.insert(0, "columns were guessed by their names; a map would say for certain".to_owned());
            (map, notes)
        }
    };
    let mut plan = Plan { notes, ..Plan::default() };
    for entry in map {
        let cell = match entry.source {
            Source::Literal(text) => Cell::Literal(text),
            Source::Place(place) => match columns.get(place) {
                Some(name) => Cell::Column(place, name.clone()),
                None => return Err(missing(&format!("#{}", place + 1), columns)),
            },
            Source::Column(name) => {
                let place = place(&name, columns).ok_or_else(|| missing(&name, columns))?;
                Cell::Column(place, columns.get(place).cloned().unwrap_or(name))
            }
        };
        let unit = entry.unit.or(match &cell {
            Cell::Column(_, name) if entry.field.is_time() => unit_of_column(name),
            _ => None,
        });
        if entry.field == Field::Latency && unit.is_none() {
            check_latency(&cell)?;
        }
        plan.columns.insert(entry.field.name().to_owned(), described(&cell, unit));
        plan.fields.push(Resolved { field: entry.field, cell, unit });
    }
    Ok(plan)
}

/// A number without a unit is a thousand times too long or too short: better to ask.
fn check_latency(cell: &Cell) -> Result<(), ImportError> {
    match cell {
        Cell::Literal(text) if duration(text, None).is_some() => Ok(()),
        Cell::Literal(text) => {
            Err(ImportError::Map(format!("latency=={text} needs a unit: :s, :ms, :us or :ns after it")))
        }
        Cell::Column(_, name) => {
            Err(ImportError::Map(format!("latency={name} needs a unit: latency={name}:s, :ms, :us or :ns")))
        }
    }
}

fn described(cell: &Cell, unit: Option<Unit>) -> String {
    let text = match cell {
        Cell::Column(_, name) => name.clone(),
        Cell::Literal(text) => format!("={text}"),
    };
    unit.map_or(text.clone(), |unit| format!("{text} as {}", unit.name()))
}

/// The column itself, or the only one that differs from it in case alone.
fn place(name: &str, columns: &[String]) -> Option<usize> {
    if let Some(place) = columns.iter().position(|column| column == name) {
        return Some(place);
    }
    let mut alike = columns.iter().enumerate().filter(|(_, column)| column.eq_ignore_ascii_case(name));
    match (alike.next(), alike.next()) {
        (Some((place, _)), None) => Some(place),
        _ => None,
    }
}

fn missing(name: &str, columns: &[String]) -> ImportError {
    ImportError::Map(format!("the input has no column {name:?}; its columns are {}", listed(columns)))
}

/// The columns for a message: as many as fit a screen, none longer than a word.
pub(super) fn listed(columns: &[String]) -> String {
    const SHOWN: usize = 40;
    const CHARS: usize = 40;
    let shown: Vec<String> = columns.iter().take(SHOWN).map(|name| name.chars().take(CHARS).collect()).collect();
    let more = columns.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

/// The unit at the end of a name: `service_ms`, `t_us`, `durationMs`.
pub(super) fn unit_of_name(name: &str) -> Option<Unit> {
    let word = name.rsplit(|c: char| !c.is_alphanumeric()).next()?;
    if word.len() < name.len()
        && let Some(unit) = Unit::parse(word)
    {
        return Some(unit);
    }
    let bytes = name.as_bytes();
    let camel = |suffix: &str| {
        let before = name.strip_suffix(suffix).map(str::len).and_then(|len| bytes.get(len.checked_sub(1)?));
        before.is_some_and(u8::is_ascii_lowercase)
    };
    ["Ms", "Us", "Ns", "Millis", "Micros", "Nanos", "Seconds", "Secs"]
        .into_iter()
        .find(|s| camel(s))
        .and_then(Unit::parse)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn columns(names: &str) -> Vec<String> {
        names.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn columns_are_found_by_name_case_and_place() {
        let plan = plan(Some("arrival=TIME,route=#3,tenant==x,latency=Took:ms"), &columns("took,time,p")).unwrap();
        assert_eq!(plan.columns["arrival"], "time");
        assert_eq!(plan.columns["route"], "p");
        assert_eq!(plan.columns["tenant"], "=x");
        assert_eq!(plan.columns["latency"], "took as ms");
    }

    #[test]
    fn a_missing_column_is_answered_with_those_there_are() {
        for map in ["arrival=when", "arrival=#9"] {
            let error = plan(Some(map), &columns("a,b")).unwrap_err().to_string();
            assert!(error.contains("its columns are a, b"), "{error}");
        }
    }

    #[test]
    fn a_latency_needs_a_unit_from_somewhere() {
        assert!(
            plan(Some("arrival=t,latency=took"), &columns("t,took")).unwrap_err().to_string().contains("took:s, :ms")
        );
        assert!(plan(Some("arrival=t,latency==5"), &columns("t")).is_err());
        for map in ["arrival=t,latency==5ms", "arrival=t,latency==5:ms", "arrival=t,latency=x_ms"] {
            assert!(plan(Some(map), &columns("t,x_ms")).is_ok(), "{map}");
        }
    }

    #[test]
    fn units_hide_at_the_end_of_names() {
        assert_eq!(unit_of_name("service_ms"), Some(Unit::Millis));
        assert_eq!(unit_of_name("t_us"), Some(Unit::Micros));
        assert_eq!(unit_of_name("durationMs"), Some(Unit::Millis));
        assert_eq!(unit_of_name("a.took.seconds"), Some(Unit::Seconds));
        for name in ["s", "status", "ms", "requests", "timestamps", "é"] {
            assert_eq!(unit_of_name(name), None, "{name}");
        }
    }
}
