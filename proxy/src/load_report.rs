//! An endpoint's report of its own load, in the ORCA response headers.
//!
//! Read: `cpu_utilization`, `application_utilization` (which wins) and the named metric `in_flight`; from
//! `endpoint-load-metrics` in the `TEXT`, `JSON` and `BIN` forms, and from `endpoint-load-metrics-bin`. The header is the
//! endpoint's message to its balancer, so clients do not get it. Source: Envoy, "Open Request Cost Aggregation", and
//! `xds.data.orca.v3.OrcaLoadReport`.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName};
use prost::Message;
use std::collections::HashMap;
use tailcast_features::store::LoadReport;

const HEADER: HeaderName = HeaderName::from_static("endpoint-load-metrics");
const BINARY_HEADER: HeaderName = HeaderName::from_static("endpoint-load-metrics-bin");

/// gRPC's binary headers may have their padding or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The fields of `xds.data.orca.v3.OrcaLoadReport` that are read.
#[derive(Clone, PartialEq, prost::Message)]
struct OrcaLoadReport {
    #[prost(double, tag = "1")]
    cpu_utilization: f64,
    #[prost(map = "string, double", tag = "8")]
    named_metrics: HashMap<String, f64>,
    #[prost(double, tag = "9")]
    application_utilization: f64,
}

/// Removes and reads the report; `None` where there is none or nothing of it is of use.
pub(crate) fn take(headers: &mut HeaderMap) -> Option<LoadReport> {
    let binary = headers.remove(BINARY_HEADER);
    let value = headers.remove(HEADER);
    let mut report = LoadReport { in_flight: f32::NAN, utilisation: f32::NAN };
    if let Some(text) = value.as_ref().and_then(|value| value.to_str().ok()).map(str::trim) {
        if let Some(json) = text.strip_prefix("JSON") {
            let fields: serde_json::Value = serde_json::from_str(json.trim()).unwrap_or_default();
            let number = |path: &str| fields.pointer(path).and_then(serde_json::Value::as_f64);
            set(&mut report, "cpu_utilization", number("/cpu_utilization"));
            set(&mut report, "application_utilization", number("/application_utilization"));
            set(&mut report, "named_metrics.in_flight", number("/named_metrics/in_flight"));
        } else if let Some(base64) = text.strip_prefix("BIN") {
            set_binary(&mut report, base64.trim().as_bytes());
        } else if let Some(pairs) = text.strip_prefix("TEXT") {
            // Both "=" and ":" occur in the wild.
            for (name, number) in pairs.split(',').filter_map(|pair| pair.split_once(['=', ':'])) {
                set(&mut report, name.trim(), number.trim().parse().ok());
            }
        }
    } else if let Some(binary) = binary {
        set_binary(&mut report, binary.as_bytes());
    }
    (report.in_flight.is_finite() || report.utilisation.is_finite()).then_some(report)
}

/// A report that cannot be decoded says nothing.
fn set_binary(report: &mut LoadReport, base64: &[u8]) {
    let decoded = BASE64.decode(base64).ok().and_then(|bytes| OrcaLoadReport::decode(bytes.as_slice()).ok());
    let Some(decoded) = decoded else { return };
    // Zero is how this format says nothing of a number; of a map's entry it says zero.
    let said = |number: f64| (number != 0.0).then_some(number);
    set(report, "cpu_utilization", said(decoded.cpu_utilization));
    set(report, "application_utilization", said(decoded.application_utilization));
    set(report, "named_metrics.in_flight", decoded.named_metrics.get("in_flight").copied());
}

fn set(report: &mut LoadReport, name: &str, number: Option<f64>) {
    let Some(number) = number.filter(|number| number.is_finite() && *number >= 0.0) else { return };
    match name {
        "named_metrics.in_flight" => report.in_flight = number as f32,
        "application_utilization" => report.utilisation = number as f32,
        "cpu_utilization" if report.utilisation.is_nan() => report.utilisation = number as f32,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn report(text: &'static str) -> Option<(f32, f32)> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_static(text));
        let report = take(&mut headers);
        assert!(headers.is_empty(), "clients do not see it");
        report.map(|report| (report.in_flight, report.utilisation))
    }

    #[test]
    fn text_and_json_say_the_same() {
        let text = "TEXT cpu_utilization=0.3, application_utilization=0.5, named_metrics.in_flight=7";
        assert_eq!(report(text), Some((7.0, 0.5)));
        let json = "JSON {\"cpu_utilization\": 0.25, \"named_metrics\": {\"in_flight\": 2}}";
        assert_eq!(report(json), Some((2.0, 0.25)));
    }

    #[test]
    fn the_binary_forms_say_the_same_too() {
        let message = OrcaLoadReport {
            cpu_utilization: 0.3,
            named_metrics: HashMap::from([("in_flight".to_owned(), 7.0)]),
            application_utilization: 0.5,
        };
        for padded in [BASE64.encode(message.encode_to_vec()), BASE64.encode(message.encode_to_vec()).replace('=', "")]
        {
            let mut headers = HeaderMap::new();
            headers.insert(BINARY_HEADER, HeaderValue::try_from(&padded).unwrap_or(HeaderValue::from_static("")));
            let report = take(&mut headers).map(|report| (report.in_flight, report.utilisation));
            assert_eq!(report, Some((7.0, 0.5)));
            assert!(headers.is_empty(), "clients do not see it");
            headers
                .insert(HEADER, HeaderValue::try_from(format!("BIN {padded}")).unwrap_or(HeaderValue::from_static("")));
            assert_eq!(take(&mut headers).map(|report| report.in_flight), Some(7.0));
        }
    }

    #[test]
    fn nonsense_is_no_report() {
        for text in ["", "TEXT", "JSON {", "TEXT cpu_utilization=NaN", "TEXT cpu_utilization=-1", "BIN AAAA", "BIN ?"] {
            assert_eq!(report(text), None, "{text}");
        }
    }
}
