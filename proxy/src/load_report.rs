//! An endpoint's report of its own load, from the `endpoint-load-metrics` response header (ORCA).
//!
//! Read: `cpu_utilization`, `application_utilization` (which wins) and the named metric `in_flight`, in the
//! `TEXT` and `JSON` forms. The header is the endpoint's message to its balancer, so clients do not get it. The binary
//! form is protobuf and is ignored. Source: Envoy, "Open Request Cost Aggregation".

use http::{HeaderMap, HeaderName};
use tailcast_features::store::LoadReport;

const HEADER: HeaderName = HeaderName::from_static("endpoint-load-metrics");

/// Removes and reads the report; `None` where there is none or nothing of it is of use.
pub(crate) fn take(headers: &mut HeaderMap) -> Option<LoadReport> {
    let value = headers.remove(HEADER)?;
    let text = value.to_str().ok()?.trim();
    let mut report = LoadReport { in_flight: f32::NAN, utilisation: f32::NAN };
    if let Some(json) = text.strip_prefix("JSON") {
        let fields: serde_json::Value = serde_json::from_str(json.trim()).ok()?;
        let number = |path: &str| fields.pointer(path).and_then(serde_json::Value::as_f64);
        set(&mut report, "cpu_utilization", number("/cpu_utilization"));
        set(&mut report, "application_utilization", number("/application_utilization"));
        set(&mut report, "named_metrics.in_flight", number("/named_metrics/in_flight"));
    } else if let Some(pairs) = text.strip_prefix("TEXT") {
        // Both "=" and ":" occur in the wild.
        for (name, number) in pairs.split(',').filter_map(|pair| pair.split_once(['=', ':'])) {
            set(&mut report, name.trim(), number.trim().parse().ok());
        }
    }
    (report.in_flight.is_finite() || report.utilisation.is_finite()).then_some(report)
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
    fn nonsense_is_no_report() {
        for text in ["", "TEXT", "JSON {", "TEXT cpu_utilization=NaN", "TEXT cpu_utilization=-1", "BIN AAAA"] {
            assert_eq!(report(text), None, "{text}");
        }
    }
}
