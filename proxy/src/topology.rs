//! What a configuration becomes when names are resolved: pools with endpoints and addresses, shared by all workers.
//!
//! A topology is immutable. A reload builds the next one and takes over the endpoints that stay, by pool and name,
//! with their requests in flight and their health; then one pointer is swapped.

use crate::config::{Config, EndpointConfig, EndpointProtocol, EndpointTls, PoolConfig, ServerTls};
use crate::error::ProxyError;
use crate::metrics::{Metrics, PoolMetrics};
use crate::tls::{self, ClientTls, ServerSide};
use rustls::pki_types::ServerName;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use tailcast_balance::admission::TenantMeters;
use tailcast_balance::{Endpoint, EndpointSpec};
use tailcast_features::Tick;

/// An endpoint as all workers know it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) address: SocketAddr,
    pub(crate) protocol: EndpointProtocol,
    /// TLS, and the name that the endpoint's certificate must hold.
    pub(crate) tls: Option<(ClientTls, ServerName<'static>)>,
}

impl Target {
    /// True where both are spoken to alike, wherever they are.
    pub(crate) fn is_spoken_to_as(&self, other: &Self) -> bool {
        let is_same_tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some((one, name)), Some((other, other_name))) => one.is_same(other) && name == other_name,
            _ => false,
        };
        self.protocol == other.protocol && is_same_tls
    }
}

/// A pool as all workers know it.
#[derive(Debug)]
pub(crate) struct PoolTopology {
    pub(crate) config: PoolConfig,
    /// In the order of the configuration.
    pub(crate) targets: Vec<Target>,
    tls: Option<ClientTls>,
    /// What tenants use of their own limits, by all workers.
    pub(crate) meters: Arc<TenantMeters>,
    /// Counters, one set a worker.
    pub(crate) metrics: Vec<Arc<PoolMetrics>>,
}

/// One state of everything that a configuration decides.
#[derive(Debug)]
pub(crate) struct Topology {
    pub(crate) config: Config,
    pub(crate) pools: Vec<PoolTopology>,
    /// How connections of each listener begin, in the order of the configuration.
    pub(crate) servers: Vec<ServerSide>,
}

/// How names become addresses; tests have their own.
pub(crate) type Resolve = fn(&str) -> io::Result<Vec<SocketAddr>>;

/// What a topology is built with, beside its configuration.
pub(crate) struct Build<'a> {
    /// What it takes over from.
    pub(crate) before: Option<&'a Topology>,
    pub(crate) metrics: &'a Metrics,
    pub(crate) resolve: Resolve,
    pub(crate) now: Tick,
}

impl Topology {
    /// Resolves names and takes over what stays of the topology before.
    ///
    /// # Errors
    /// Where a new endpoint's name has no address, or a file of endpoints cannot be used.
    pub(crate) fn build(config: Config, build: &Build<'_>) -> Result<Self, ProxyError> {
        let pools = config.pools().iter().map(|pool| PoolTopology::build(pool, config.workers(), build));
        let pools = pools.collect::<Result<_, ProxyError>>()?;
        let before = |index: usize| build.before.and_then(|before| before.servers.get(index));
        let servers = config.listener_options().iter().enumerate().map(|(index, options)| {
            tls::server(options, before(index))
                .map_err(|reason| ProxyError::Tls { of: format!("listener {index}"), reason })
        });
        let servers = servers.collect::<Result<_, _>>()?;
        Ok(Self { config, pools, servers })
    }

    /// The pool of a name.
    pub(crate) fn pool(&self, name: &str) -> Option<&PoolTopology> {
        self.pools.iter().find(|pool| pool.config.name() == name)
    }

    /// Files that it was read from, beside the configuration.
    pub(crate) fn files(&self) -> Vec<&Path> {
        let pools = self.pools.iter().flat_map(|pool| {
            let tls = pool.config.tls().map(EndpointTls::files).unwrap_or_default();
            tls.into_iter().chain(pool.config.endpoints_file())
        });
        let listeners = self.config.listener_options().iter().filter_map(|options| options.tls.as_ref());
        listeners.flat_map(ServerTls::files).chain(pools).collect()
    }

    /// True where both have the same endpoints at the same addresses, and the same of all else that is read from
    /// outside of the configuration.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.servers.len() == other.servers.len()
            && self.servers.iter().zip(&other.servers).all(|(one, other)| one.is_same(other))
            && self.pools.len() == other.pools.len()
            && self.pools.iter().zip(&other.pools).all(|(one, other)| {
                one.targets.len() == other.targets.len()
                    && one.targets.iter().zip(&other.targets).all(|(one, other)| {
                        Arc::ptr_eq(&one.endpoint, &other.endpoint)
                            && one.address == other.address
                            && one.is_spoken_to_as(other)
                    })
            })
    }

    /// True where an endpoint has a name that may move.
    pub(crate) fn has_names(&self) -> bool {
        let is_name = |endpoint: &EndpointConfig| endpoint.address().parse::<SocketAddr>().is_err();
        let may_have =
            |pool: &PoolTopology| pool.config.endpoints_file().is_some() || pool.config.endpoints().iter().any(is_name);
        self.pools.iter().any(may_have)
    }
}

impl PoolTopology {
    fn build(config: &PoolConfig, workers: usize, build: &Build<'_>) -> Result<Self, ProxyError> {
        let before = build.before.and_then(|before| before.pool(config.name()));
        let from_file = config.endpoints_file().map(Config::endpoints_of).transpose()?.unwrap_or_default();
        let known_tls = before.and_then(|before| before.tls.as_ref());
        let tls = config.tls().map(|tls| tls::client(tls, config.protocol(), known_tls)).transpose();
        let tls = tls.map_err(|reason| ProxyError::Tls { of: format!("pool {:?}", config.name()), reason })?;
        let mut targets: Vec<Target> = Vec::new();
        for endpoint in config.endpoints().iter().chain(&from_file) {
            let limit = config.connections().max_per_endpoint;
            let tls = tls.as_ref().map(|tls| {
                let name = tls.name_of(endpoint.address()).ok_or_else(|| ProxyError::Tls {
                    of: format!("pool {:?}", config.name()),
                    reason: format!("{:?} holds no host: set server_name", endpoint.address()),
                });
                name.map(|name| (tls.clone(), name))
            });
            let tls = tls.transpose()?;
            for (spec, address) in placed(config.name(), endpoint, before, build.resolve)? {
                // Twice in two places, or an address that two names share: one endpoint.
                if targets.iter().any(|known| known.endpoint.name() == spec.name) {
                    continue;
                }
                let endpoint = match before.and_then(|pool| pool.target(&spec.name)) {
                    Some(known) if is_same(&known.endpoint, &spec, limit) => Arc::clone(&known.endpoint),
                    Some(known) => Arc::new(known.endpoint.respecified(&spec).limited(limit)),
                    None => {
                        let endpoint = Endpoint::new(&spec, workers).limited(limit);
                        if before.is_some() {
                            endpoint.joined(build.now);
                        }
                        Arc::new(endpoint)
                    }
                };
                targets.push(Target { endpoint, address, protocol: config.protocol(), tls: tls.clone() });
            }
        }
        let metrics = build.metrics.of_pool(config.name());
        let meters = before.map_or_else(Arc::default, |before| Arc::clone(&before.meters));
        Ok(Self { config: config.clone(), targets, tls, meters, metrics })
    }

    /// The endpoint of a name.
    pub(crate) fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.endpoint.name() == name)
    }
}

fn is_same(known: &Endpoint, spec: &EndpointSpec, limit: Option<u32>) -> bool {
    known.weight() == spec.weight && known.zone() == spec.zone.as_deref() && known.limit() == limit
}

/// Where an endpoint is: once, or once for each address where that is configured. A name that cannot be resolved any
/// more stays where it was: the resolver's failure must not become the endpoint's.
fn placed(
    pool: &str,
    endpoint: &EndpointConfig,
    before: Option<&PoolTopology>,
    resolve: Resolve,
) -> Result<Vec<(EndpointSpec, SocketAddr)>, ProxyError> {
    let spec = endpoint.spec();
    let prefix = format!("{}@", spec.name);
    let known = |target: &&Target| match endpoint.all_addresses() {
        true => target.endpoint.name().starts_with(&prefix),
        false => target.endpoint.name() == spec.name,
    };
    let known: Vec<SocketAddr> =
        before.map_or_else(Vec::new, |pool| pool.targets.iter().filter(known).map(|target| target.address).collect());
    let mut found = match resolve(endpoint.address()) {
        Ok(found) if !found.is_empty() => found,
        Ok(_) | Err(_) if !known.is_empty() => known.clone(),
        Ok(_) => return Err(unresolved(pool, endpoint, "the name has no address".to_owned())),
        Err(error) => return Err(unresolved(pool, endpoint, error.to_string())),
    };
    if endpoint.all_addresses() {
        // Resolvers rotate their answers; an order of our own keeps the pool as it is.
        found.sort_unstable();
        found.dedup();
        let named =
            |address: SocketAddr| (EndpointSpec { name: format!("{prefix}{address}"), ..spec.clone() }, address);
        return Ok(found.into_iter().map(named).collect());
    }
    let kept = known.into_iter().find(|known| found.contains(known));
    Ok(kept.or(found.first().copied()).map(|address| (spec.clone(), address)).into_iter().collect())
}

fn unresolved(pool: &str, endpoint: &EndpointConfig, reason: String) -> ProxyError {
    ProxyError::Resolve { pool: pool.to_owned(), address: endpoint.address().to_owned(), reason }
}

/// Asks the system.
pub(crate) fn resolve_by_system(address: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(address.to_socket_addrs()?.collect())
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use tailcast_balance::Closed;

    fn config(endpoints: &str) -> Config {
        let text = format!(
            "workers = 1\n[[listener]]\naddress = '127.0.0.1:0'\n[[pool]]\nname = 'a'\nendpoints = [{endpoints}]\n"
        );
        Config::parse(&text).unwrap()
    }

    /// A topology for tests of other modules.
    pub(crate) fn topology(endpoints: &str) -> Topology {
        build(endpoints, None, resolve_by_system).unwrap()
    }

    fn build(endpoints: &str, before: Option<&Topology>, resolve: Resolve) -> Result<Topology, ProxyError> {
        let metrics = Metrics::new(1);
        Topology::build(config(endpoints), &Build { before, metrics: &metrics, resolve, now: Tick::from_secs_f64(9.0) })
    }

    fn addresses(topology: &Topology) -> Vec<String> {
        topology.pools[0].targets.iter().map(|target| target.address.to_string()).collect()
    }

    fn two(_: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(vec!["10.0.0.2:1".parse().unwrap(), "10.0.0.1:1".parse().unwrap()])
    }

    fn one(_: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(vec!["10.0.0.1:1".parse().unwrap()])
    }

    fn none(_: &str) -> io::Result<Vec<SocketAddr>> {
        Err(io::Error::other("no resolver"))
    }

    #[test]
    fn a_name_moves_only_when_its_address_is_gone_and_survives_a_dead_resolver() {
        let first = build("'h:1'", None, two).unwrap();
        assert_eq!(addresses(&first), ["10.0.0.2:1"]);
        let second = build("'h:1'", Some(&first), two).unwrap();
        assert!(first.is_same(&second) && first.has_names());
        let moved = build("'h:1'", Some(&second), one).unwrap();
        assert_eq!(addresses(&moved), ["10.0.0.1:1"]);
        assert!(
            !moved.is_same(&second)
                && Arc::ptr_eq(&moved.pools[0].targets[0].endpoint, &first.pools[0].targets[0].endpoint)
        );
        assert_eq!(addresses(&build("'h:1'", Some(&moved), none).unwrap()), ["10.0.0.1:1"]);
        assert!(build("'h:1'", None, none).unwrap_err().to_string().contains("no resolver"));
    }

    #[test]
    fn each_address_of_a_name_can_be_an_endpoint() {
        let entry = "{ address = 'h:1', name = 'web', all_addresses = true }";
        let first = build(entry, None, two).unwrap();
        let names: Vec<&str> = first.pools[0].targets.iter().map(|target| target.endpoint.name()).collect();
        assert_eq!(names, ["web@10.0.0.1:1", "web@10.0.0.2:1"]);
        let fewer = build(entry, Some(&first), one).unwrap();
        assert_eq!(addresses(&fewer), ["10.0.0.1:1"]);
        assert_eq!(addresses(&build(entry, Some(&first), none).unwrap()).len(), 2);
    }

    #[test]
    fn what_stays_keeps_its_state_and_what_joins_starts_slowly() {
        let first = build("'10.0.0.1:1'", None, resolve_by_system).unwrap();
        let known = &first.pools[0].targets[0].endpoint;
        known.set_closed(Closed::Draining, true);
        let entry = "{ address = '10.0.0.1:1', weight = 2.0 }, '10.0.0.2:1'";
        let second = build(entry, Some(&first), resolve_by_system).unwrap();
        let [stays, joins] = second.pools[0].targets.as_slice() else { panic!("{second:?}") };
        assert!(stays.endpoint.is_closed(Closed::Draining) && stays.endpoint.weight() == 2.0);
        assert_eq!((stays.endpoint.joined_at(), known.joined_at()), (None, None));
        assert!(joins.endpoint.joined_at().is_some() && joins.endpoint.is_open());
    }
}
