//! The fields of a trace that a column can fill.

/// A field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Field {
    Arrival,
    End,
    Tenant,
    Route,
    Method,
    RequestBytes,
    ResponseBytes,
    Endpoint,
    Status,
    Latency,
}

/// Names of the fields, for messages.
pub(super) const NAMES: &str =
    "arrival, end, tenant, route, method, request_bytes, response_bytes, endpoint, status, latency";

impl Field {
    /// All fields.
    pub(super) const ALL: [Self; 10] = [
        Self::Arrival,
        Self::End,
        Self::Tenant,
        Self::Route,
        Self::Method,
        Self::RequestBytes,
        Self::ResponseBytes,
        Self::Endpoint,
        Self::Status,
        Self::Latency,
    ];

    /// Its name in a map.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::End => "end",
            Self::Tenant => "tenant",
            Self::Route => "route",
            Self::Method => "method",
            Self::RequestBytes => "request_bytes",
            Self::ResponseBytes => "response_bytes",
            Self::Endpoint => "endpoint",
            Self::Status => "status",
            Self::Latency => "latency",
        }
    }

    /// The field of a name; the trace's own column names are names too.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "arrival_us" => Some(Self::Arrival),
            "latency_us" => Some(Self::Latency),
            "path" | "url" => Some(Self::Route),
            _ => Self::ALL.into_iter().find(|field| field.name() == name),
        }
    }

    /// Whether its value is a time, so that it has a unit.
    pub(super) fn is_time(self) -> bool {
        matches!(self, Self::Arrival | Self::End | Self::Latency)
    }
}
