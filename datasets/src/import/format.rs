//! The formats by name.

use std::fmt;
use std::str::FromStr;

/// Format of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Separated values with a column map.
    Csv,
    /// One JSON object a line with a column map.
    Jsonl,
    /// Common and Combined Log Format, with optional fields after it.
    Clf,
    /// nginx, by the `log_format` of the server.
    Nginx,
    /// HTTP log of HAProxy.
    HaProxy,
    /// Access log of AWS classic and application load balancers.
    Elb,
    /// Log of the Heroku router.
    Heroku,
    /// Default access log of Envoy, and Istio's.
    Envoy,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 8] =
        [Self::Csv, Self::Jsonl, Self::Clf, Self::Nginx, Self::HaProxy, Self::Elb, Self::Heroku, Self::Envoy];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Clf => "clf",
            Self::Nginx => "nginx",
            Self::HaProxy => "haproxy",
            Self::Elb => "elb",
            Self::Heroku => "heroku",
            Self::Envoy => "envoy",
        }
    }

    /// Whether the input has named columns, so that a map applies.
    pub fn has_columns(self) -> bool {
        matches!(self, Self::Csv | Self::Jsonl)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No format has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format {0:?}; there are csv, jsonl, clf, nginx, haproxy, elb, heroku and envoy")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let wanted = name.trim().to_ascii_lowercase();
        Self::ALL.into_iter().find(|format| format.name() == wanted).ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn every_format_is_found_by_its_name() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse::<Format>(), Ok(format));
            assert!(UnknownFormat(String::new()).to_string().contains(format.name()));
        }
        assert_eq!("HAProxy".parse(), Ok(Format::HaProxy));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "squid".parse::<Format>().unwrap_err().to_string();
        assert!(error.contains("\"squid\"") && error.contains("heroku"), "{error}");
    }
}
