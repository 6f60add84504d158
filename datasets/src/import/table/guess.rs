//! A map from the names of the columns, where the user gave none.
//!
//! A field takes the first column whose name is in its list; lists are ordered from the most to the least telling.
//! Names are compared without case and punctuation, so that `HTTP-Method`, `http_method` and `httpMethod` are one,
//! and a nested JSON field also by its last part. Rejected: looking at values, which differ from file to file.

use super::super::ImportError;
use super::super::time::Unit;
use super::field::Field;
use super::map::{Entry, Map, Source};
use super::resolve::{listed, unit_of_name};

/// Names by field.
const NAMES: [(Field, &[&str]); 10] = [
    (
        Field::Arrival,
        &[
            "arrivalus",
            "arrival",
            "arrivaltime",
            "arrivaltimestamp",
            "requestcreationtime",
            "starttime",
            "startutc",
            "start",
            "startedat",
            "timestamp",
            "datetime",
            "time",
            "date",
            "ts",
            "tus",
            "tms",
            "tns",
            "tunix",
            "unixtime",
            "epoch",
            "timeiso8601",
            "timelocal",
            "msec",
            "createdat",
            "eventtime",
            "requesttimestamp",
            "t",
        ],
    ),
    (Field::End, &["endtimestamp", "endtime", "endedat", "finishedat", "completedat", "end"]),
    (
        Field::Tenant,
        &[
            "tenant",
            "tenantid",
            "tenantname",
            "customer",
            "customerid",
            "account",
            "accountid",
            "organization",
            "organisation",
            "org",
            "orgid",
            "workspace",
            "shop",
            "store",
            "merchant",
            "app",
            "application",
            "client",
            "clientid",
            "host",
            "httphost",
            "requesthost",
            "authority",
            "domain",
            "vhost",
            "servername",
            "user",
            "userid",
            "username",
            "service",
        ],
    ),
    (
        Field::Route,
        &[
            "route",
            "requesturi",
            "requestpath",
            "httppath",
            "path",
            "uri",
            "url",
            "request",
            "requesturl",
            "httptarget",
            "operation",
            "op",
            "function",
            "func",
            "uristem",
            "csuristem",
        ],
    ),
    (Field::Method, &["method", "httpmethod", "requestmethod", "verb", "csmethod"]),
    (
        Field::RequestBytes,
        &[
            "requestbytes",
            "reqbytes",
            "requestsize",
            "requestbodysize",
            "requestbodybytes",
            "requestlength",
            "contentlength",
            "receivedbytes",
            "bytesreceived",
            "bytesin",
            "inputbytes",
            "requestcontentsize",
            "csbytes",
            "bytesread",
        ],
    ),
    (
        Field::ResponseBytes,
        &[
            "responsebytes",
            "respbytes",
            "responsesize",
            "responsebodysize",
            "responselength",
            "bodybytessent",
            "sentbytes",
            "bytessent",
            "bytesout",
            "outputbytes",
            "downstreamcontentsize",
            "scbytes",
            "bytes",
            "size",
        ],
    ),
    (
        Field::Endpoint,
        &[
            "endpoint",
            "backend",
            "backendpod",
            "upstreamaddr",
            "upstreamhost",
            "upstream",
            "backendname",
            "serviceaddr",
            "target",
            "targetip",
            "server",
            "pod",
            "podname",
            "instance",
            "replica",
            "worker",
            "dyno",
            "node",
            "entryhost",
        ],
    ),
    (
        Field::Status,
        &[
            "status",
            "statuscode",
            "httpstatus",
            "httpstatuscode",
            "responsecode",
            "downstreamstatus",
            "responsestatus",
            "scstatus",
            "code",
        ],
    ),
    (
        Field::Latency,
        &[
            "latencyus",
            "latencyms",
            "servicems",
            "serviceus",
            "upstreamresponsetime",
            "upstreamservicetime",
            "xenvoyupstreamservicetime",
            "originduration",
            "backendprocessingtime",
            "targetprocessingtime",
            "servicetimems",
            "responsetimems",
            "durationms",
            "durationus",
            "durationns",
            "durations",
            "durationseconds",
            "elapsedms",
            "tookms",
            "requesttimems",
            "requesttime",
            "responsetimeus",
            "timetaken",
            "latencys",
            "latencyseconds",
            "latencyns",
            "latency",
            "duration",
            "elapsed",
            "servicetime",
            "responsetime",
            "took",
            "runtime",
        ],
    ),
];

/// Units that a name implies because one well-known program writes it.
const UNITS: [(&str, Unit); 8] = [
    ("upstreamresponsetime", Unit::Seconds),
    ("requesttime", Unit::Seconds),
    ("backendprocessingtime", Unit::Seconds),
    ("targetprocessingtime", Unit::Seconds),
    ("upstreamservicetime", Unit::Millis),
    ("xenvoyupstreamservicetime", Unit::Millis),
    ("timetaken", Unit::Millis),
    ("originduration", Unit::Nanos),
];

/// A map and what should be said about it.
pub(super) fn guess(columns: &[String]) -> Result<(Map, Vec<String>), ImportError> {
    let plain: Vec<(String, String)> = columns.iter().map(|column| (normal(column), normal(last(column)))).collect();
    let mut map: Map = Vec::new();
    let mut notes = Vec::new();
    for (field, names) in NAMES {
        let free = |at: usize| {
            let taken = |entry: &Entry| matches!(&entry.source, Source::Column(name) if Some(name) == columns.get(at));
            !map.iter().any(taken)
        };
        let place = |of: fn(&(String, String)) -> &String| {
            names.iter().find_map(|name| {
                (0..plain.len()).find(|at| free(*at) && plain.get(*at).map(of).is_some_and(|n| n == name))
            })
        };
        let Some(column) = place(|names| &names.0).or_else(|| place(|names| &names.1)).and_then(|at| columns.get(at))
        else {
            continue;
        };
        let unit = if field == Field::Latency { unit(column) } else { None };
        if field == Field::Latency && unit.is_none() {
            notes.push(format!("column {column} looks like a latency, but its unit is not in its name; give a map with latency={column}:s (or :ms, :us, :ns)"));
            continue;
        }
        map.push(Entry { field, source: Source::Column(column.clone()), unit });
    }
    let has = |map: &Map, field| map.iter().any(|entry| entry.field == field);
    if has(&map, Field::Arrival) || !has(&map, Field::Latency) {
        map.retain(|entry| entry.field != Field::End);
    }
    if !has(&map, Field::Arrival) && !has(&map, Field::End) {
        return Err(ImportError::Map(format!(
            "no column is called like a time of arrival; name it with arrival=COLUMN, the columns are {}",
            listed(columns)
        )));
    }
    Ok((map, notes))
}

/// The unit in a column's name, or the one that its well-known program writes.
pub(super) fn unit(column: &str) -> Option<Unit> {
    let name = normal(last(column));
    unit_of_name(column).or_else(|| UNITS.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit))
}

fn last(column: &str) -> &str {
    column.rsplit('.').next().unwrap_or(column)
}

fn normal(column: &str) -> String {
    column.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn guessed(columns: &str) -> (Vec<String>, Vec<String>) {
        let columns: Vec<String> = columns.split(',').map(str::to_owned).collect();
        let (map, notes) = guess(&columns).unwrap();
        let named = map.iter().map(|entry| match &entry.source {
            Source::Column(column) => format!("{}={column}", entry.field.name()),
            other => panic!("{other:?}"),
        });
        (named.collect(), notes)
    }

    #[test]
    fn columns_are_known_by_common_names() {
        let (map, notes) =
            guessed("t_unix,day,user,method,route,req_bytes,resp_bytes,status,backend_pod,gateway_ms,service_ms");
        assert_eq!(
            map.join(" "),
            "arrival=t_unix tenant=user route=route method=method request_bytes=req_bytes \
            response_bytes=resp_bytes endpoint=backend_pod status=status latency=service_ms"
        );
        assert!(notes.is_empty());
        let (map, _) =
            guessed("request.method,request.host,request.uri,@timestamp,Upstream-Addr,upstream_response_time");
        assert_eq!(
            map.join(" "),
            "arrival=@timestamp tenant=request.host route=request.uri method=request.method \
            endpoint=Upstream-Addr latency=upstream_response_time"
        );
        let (map, _) = guessed("app,func,end_timestamp,duration_s");
        assert_eq!(map.join(" "), "end=end_timestamp tenant=app route=func latency=duration_s");
    }

    #[test]
    fn a_latency_without_a_unit_is_left_out_and_said() {
        let (map, notes) = guessed("time,path,duration");
        assert_eq!(map, ["arrival=time", "route=path"]);
        assert!(notes[0].contains("latency=duration:s"), "{notes:?}");
    }

    #[test]
    fn without_a_time_the_columns_are_listed() {
        let columns = ["backend", "model"].map(str::to_owned);
        let error = guess(&columns).unwrap_err().to_string();
        assert!(error.contains("arrival=COLUMN") && error.contains("backend, model"), "{error}");
    }
}
