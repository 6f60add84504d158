//! ServeGen's client statistics: rate and burstiness (CV) of each client in windows of 600 s.
//!
//! Statistics and not requests, so requests are made of them: a renewal process a client and window with the client's
//! rate and CV (gamma above and below 1, by a fixed seed: the trace is the same for all seeds of a simulation). Only
//! the first windows are taken; an hour of all clients is a few hundred thousand requests.

use super::{TraceRow, lines};
use crate::chance::{exponential, stream};
use crate::error::SimError;
use rand::RngExt;
use std::path::Path;

/// Seconds of a window, as in the file.
const WINDOW_SECS: f64 = 600.0;

/// Windows read.
const WINDOWS: f64 = 2.0;

pub(super) fn read(path: &Path) -> Result<Vec<TraceRow>, SimError> {
    let mut rows = Vec::new();
    for line in lines(path)? {
        let Some((from, client, rate, cv)) = fields(&line) else { continue };
        if from >= WINDOWS * WINDOW_SECS || rate <= 0.0 {
            continue;
        }
        let mut rng = stream(u64::from(client), from as u64);
        // Bursts of k requests at exponential gaps: CV² = 2k − 1 for a geometric k, 1 for k = 1.
        let mean_burst = ((cv * cv + 1.0) / 2.0).max(1.0);
        let mut at = from;
        loop {
            at += exponential(&mut rng) * mean_burst / rate;
            if at >= from + WINDOW_SECS {
                break;
            }
            loop {
                rows.push(TraceRow { at_secs: at, tenant: client, cost: exponential(&mut rng), body_bytes: None });
                if rng.random::<f64>() < 1.0 / mean_burst {
                    break;
                }
            }
        }
    }
    Ok(rows)
}

fn fields(line: &str) -> Option<(f64, u32, f64, f64)> {
    let mut fields = line.split(',');
    let from = fields.next()?.parse().ok()?;
    let client = fields.next()?.parse().ok()?;
    let rate = fields.next()?.parse().ok()?;
    let cv = fields.next()?.parse().unwrap_or(1.0);
    Some((from, client, rate, cv))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_window_client_rate_and_burstiness() {
        assert_eq!(fields("600,14,19.05,5.29,Weibull,0.4,0.02"), Some((600.0, 14, 19.05, 5.29)));
        assert_eq!(fields("t_s,client,rate_rps,cv,pattern,p1,p2"), None);
    }
}
