//! One server by hand.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

const MS: f64 = 1e6;

fn shared(cores: f64) -> Server {
    Server::new(0, Discipline::ProcessorSharing, cores, 1.0, None)
}

#[test]
fn two_requests_on_one_core_take_twice_as_long() {
    let mut server = shared(1.0);
    server.arrive(1, 10.0 * MS, 0);
    server.arrive(2, 20.0 * MS, 0);
    let first = server.next_finish();
    assert!((first as f64 / MS - 20.0).abs() < 1e-3, "{first}");
    assert_eq!(server.finish(first, |_| true), Some((1, true)));
    assert!((server.next_finish() as f64 / MS - 30.0).abs() < 1e-3);
}

#[test]
fn within_the_cores_nobody_waits_and_a_brown_out_slows_what_is_in_service() {
    let mut server = shared(4.0);
    for request in 0..4 {
        server.arrive(request, 10.0 * MS, 0);
    }
    assert!((server.next_finish() as f64 / MS - 10.0).abs() < 1e-3);
    server.advance(5_000_000);
    server.brown_out = 0.2;
    assert!((server.next_finish() as f64 / MS - 30.0).abs() < 1e-3);
}

#[test]
fn a_fifo_server_serves_in_order_and_refuses_beyond_its_queue() {
    let mut server = Server::new(0, Discipline::Fifo { workers: 1, queue: 1 }, 1.0, 1.0, None);
    assert_eq!(server.arrive(1, 10.0 * MS, 0), Admission::Served);
    assert_eq!(server.arrive(2, 1.0 * MS, 0), Admission::Served);
    assert_eq!(server.arrive(3, 1.0 * MS, 0), Admission::Refused);
    let done = server.next_finish();
    assert_eq!(server.finish(done, |_| true), Some((1, true)));
    assert_eq!(server.rif(), 1);
    assert!((server.next_finish() as f64 / MS - 11.0).abs() < 1e-3);
}

#[test]
fn an_abandoned_request_gives_its_share_back_and_leaves_through_the_heap() {
    let mut server = shared(1.0);
    server.arrive(1, 10.0 * MS, 0);
    server.arrive(2, 10.0 * MS, 0);
    server.abandon(1, 0, |request| request != 1);
    assert_eq!(server.rif(), 1);
    let alive = |request: u32| request != 1;
    let mut ended = Vec::new();
    while server.next_finish() != u64::MAX {
        let now = server.next_finish();
        ended.extend(server.finish(now, alive).map(|(request, live)| (request, live, now as f64 / MS)));
    }
    assert_eq!((ended[0].0, ended[0].1, ended[1].0, ended[1].1), (1, false, 2, true));
    assert!((ended[1].2 - 10.0).abs() < 0.01, "{ended:?}");
}
