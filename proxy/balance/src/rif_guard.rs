//! The in-flight guard: candidates with unusually many requests in flight are not scored at all.
//!
//! A latency forecast looks back; requests in flight are the load that is already there. Prequal (Wydrowski et
//! al., NSDI'24, Fig. 9) shows p99 +20 % and p99.9 1.6-2.4x where they are ignored.

/// In-flight that never counts as hot: among idle endpoints, 3 against 1 is chance, not load.
const ALWAYS_COLD: u32 = 4;

/// Marks the candidates that may be chosen: in-flight not above the `quantile` of the pool's, unless that
/// leaves none, then the least loaded. `quantile` 1 turns the guard off.
pub(crate) fn open(in_flight: &[u32], slots: &[usize], quantile: f32, scratch: &mut Vec<u32>, open: &mut Vec<bool>) {
    open.clear();
    if quantile >= 1.0 || in_flight.is_empty() {
        open.resize(slots.len(), true);
        return;
    }
    let most = in_flight.iter().copied().max().unwrap_or(0);
    let threshold = if most <= ALWAYS_COLD {
        ALWAYS_COLD
    } else {
        scratch.clear();
        scratch.extend_from_slice(in_flight);
        let rank = ((scratch.len() - 1) as f32 * quantile.max(0.0)) as usize;
        (*scratch.select_nth_unstable(rank).1).max(ALWAYS_COLD)
    };
    open.extend(slots.iter().map(|slot| in_flight[*slot] <= threshold));
    if !open.contains(&true) {
        let least = slots.iter().map(|slot| in_flight[*slot]).min().unwrap_or(0);
        for (open, slot) in open.iter_mut().zip(slots) {
            *open = in_flight[*slot] == least;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(in_flight: &[u32], slots: &[usize], quantile: f32) -> Vec<bool> {
        let mut marks = Vec::new();
        open(in_flight, slots, quantile, &mut Vec::new(), &mut marks);
        marks
    }

    #[test]
    fn the_hot_one_is_left_out_and_small_counts_are_never_hot() {
        assert_eq!(run(&[5, 6, 5, 40], &[0, 1, 2, 3], 0.84), vec![true, true, true, false]);
        assert_eq!(run(&[0, 0, 0, 3], &[0, 1, 2, 3], 0.84), vec![true; 4]);
        assert_eq!(run(&[5, 6, 5, 40], &[0, 1, 2, 3], 1.0), vec![true; 4]);
    }

    #[test]
    fn where_all_candidates_are_hot_the_least_loaded_remains() {
        assert_eq!(run(&[1, 1, 1, 1, 1, 1, 30, 20], &[6, 7], 0.5), vec![false, true]);
    }

    proptest! {
        #[test]
        fn some_candidate_is_always_open(in_flight in prop::collection::vec(0u32..50, 1..30), quantile in 0.0f32..1.0) {
            let slots: Vec<usize> = (0..in_flight.len()).step_by(2).collect();
            prop_assert!(run(&in_flight, &slots, quantile).contains(&true));
        }
    }
}
