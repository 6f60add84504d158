//! Who got how much of a pool that could not serve all: answers by tenant, against the weighted max-min share of each.

/// Tenants that are told apart; beyond them nothing is measured, since none has enough requests to tell.
const MOST_TENANTS: usize = 1_000;

/// Requests of each tenant in one window: offered, answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shares {
    tenants: Vec<(u64, u64)>,
}

impl Shares {
    pub(crate) fn new(tenants: usize) -> Self {
        Self { tenants: if tenants <= MOST_TENANTS { vec![(0, 0); tenants] } else { Vec::new() } }
    }

    pub(crate) fn add(&mut self, tenant: u32, answered: bool) {
        if let Some((offered, done)) = self.tenants.get_mut(tenant as usize) {
            *offered += 1;
            *done += u64::from(answered);
        }
    }

    /// All answers.
    pub(crate) fn answered(&self) -> u64 {
        self.tenants.iter().map(|(_, answered)| answered).sum()
    }

    /// The largest shortfall of a tenant under its fair share of all answers, as a ratio of that share.
    pub(crate) fn shortfall(&self) -> f64 {
        let offered: Vec<f64> = self.tenants.iter().map(|(offered, _)| *offered as f64).collect();
        let fair = max_min(&offered, self.answered() as f64);

        let short = |(fair, (_, answered)): (&f64, &(u64, u64))| 1.0 - *answered as f64 / fair.max(1.0);
        fair.iter().zip(&self.tenants).map(short).fold(0.0, f64::max)
    }
}

/// Divides `capacity` among demands so that who wants less than an equal share gets it and the others share what is left.
fn max_min(demands: &[f64], capacity: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..demands.len()).collect();
    order.sort_by(|a, b| demands[*a].total_cmp(&demands[*b]));
    let (mut left, mut shares) = (capacity, vec![0.0; demands.len()]);
    for (done, tenant) in order.iter().enumerate() {
        let share = demands[*tenant].min(left / (demands.len() - done) as f64);
        shares[*tenant] = share;
        left -= share;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_little_gets_it_and_the_others_share_the_rest() {
        assert_eq!(max_min(&[10.0, 1.0, 10.0, 4.0], 15.0), [5.0, 1.0, 5.0, 4.0]);
        assert_eq!(max_min(&[1.0, 2.0], 9.0), [1.0, 2.0]);
    }

    #[test]
    fn the_shortfall_is_the_worst_tenants() {
        let mut shares = Shares::new(2);
        (0..100).for_each(|i| shares.add(0, i < 60));
        (0..100).for_each(|i| shares.add(1, i < 40));
        assert!((shares.shortfall() - 0.2).abs() < 1e-9 && shares.answered() == 100);
    }
}
