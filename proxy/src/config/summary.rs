//! What was understood of a configuration, as text for people: `tailcast check` prints it.
//!
//! Every value is shown after defaults, so that it answers "what will run", not "what did I write".

use super::{CheckKind, Config, JudgeConfig, ModelSource, TenantClasses};
use std::fmt;

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (listener, options) in self.listeners.iter().zip(&self.listener_options) {
            let scheme = if options.tls.is_some() { "https" } else { "http" };
            let http2 = if options.http2 { ", HTTP/2" } else { "" };
            let proxy = if options.proxy_protocol { ", PROXY header" } else { "" };
            writeln!(f, "listener   {scheme}://{listener}{http2}{proxy}")?;
        }
        writeln!(f, "workers    {}", self.workers)?;
        writeln!(f, "drain      {:?}", self.drain)?;
        writeln!(f, "tenant     {}", self.tenant)?;
        let limits = &self.limits;
        let any = |limit: Option<u64>| limit.map_or_else(|| "any".to_owned(), |limit| limit.to_string());
        writeln!(
            f,
            "limits     head {:?}, {} bytes, {} fields; answer waits {:?}; body bytes {}; connections per address {}",
            limits.header_time,
            limits.header_bytes,
            limits.headers,
            limits.send_time,
            any(limits.body_bytes),
            any(limits.connections_per_address.map(u64::from))
        )?;
        let trusted: Vec<String> = self.forwarding.trusted.iter().map(ToString::to_string).collect();
        let trusted = if trusted.is_empty() { "nobody".to_owned() } else { trusted.join(", ") };
        writeln!(f, "forwarding trusts {trusted}")?;
        for (index, pool) in self.pools.iter().enumerate() {
            let default = if index == 0 { " (default)" } else { "" };
            let tls = if pool.tls.is_some() { " over TLS" } else { "" };
            writeln!(f, "pool       {}{default}: policy {}, {}{tls}", pool.name, pool.policy, pool.protocol)?;
            let timeouts = pool.timeouts;
            writeln!(
                f,
                "             timeouts: connect {:?}, first byte {:?}, total {:?}",
                timeouts.connect, timeouts.first_byte, timeouts.total
            )?;
            writeln!(f, "             retries: {} attempts, on {}", pool.retries.attempts, pool.retries.on)?;
            if let Some(admission) = &pool.admission {
                let (limiter, patience) = (admission.limiter, admission.patience);
                writeln!(
                    f,
                    "             admission: {} to {} in flight a worker, waits {:?} or {:?}, {} of a tenant",
                    limiter.min, limiter.max, patience.target, patience.interval, admission.queue_requests
                )?;
            }
            if let Some(check) = &pool.health_check {
                let kind = match &check.kind {
                    CheckKind::Tcp => "a connection".to_owned(),
                    CheckKind::Http { path, .. } => format!("GET {path}"),
                };
                writeln!(f, "             check: {kind} every {:?}, at most {:?}", check.interval, check.timeout)?;
            }
            if let Some(probes) = &pool.probes {
                let (path, rate, time) = (&probes.path, probes.per_request, probes.timeout);
                writeln!(f, "             probes: GET {path}, {rate} a request, at most {time:?}")?;
            }
            if let Some(path) = &pool.endpoints_file {
                writeln!(f, "             endpoints from {}", path.display())?;
            }
            for endpoint in &pool.endpoints {
                write!(f, "             endpoint {}", endpoint.address)?;
                if endpoint.spec.name != endpoint.address {
                    write!(f, " as {}", endpoint.spec.name)?;
                }
                write!(f, ", weight {}", endpoint.spec.weight)?;
                if let Some(zone) = &endpoint.spec.zone {
                    write!(f, ", zone {zone}")?;
                }
                writeln!(f)?;
            }
        }
        for ((index, name), tenants) in self.tenant_classes.names.iter().enumerate().zip(&self.tenant_classes.tenants) {
            if self.tenant_classes.names.len() == 1 && name == TenantClasses::DEFAULT {
                continue;
            }
            let class = self.tenant_classes.classes.class(index);
            let whom = if index == 0 { "all others".to_owned() } else { tenants.join(", ") };
            write!(f, "class      {name}: {whom}; weight {}, priority {}", class.weight, class.priority)?;
            if let Some(rate) = class.rate {
                write!(f, ", {} requests/s after a burst of {}", rate.per_second, rate.burst)?;
            }
            if let Some(most) = class.max_in_flight {
                write!(f, ", {most} at a time")?;
            }
            if let Some(deadline) = class.deadline {
                write!(f, ", done within {deadline:?}")?;
            }
            if let Some(Some(pools)) = self.tenant_classes.pools.get(index) {
                let pools: Vec<&str> =
                    pools.iter().filter_map(|pool| self.pools.get(*pool)).map(|pool| pool.name.as_str()).collect();
                write!(f, ", only pool {}", pools.join(", "))?;
            }
            writeln!(f)?;
        }
        for route in &self.routes {
            let pool = self.pools.get(route.pool).map_or("", |pool| pool.name.as_str());
            writeln!(f, "route      {route} to pool {pool}")?;
        }
        match &self.model {
            Some(model) => {
                let watch = if model.watch { "watched" } else { "not watched" };
                match &model.source {
                    ModelSource::File(path) => writeln!(f, "model      {} ({watch})", path.display())?,
                    ModelSource::Registry(path) => {
                        writeln!(f, "model      champion of registry {} ({watch})", path.display())?;
                    }
                }
                let JudgeConfig { share, take_back, worse_by_ratio } = model.judge;
                let then = if take_back { "taken back" } else { "complained of" };
                writeln!(
                    f,
                    "judge      by {share} of requests and the control; {then} where {worse_by_ratio} more of its requests \
                     are slow"
                )?;
            }
            None => writeln!(f, "model      none: predictive pools use peak-EWMA as scorer")?,
        }
        match &self.log {
            Some(log) => writeln!(
                f,
                "log        {}, rotated after {:?}, {} rows or {} bytes, all candidates' features for {} of rows",
                log.directory.display(),
                log.rotation.age,
                log.rotation.rows,
                log.rotation.bytes,
                self.balance.candidate_features_share
            )?,
            None => writeln!(f, "log        none: nothing to train from")?,
        }
        let exploration = &self.balance.exploration;
        writeln!(
            f,
            "explore    start {}, floor {}, budget {}",
            exploration.start, exploration.floor, exploration.budget
        )?;
        let health = &self.balance.health;
        let outlier = &health.outlier;
        writeln!(
            f,
            "ejection   after {} failures in a row, success below {}, latency above {} x median; 0 is off",
            health.consecutive_failures, outlier.success_ratio, outlier.latency_ratio
        )?;
        match self.admin {
            Some(admin) => write!(f, "admin      http://{admin}"),
            None => write!(f, "admin      none"),
        }
    }
}
