//! The configuration: raw TOML ▸ [`Config`], whose fields are private and known to be right.
//!
//! | file | is |
//! | --- | --- |
//! | `raw` | the keys as written, and all defaults |
//! | `admission`, `front`, `route`, `health`, `transport` | validated types of tenants' classes, of the clients' side, of routes, of checks, of what is below HTTP |
//! | `model` | which models are followed and how they are judged |
//! | `validate` | raw ▸ validated, collecting every problem with its place |
//! | `problem` | what is wrong, where, and what would be right |
//! | `summary` | what was understood, as text |
//!
//! Rejected: one struct with public fields that is checked where it is used. A zero timeout is then found at the
//! first request, and by a message that knows neither line nor key.

mod admission;
mod front;
mod health;
mod model;
mod problem;
mod raw;
mod route;
mod summary;
mod transport;
mod validate;

pub use admission::TenantClasses;
pub use front::{ClientLimits, Forwarding};
pub use health::{CheckKind, HealthCheck, Probes};
pub use model::{JudgeConfig, ModelConfig, ModelSource};
pub use problem::{ConfigError, Problem};
pub use route::{HeaderMatch, HostPattern, Retries, RetryOn, RoutePolicy, RouteRule, Timeouts};
pub use transport::{CertificateFiles, EndpointProtocol, EndpointTls, ListenerOptions, ServerTls};

use crate::tenant::TenantRule;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tailcast_balance::admission::AdmissionOptions;
use tailcast_balance::{BalancerOptions, EndpointSpec, PolicyKind};

/// A configuration that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    source: Option<PathBuf>,
    overrides: Overrides,
    watch: bool,
    resolve: Duration,
    limits: ClientLimits,
    forwarding: Forwarding,
    workers: usize,
    drain: Duration,
    name_endpoint: bool,
    listeners: Vec<SocketAddr>,
    listener_options: Vec<ListenerOptions>,
    tenant: TenantRule,
    tenant_classes: TenantClasses,
    pools: Vec<PoolConfig>,
    routes: Vec<RouteRule>,
    model: Option<ModelConfig>,
    log: Option<LogConfig>,
    admin: Option<SocketAddr>,
    balance: BalancerOptions,
}

/// A pool of endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolConfig {
    name: String,
    policy: PolicyKind,
    endpoints: Vec<EndpointConfig>,
    endpoints_file: Option<PathBuf>,
    health_check: Option<HealthCheck>,
    probes: Option<Probes>,
    protocol: EndpointProtocol,
    tls: Option<EndpointTls>,
    timeouts: Timeouts,
    connections: Connections,
    retries: Retries,
    admission: Option<AdmissionOptions>,
}

/// An endpoint and where it listens.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointConfig {
    pub(crate) spec: EndpointSpec,
    pub(crate) address: String,
    pub(crate) all_addresses: bool,
}

/// Bounds of connections to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Idle connections kept for one endpoint.
    pub idle_per_endpoint: usize,
    /// Most connections to, and requests in flight on, one endpoint by all workers; `None` for any.
    pub max_per_endpoint: Option<u32>,
    /// Age at which an idle connection is closed.
    pub idle: Duration,
}

/// What the command line says in place of the file; it holds for later versions of the file too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Overrides {
    policy: Option<PolicyKind>,
    model: Option<ModelSource>,
}

/// The decision log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Where segments are written.
    pub directory: PathBuf,
    /// When and at which size a segment is closed.
    pub rotation: Rotation,
}

/// When a segment is closed and rewritten as Parquet: at whichever bound is reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Age.
    pub age: Duration,
    /// Rows.
    pub rows: u64,
    /// Size of the open file.
    pub bytes: u64,
}

impl Config {
    /// Reads and validates a file.
    ///
    /// # Errors
    /// Where it cannot be read, or with every problem that was found in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config = validate::parse(&text, &path.display().to_string())?;
        config.source = Some(path.to_owned());
        Ok(config)
    }

    /// Reads the file that this came from again, with what was said in its place since.
    ///
    /// # Errors
    /// As [`Config::load`]; also where this came from no file.
    pub fn reread(&self) -> Result<Self, ConfigError> {
        let Some(path) = &self.source else { return Err(ConfigError::NoSource) };
        let mut config = Self::load(path)?;
        if let Some(policy) = self.overrides.policy {
            config = config.with_policy(policy);
        }
        if let Some(model) = &self.overrides.model {
            config = config.with_model_source(model.clone());
        }
        Ok(config)
    }

    /// Validates a text.
    ///
    /// # Errors
    /// With every problem that was found in it.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        validate::parse(text, "<text>")
    }

    /// The endpoints of a file that `endpoints_file` names.
    ///
    /// # Errors
    /// Where it cannot be read, or with every problem that was found in it.
    pub(crate) fn endpoints_of(path: &Path) -> Result<Vec<EndpointConfig>, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        validate::endpoints(&text, &path.display().to_string())
    }

    /// What was understood, as `tailcast check` prints it.
    pub fn summary(&self) -> String {
        self.to_string()
    }

    /// The same with this policy in every pool.
    #[must_use]
    pub fn with_policy(mut self, policy: PolicyKind) -> Self {
        self.pools.iter_mut().for_each(|pool| pool.policy = policy);
        self.overrides.policy = Some(policy);
        self
    }

    /// The same with this model file, watched unless the file said otherwise.
    #[must_use]
    pub fn with_model(self, path: PathBuf) -> Self {
        self.with_model_source(ModelSource::File(path))
    }

    /// The same with the champion of this registry, followed unless the file said otherwise.
    #[must_use]
    pub fn with_registry(self, directory: PathBuf) -> Self {
        self.with_model_source(ModelSource::Registry(directory))
    }

    fn with_model_source(mut self, source: ModelSource) -> Self {
        self.overrides.model = Some(source.clone());
        self.model = Some(match self.model {
            Some(model) => ModelConfig { source, ..model },
            None => ModelConfig { source, watch: true, judge: JudgeConfig::default() },
        });
        self
    }

    /// The file that it came from.
    pub fn source(&self) -> Option<&Path> {
        self.source.as_deref()
    }

    /// True where the file is read again when it changes.
    pub fn watch(&self) -> bool {
        self.watch
    }

    /// How often names of endpoints are resolved again.
    pub fn resolve(&self) -> Duration {
        self.resolve
    }

    /// What a client may ask of the proxy.
    pub fn limits(&self) -> &ClientLimits {
        &self.limits
    }

    /// Whose forwarding fields are believed.
    pub fn forwarding(&self) -> &Forwarding {
        &self.forwarding
    }

    /// Keys in which `other` differs and that a running proxy cannot change.
    pub(crate) fn restart_keys(&self, other: &Self) -> Vec<&'static str> {
        let keys = [
            ("workers", self.workers == other.workers),
            ("listener", self.listeners == other.listeners),
            ("admin", self.admin == other.admin),
            ("model", self.model == other.model),
            ("log", self.log == other.log),
        ];
        keys.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key).collect()
    }

    /// Worker threads.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// How long a shutdown waits for requests in flight.
    pub fn drain(&self) -> Duration {
        self.drain
    }

    /// True where responses name their endpoint.
    pub fn name_endpoint(&self) -> bool {
        self.name_endpoint
    }

    /// Addresses to listen on; port 0 lets the system choose.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// How each of them is spoken to, in the same order.
    pub fn listener_options(&self) -> &[ListenerOptions] {
        &self.listener_options
    }

    /// How a request's tenant is found.
    pub fn tenant(&self) -> &TenantRule {
        &self.tenant
    }

    /// What tenants may have.
    pub fn tenant_classes(&self) -> &TenantClasses {
        &self.tenant_classes
    }

    /// The pools; the first is the default.
    pub fn pools(&self) -> &[PoolConfig] {
        &self.pools
    }

    /// The routes, longest prefix first.
    pub fn routes(&self) -> &[RouteRule] {
        &self.routes
    }

    /// The model, if there is one.
    pub fn model(&self) -> Option<&ModelConfig> {
        self.model.as_ref()
    }

    /// The decision log, if there is one.
    pub fn log(&self) -> Option<&LogConfig> {
        self.log.as_ref()
    }

    /// The admin listener, if there is one.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Settings of the balancers; the policy is each pool's own.
    pub fn balance(&self) -> &BalancerOptions {
        &self.balance
    }
}

impl PoolConfig {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The policy to start with.
    pub fn policy(&self) -> PolicyKind {
        self.policy
    }

    /// The endpoints.
    pub fn endpoints(&self) -> &[EndpointConfig] {
        &self.endpoints
    }

    /// The file with more endpoints.
    pub fn endpoints_file(&self) -> Option<&Path> {
        self.endpoints_file.as_deref()
    }

    /// How endpoints are checked while nobody asks them.
    pub fn health_check(&self) -> Option<&HealthCheck> {
        self.health_check.as_ref()
    }

    /// How endpoints are asked for their load.
    pub fn probes(&self) -> Option<&Probes> {
        self.probes.as_ref()
    }

    /// What the endpoints are spoken to in.
    pub fn protocol(&self) -> EndpointProtocol {
        self.protocol
    }

    /// TLS to the endpoints.
    pub fn tls(&self) -> Option<&EndpointTls> {
        self.tls.as_ref()
    }

    /// Limits of time.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// When a request is tried again.
    pub fn retries(&self) -> Retries {
        self.retries
    }

    /// How much is let in; `None` where everything is.
    pub fn admission(&self) -> Option<AdmissionOptions> {
        self.admission
    }

    /// Bounds of the keep-alive pool.
    pub fn connections(&self) -> Connections {
        self.connections
    }
}

impl EndpointConfig {
    /// Name, weight and zone.
    pub fn spec(&self) -> &EndpointSpec {
        &self.spec
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// True where each address of the name is an endpoint of its own.
    pub fn all_addresses(&self) -> bool {
        self.all_addresses
    }
}

#[cfg(test)]
mod tests;
