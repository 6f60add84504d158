//! Whether it pays to bring a tenant back to the endpoint that served it before: asked of the model once, when it is
//! loaded.
//!
//! Caches make an endpoint fast for the tenants that it served lately. Then a tenant's requests must keep together, and on
//! every proxy in the same place: if each goes where it is a little faster now, a tenant that lives on eight endpoints has
//! crowded out seven others. So each place in the tenant's order of homes (rendezvous hash) adds a share to the score
//! ([`crate::candidates`]): among equals the first home wins, an endpoint of the wrong class or under load still loses.
//! Where caches do not matter, that would only take choice away. The model knows which it is: the forecasts of its canary
//! rows are compared between a pair that was used often and just now, and the same pair used once and long ago.
//!
//! Rejected: two homes and one other as the only candidates. It is as good where caches are all that differs, and doubles
//! p99 where classes of endpoints differ too: the class that suits a route may not be among three.
//!
//! Rejected too: a setting (nobody knows it of a pool, and it changes with a release), and asking at each decision (the
//! answer is the same for minutes, and it would cost another forecast of every candidate).

use tailcast_features::{Row, index};
use tailcast_model::Model;

/// Requests of a tenant on an endpoint, and milliseconds since the last, of a warm pair.
const WARM: (f32, f32) = (20.0, 100.0);

/// The same of a cold pair.
const COLD: (f32, f32) = (1.0, 60_000.0);

/// How much longer a request takes on a cold pair than on a warm one, by the model: the ratio of median latencies, in
/// the geometric mean over its canary rows. 1 where there is nothing to compare.
pub(crate) fn cold_over_warm(model: &Model) -> f32 {
    let rows = &model.parts().canary_rows;
    let median = |row: &Row, (count, idle_ms): (f32, f32)| {
        let mut row = *row;
        row[index::TENANT_ENDPOINT_COUNT] = count.ln_1p();
        row[index::TENANT_ENDPOINT_IDLE] = idle_ms.ln_1p();
        model.at_level(&model.forecast(&row, 0), 0.5)
    };
    let sum: f32 = rows.iter().map(|row| median(row, COLD) - median(row, WARM)).sum();
    let mean = sum / rows.len().max(1) as f32;
    if mean.is_finite() { mean.exp() } else { 1.0 }
}
