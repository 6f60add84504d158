//! Requests in flight: a slab, so that a request is a number and nothing is allocated for it.

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// On its way to the server.
    Outbound,
    /// At the server.
    AtServer,
    /// Its answer is on the way.
    Inbound,
    /// The client gave up; the server still has it.
    Abandoned,
    /// The slot is free.
    Free,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) arrived: u64,
    /// When its proxy let it in.
    pub(crate) dispatched: u64,
    pub(crate) work: f64,
    pub(crate) rif_at_arrival: u32,
    pub(crate) decision: u32,
    pub(crate) tenant: u32,
    pub(crate) generation: u32,
    pub(crate) reached: u64,
    pub(crate) server: u16,
    pub(crate) proxy: u16,
    pub(crate) route: u16,
    pub(crate) phase: Phase,
    pub(crate) refused: bool,
    /// Given up while at a server that does not cancel.
    pub(crate) client_gone: bool,
    pub(crate) policy_logged: bool,
}

/// All requests in flight.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    slots: Vec<Request>,
    free: Vec<u32>,
    live: usize,
}

impl Requests {
    pub(crate) fn insert(&mut self, mut request: Request) -> u32 {
        self.live += 1;
        match self.free.pop() {
            Some(slot) => {
                request.generation = self.slots[slot as usize].generation.wrapping_add(1);
                self.slots[slot as usize] = request;
                slot
            }
            None => {
                self.slots.push(request);
                (self.slots.len() - 1) as u32
            }
        }
    }

    pub(crate) fn get(&self, slot: u32) -> &Request {
        &self.slots[slot as usize]
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Request {
        &mut self.slots[slot as usize]
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        self.slots[slot as usize].phase = Phase::Free;
        self.free.push(slot);
        self.live -= 1;
    }

    pub(crate) fn live(&self) -> usize {
        self.live
    }
}
