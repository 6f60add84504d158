//! A client of a proxy's admin listener: which pools there are, and under which policy.

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::time::Duration;
use tailcast_balance::PolicyKind;
use tailcast_testbed::load::Target;

/// An admin listener answers at once or is not there.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// An admin listener.
#[derive(Debug)]
pub struct AdminClient {
    target: Target,
}

#[derive(Deserialize)]
struct Status {
    pools: Vec<Pool>,
}

#[derive(Deserialize)]
struct Pool {
    name: String,
    policy: PolicyKind,
}

impl AdminClient {
    /// A client of the listener at `target`.
    pub fn new(target: Target) -> Self {
        Self { target }
    }

    /// Names of the pools.
    ///
    /// # Errors
    /// Where the listener does not answer as a Tailcast proxy does.
    pub fn pools(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.policies()?.into_iter().map(|(pool, _)| pool).collect())
    }

    /// Pools and their policies.
    ///
    /// # Errors
    /// Where the listener does not answer as a Tailcast proxy does.
    pub fn policies(&self) -> anyhow::Result<Vec<(String, PolicyKind)>> {
        let answer = self.call(Method::GET, "/status", "")?;
        let status: Status = serde_json::from_slice(&answer)
            .with_context(|| format!("http://{}/status is not that of a Tailcast proxy", self.target.host))?;
        Ok(status.pools.into_iter().map(|pool| (pool.name, pool.policy)).collect())
    }

    /// Changes the policy of a pool.
    ///
    /// # Errors
    /// Where there is no such pool or the listener does not answer.
    pub fn set_policy(&self, pool: &str, policy: PolicyKind) -> anyhow::Result<()> {
        self.call(Method::PUT, &format!("/pools/{pool}/policy"), policy.name()).map(|_| ())
    }

    fn call(&self, method: Method, path: &str, body: &str) -> anyhow::Result<Bytes> {
        let url = format!("{method} http://{}{}{path}", self.target.host, self.target.base);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(async {
            tokio::time::timeout(TIMEOUT, self.exchange(method, path, body)).await.context("no answer in time")?
        });
        let (status, body) = answer.with_context(|| url.clone())?;
        if status != StatusCode::OK {
            bail!("{url}: {status}: {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(body)
    }

    async fn exchange(&self, method: Method, path: &str, body: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let socket = tokio::net::TcpStream::connect(self.target.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.target.base))
            .header(http::header::HOST, &self.target.host)
            .body(Full::new(Bytes::from(body.to_owned())))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
            anyhow::Ok((status, body))
        };
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(error.into()),
            },
        }
    }
}
