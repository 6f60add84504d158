//! Admission as a whole: invariants under random events, shares, starvation, memory.

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tailcast_features::Tick;
use tailcast_features::hash::{hash_name, mix};

fn admission(limit: u32, classes: Classes) -> Admission {
    let limiter = LimiterOptions { initial: limit, min: 1, max: limit, ..LimiterOptions::default() };
    let options = AdmissionOptions { limiter, ..AdmissionOptions::default() };
    Admission::new(options, classes, Arc::default())
}

fn of(tenant: u64) -> Offered {
    Offered { tenant, ..Offered::default() }
}

fn at(ms: u64) -> Tick {
    Tick::from_secs_f64(10.0).after(Duration::from_millis(ms))
}

#[test]
fn a_free_pool_lets_in_at_once_and_a_full_one_calls_who_waits() {
    let mut pool = admission(1, Classes::default());
    let Offer::Admitted(first) = pool.offer(&of(1), at(0)) else { panic!("not admitted") };
    let Offer::Queued(ticket) = pool.offer(&of(2), at(0)) else { panic!("not queued") };
    assert_eq!(pool.next(at(1)), None);
    pool.release(first, true, at(5));
    let Some(Called::Admitted(serial, second)) = pool.next(at(5)) else { panic!("not called") };
    assert_eq!(serial, ticket.serial());
    assert!(!pool.give_up(&ticket, at(6)), "called before");
    pool.release(second, true, at(9));
    assert_eq!((pool.stats().in_flight, pool.stats().waiting), (0, 0));
}

#[test]
fn who_waited_too_long_is_refused_even_where_its_timer_is_late() {
    let mut pool = admission(1, Classes::default());
    let Offer::Admitted(first) = pool.offer(&of(1), at(0)) else { panic!("not admitted") };
    let Offer::Queued(ticket) = pool.offer(&of(2), at(0)) else { panic!("not queued") };
    assert_eq!(ticket.until, at(100));
    pool.release(first, true, at(101));
    assert_eq!(pool.next(at(101)), Some(Called::Shed(ticket.serial(), ShedReason::QueueTime.into())));
    assert_eq!(pool.next(at(101)), None);
}

#[test]
fn a_request_that_cannot_be_done_in_time_is_refused_at_once() {
    let mut pool = admission(2, Classes::default());
    let mut now = at(0);
    // The pool takes 20 ms.
    for _ in 0..50 {
        let Offer::Admitted(permit) = pool.offer(&of(1), now) else { panic!("not admitted") };
        now = now.after(Duration::from_millis(20));
        pool.release(permit, true, now);
    }
    let within = |ms: u64| Offered { deadline: Some(now.after(Duration::from_millis(ms))), ..of(1) };
    let Offer::Admitted(_first) = pool.offer(&within(5), now) else { panic!("an idle pool is always tried") };
    assert_eq!(pool.offer(&within(19), now), Offer::Shed(ShedReason::Deadline.into()));
    let Offer::Admitted(_second) = pool.offer(&within(25), now) else { panic!("not admitted") };
    // Now it would have to wait for an end, and then has 20 ms to go.
    assert_eq!(pool.offer(&within(25), now), Offer::Shed(ShedReason::Deadline.into()));
    let Offer::Queued(ticket) = pool.offer(&within(60), now) else { panic!("not queued") };
    assert!(ticket.until <= now.after(Duration::from_millis(41)), "later it would be too late: {ticket:?}");
}

#[test]
fn a_tenants_own_limits_are_its_class_s_and_come_back() {
    let mut classes = Classes::default();
    let rate = Some(Rate { per_second: 10.0, burst: 2.0 });
    classes.add(TenantClass { rate, max_in_flight: Some(1), ..TenantClass::default() }, [7]);
    let mut pool = admission(100, classes);
    assert!(pool.has_own_limits());
    let Offer::Admitted(permit) = pool.offer(&of(7), at(0)) else { panic!("not admitted") };
    assert_eq!(pool.offer(&of(7), at(0)), Offer::Shed(ShedReason::TenantConcurrency.into()));
    let Offer::Admitted(_other) = pool.offer(&of(8), at(0)) else { panic!("another tenant is not limited") };
    pool.release(permit, true, at(1));
    let Offer::Admitted(permit) = pool.offer(&of(7), at(1)) else { panic!("not admitted") };
    pool.release(permit, true, at(2));
    let Offer::Shed(shed) = pool.offer(&of(7), at(2)) else { panic!("above its rate") };
    assert!(shed.reason == ShedReason::Rate && shed.reason.is_own_limit());
    assert!(shed.retry_after > Duration::from_millis(90) && shed.retry_after <= Duration::from_millis(100));
}

/// Serves so many requests of a full pool, one in flight, each a millisecond; every tenant asks `demand` times as often
/// as the pool serves. Answers by tenant.
fn serve(pool: &mut Admission, tenants: &[(u64, f64)], served: usize) -> BTreeMap<u64, usize> {
    let mut done = BTreeMap::new();
    let mut owed: Vec<f64> = vec![0.0; tenants.len()];
    let mut names = BTreeMap::new();
    let mut tickets: Vec<Ticket> = Vec::new();
    let mut current: Option<(Permit, u64)> = None;
    for step in 0..served as u64 {
        let now = at(step);
        tickets.retain(|ticket| ticket.until > now || !pool.give_up(ticket, now));
        for (owed, (tenant, demand)) in owed.iter_mut().zip(tenants) {
            *owed += demand;
            while *owed >= 1.0 {
                *owed -= 1.0;
                match pool.offer(&of(*tenant), now) {
                    Offer::Admitted(permit) => {
                        assert!(current.is_none(), "two in flight");
                        current = Some((permit, *tenant));
                    }
                    Offer::Queued(ticket) => {
                        names.insert(ticket.serial(), *tenant);
                        tickets.push(ticket);
                    }
                    Offer::Shed(_) => {}
                }
            }
        }
        if let Some((permit, tenant)) = current.take() {
            *done.entry(tenant).or_insert(0) += 1;
            pool.release(permit, true, now.after(Duration::from_millis(1)));
        }
        while let Some(called) = pool.next(now.after(Duration::from_millis(1))) {
            if let Called::Admitted(serial, permit) = called {
                current = Some((permit, names[&serial]));
                tickets.retain(|ticket| ticket.serial() != serial);
            }
        }
    }
    done
}

#[test]
fn shares_of_a_full_pool_are_weighted_max_min() {
    let mut classes = Classes::default();
    classes.add(TenantClass { weight: 3.0, ..TenantClass::default() }, [1]);
    // Weight 3 and three of weight 1, of which one wants only 4 %: 3/5, 1/5, 1/5 of the other 96 %.
    let done = serve(&mut admission(1, classes), &[(1, 2.0), (2, 5.0), (3, 1.0), (4, 0.04)], 20_000);
    for (tenant, expected) in [(1, 0.576), (2, 0.192), (3, 0.192), (4, 0.04)] {
        let share = done[&tenant] as f64 / 20_000.0;
        assert!((share / expected - 1.0).abs() < 0.05, "tenant {tenant}: {share}, expected {expected}; {done:?}");
    }
}

#[test]
fn no_priority_starves() {
    let mut classes = Classes::default();
    classes.add(TenantClass { priority: 0, ..TenantClass::default() }, [1]);
    classes.add(TenantClass { priority: 3, ..TenantClass::default() }, [2]);
    let done = serve(&mut admission(1, classes), &[(1, 3.0), (2, 3.0)], 10_000);
    assert!(done[&1] > 9_200 && done[&2] > 550, "{done:?}");
}

#[test]
fn a_flood_of_names_costs_bounded_memory_and_others_keep_their_share() {
    let mut pool = admission(1, Classes::default());
    let (mut served, mut serials, mut tickets) = (0, BTreeMap::new(), Vec::<Ticket>::new());
    let Offer::Admitted(permit) = pool.offer(&of(0), at(0)) else { panic!("not admitted") };
    let mut current = Some(permit);
    let steps = 100_000u64;
    for step in 0..steps {
        let now = Tick::from_secs_f64(10.0).after(Duration::from_micros(step * 1_000));
        tickets.retain(|ticket: &Ticket| ticket.until > now || !pool.give_up(ticket, now));
        // Ten names that never come again for each request of one tenant.
        let names = (0..10).map(|i| mix(step, i)).chain([hash_name("steady")]);
        for name in names {
            if let Offer::Queued(ticket) = pool.offer(&of(name), now) {
                serials.insert(ticket.serial(), name);
                tickets.push(ticket);
            }
        }
        if let Some(permit) = current.take() {
            pool.release(permit, true, now);
        }
        while let Some(called) = pool.next(now) {
            let (Called::Admitted(serial, _) | Called::Shed(serial, _)) = &called;
            let name = serials.remove(serial);
            tickets.retain(|ticket| ticket.serial() != *serial);
            if let Called::Admitted(_, permit) = called {
                served += u32::from(name == Some(hash_name("steady")));
                current = Some(permit);
            }
        }
        serials.retain(|serial, _| tickets.iter().any(|ticket| ticket.serial() == *serial));
        assert!(pool.stats().waiting <= 8 * 64);
    }
    // One of 33 queues that wait: its own, and those that the flood shares.
    let share = f64::from(served) / steps as f64;
    assert!(share > 0.9 / 33.0, "{share}");
}

#[derive(Debug, Clone)]
enum Event {
    Offer { tenant: u64, deadline_ms: Option<u64> },
    Release { which: usize, measured: bool },
    GiveUp { which: usize },
    Wait { ms: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0u64..6, prop::option::weighted(0.2, 1u64..200))
            .prop_map(|(tenant, deadline_ms)| Event::Offer { tenant, deadline_ms }),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(which, measured)| Event::Release { which, measured }),
        1 => any::<usize>().prop_map(|which| Event::GiveUp { which }),
        2 => (0u64..40).prop_map(|ms| Event::Wait { ms }),
    ]
}

proptest! {
    /// Nothing is lost, whatever happens: each request is exactly admitted, waiting, refused or given up; never more are in
    /// flight than the limit was when the last was let in; the counters of the tenants return to zero.
    #[test]
    fn every_request_has_one_fate(events in prop::collection::vec(event(), 1..400)) {
        let mut classes = Classes::default();
        classes.add(TenantClass { weight: 5.0, priority: 0, ..TenantClass::default() }, [1]);
        classes.add(TenantClass { max_in_flight: Some(3), priority: 3, ..TenantClass::default() }, [2]);
        classes.add(TenantClass { rate: Some(Rate { per_second: 50.0, burst: 2.0 }), ..TenantClass::default() }, [3]);
        let limiter = LimiterOptions { initial: 4, min: 2, max: 8, ..LimiterOptions::default() };
        let options = AdmissionOptions { limiter, queue_requests: 3, ..AdmissionOptions::default() };
        let meters = Arc::new(TenantMeters::default());
        let mut pool = Admission::new(options, classes.clone(), Arc::clone(&meters));
        let mut now = at(0);
        let (mut offered, mut shed, mut done) = (0, 0, 0);
        let (mut flying, mut waiting): (Vec<Permit>, Vec<Ticket>) = (Vec::new(), Vec::new());
        for event in events.into_iter().chain([Event::Wait { ms: 1 }]) {
            match event {
                Event::Offer { tenant, deadline_ms } => {
                    offered += 1;
                    let deadline = deadline_ms.map(|ms| now.after(Duration::from_millis(ms)));
                    match pool.offer(&Offered { deadline, ..of(tenant) }, now) {
                        Offer::Admitted(permit) => {
                            flying.push(permit);
                            prop_assert!(flying.len() <= pool.stats().limit as usize);
                            prop_assert!(waiting.is_empty(), "overtook {waiting:?}");
                        }
                        Offer::Queued(ticket) => waiting.push(ticket),
                        Offer::Shed(_) => shed += 1,
                    }
                }
                Event::Release { which, measured } if !flying.is_empty() => {
                    done += 1;
                    let permit = flying.swap_remove(which % flying.len());
                    pool.release(permit, measured, now);
                }
                Event::GiveUp { which } if !waiting.is_empty() => {
                    let ticket = waiting.swap_remove(which % waiting.len());
                    // One that was pushed out meanwhile is called below.
                    if pool.give_up(&ticket, now) { shed += 1 } else { waiting.push(ticket) }
                }
                Event::Wait { ms } => now = now.after(Duration::from_millis(ms)),
                _ => {}
            }
            while let Some(called) = pool.next(now) {
                let (Called::Admitted(serial, _) | Called::Shed(serial, _)) = &called;
                let place = waiting.iter().position(|ticket| ticket.serial() == *serial);
                prop_assert!(place.is_some(), "{serial} was called and did not wait");
                let ticket = waiting.swap_remove(place.unwrap());
                match called {
                    Called::Admitted(_, permit) => {
                        prop_assert!(now <= ticket.until, "after its time");
                        flying.push(permit);
                        prop_assert!(flying.len() <= pool.stats().limit as usize);
                    }
                    Called::Shed(..) => shed += 1,
                }
            }
            let stats = pool.stats();
            prop_assert_eq!((stats.in_flight as usize, stats.waiting as usize), (flying.len(), waiting.len()));
            prop_assert_eq!(offered, shed + done + flying.len() + waiting.len());
            prop_assert!(waiting.is_empty() || flying.len() >= stats.limit as usize, "waits at a free pool");
        }
        for ticket in waiting {
            prop_assert!(pool.give_up(&ticket, now));
        }
        for permit in flying {
            pool.release(permit, true, now);
        }
        prop_assert_eq!((pool.stats().in_flight, pool.stats().waiting), (0, 0));
        // All places of the tenant with a limit of its own are free again.
        for _ in 0..3 {
            prop_assert_eq!(meters.take(2, classes.class(2), now), Ok(true));
        }
    }
}
