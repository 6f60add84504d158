//! A fleet of emulated endpoints: starts their threads, changes their behaviour, ends them.

use super::control::{Control, Counters, Mode};
use super::server;
use super::spec::EndpointSpec;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

#[derive(Debug)]
struct Member {
    name: String,
    address: SocketAddr,
    control: Arc<Control>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Running endpoints, in the order of their specifications. They end when it is dropped.
#[derive(Debug)]
pub struct EmulatedFleet {
    members: Vec<Member>,
}

impl EmulatedFleet {
    /// Starts one thread and one listener on a free loopback port for each specification.
    ///
    /// # Errors
    /// Where a port cannot be bound or a thread cannot be started.
    pub fn start(specs: Vec<EndpointSpec>) -> io::Result<Self> {
        let mut fleet = Self { members: Vec::new() };
        for spec in specs {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let control = Arc::new(Control::default());
            let (stop, stopped) = oneshot::channel();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (name, own) = (spec.name.clone(), Arc::clone(&control));
            let thread = std::thread::Builder::new().name(format!("emu-{name}")).spawn(move || {
                let tasks = tokio::task::LocalSet::new();
                let serving = tasks.run_until(server::serve(listener, spec, own, stopped));
                if let Err(error) = runtime.block_on(serving) {
                    tracing::error!(%error, "an emulated endpoint ended");
                }
            })?;
            fleet.members.push(Member { name, address, control, stop: Some(stop), thread: Some(thread) });
        }
        Ok(fleet)
    }

    /// Number of endpoints.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True without endpoints.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Where they listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.address).collect()
    }

    /// Their names.
    pub fn names(&self) -> Vec<&str> {
        self.members.iter().map(|member| member.name.as_str()).collect()
    }

    /// Makes services of an endpoint take `factor` times as long from now on; 1 ends the brown-out.
    pub fn brown_out(&self, endpoint: usize, factor: f32) {
        if let Some(member) = self.members.get(endpoint) {
            member.control.set_slow_factor(factor.max(0.0));
        }
    }

    /// Changes how an endpoint behaves from now on.
    pub fn set_mode(&self, endpoint: usize, mode: Mode) {
        if let Some(member) = self.members.get(endpoint) {
            member.control.set_mode(mode);
        }
    }

    /// Counters of an endpoint.
    pub fn counters(&self, endpoint: usize) -> Option<Counters> {
        self.members.get(endpoint).map(|member| member.control.counters())
    }
}

impl Drop for EmulatedFleet {
    fn drop(&mut self) {
        for member in &mut self.members {
            // Dropping the sender stops the thread.
            member.stop = None;
        }
        for member in &mut self.members {
            if let Some(thread) = member.thread.take()
                && thread.join().is_err()
            {
                tracing::error!(endpoint = member.name, "an emulated endpoint panicked");
            }
        }
    }
}
