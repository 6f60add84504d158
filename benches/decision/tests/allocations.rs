//! Nothing is allocated for a decision or at its end, once the buffers have grown.
#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use tailcast_balance::PolicyKind;
use tailcast_bench_decision::Scene;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test, so that no other thread allocates meanwhile.
#[test]
fn a_request_allocates_nothing_under_any_policy() {
    for policy in PolicyKind::ALL {
        for endpoints in [8, 100] {
            let mut scene = Scene::new(endpoints, policy).unwrap();
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            assert!(before > 0, "the counter counts");
            (0..2_000).for_each(|_| scene.request());
            let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;
            assert_eq!(allocated, 0, "{policy} over {endpoints}");
        }
    }
}
