"""How each proxy is configured and started: as its own documentation recommends for a reverse proxy with keep-alive on both
sides and no access log. Every proxy has one worker: it then sees all requests in flight, which is the best case of a policy
that counts them.
"""

import pathlib
import resource
import textwrap
from dataclasses import dataclass

# Requests that may be in flight: as many as the generator sends at most.
CONNECTIONS = 10_000


def file_limit() -> int:
    """Files that a process may open here."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@dataclass(frozen=True)
class Place:
    """Where a proxy runs: its folder, its port, and the (name, port) of each endpoint."""

    work: pathlib.Path
    listen: int
    admin: int
    endpoints: list[tuple[str, int]]
    root: pathlib.Path
    binaries: pathlib.Path


def nginx(at: Place, method: str) -> list[str]:
    """`method` is a directive of `upstream`; empty for round robin."""
    servers = "\n".join(f"    server 127.0.0.1:{port};" for _, port in at.endpoints)
    (at.work / "nginx.conf").write_text(textwrap.dedent(f"""\
        worker_processes 1;
        daemon off;
        pid {at.work}/nginx.pid;
        error_log {at.work}/nginx.err crit;
        worker_rlimit_nofile {file_limit()};
        events {{ worker_connections 30000; }}
        http {{
          access_log off;
          keepalive_requests 1000000000;
          keepalive_timeout 3600s;
          client_body_temp_path {at.work}/body; proxy_temp_path {at.work}/proxy; fastcgi_temp_path {at.work}/f;
          uwsgi_temp_path {at.work}/u; scgi_temp_path {at.work}/s;
          upstream pool {{
            {method}
        {servers}
            keepalive 1024;
            keepalive_requests 1000000000;
          }}
          server {{
            listen 127.0.0.1:{at.listen} backlog=16384;
            location / {{
              proxy_pass http://pool;
              proxy_http_version 1.1;
              proxy_set_header Connection "";
              proxy_set_header Host $host;
              proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            }}
          }}
        }}
        """))
    return ["nginx", "-p", str(at.work), "-c", str(at.work / "nginx.conf")]


def haproxy(at: Place, balance: str) -> list[str]:
    servers = "\n".join(f"  server {name} 127.0.0.1:{port}" for name, port in at.endpoints)
    (at.work / "haproxy.cfg").write_text(f"""\
global
  nbthread 1
  maxconn {min(CONNECTIONS, file_limit() // 2 - 500)}
defaults
  mode http
  timeout connect 5s
  timeout client 3600s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend in
  bind 127.0.0.1:{at.listen} backlog 16384
  option forwardfor
  default_backend pool
backend pool
  balance {balance}
{servers}
""")
    return ["haproxy", "-q", "-f", str(at.work / "haproxy.cfg")]


def envoy(at: Place, policy: str) -> list[str]:
    hosts = "\n".join(
        f"          - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}"
        for _, port in at.endpoints
    )
    (at.work / "envoy.yaml").write_text(f"""\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {at.listen}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          codec_type: AUTO
          use_remote_address: true
          common_http_protocol_options: {{idle_timeout: 3600s}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: "/"}}, route: {{cluster: pool, timeout: 60s}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: pool
    type: STATIC
    lb_policy: {policy}
    circuit_breakers: {{thresholds: [{{max_connections: 30000, max_pending_requests: 30000, max_requests: 30000}}]}}
    load_assignment:
      cluster_name: pool
      endpoints:
      - lb_endpoints:
{hosts}
""")
    binary = at.root / "benches/peers/venv/bin/envoy"
    return [str(binary), "-c", str(at.work / "envoy.yaml"), "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"]


def tailcast(at: Place, policy: str, model: pathlib.Path | None = None, log: bool = False, extra: str = "") -> list[str]:
    """`extra` is more configuration, for experiments."""
    endpoints = ", ".join(f'{{ address = "127.0.0.1:{port}", name = "{name}" }}' for name, port in at.endpoints)
    text = f"""\
workers = 1
[[listener]]
address = "127.0.0.1:{at.listen}"
[[pool]]
name = "pool"
policy = "{policy}"
endpoints = [{endpoints}]
[admin]
address = "127.0.0.1:{at.admin}"
"""
    if log:
        text += f'[log]\ndirectory = "{at.work}/log"\n'
    if model:
        text += f'[model]\npath = "{model}"\nwatch = false\n'
    (at.work / "tailcast.toml").write_text(text + extra)
    return [str(at.binaries / "tailcast"), "run", "--config", str(at.work / "tailcast.toml")]


# Rows of the table: what starts them, given where, and the model for those that have one.
PEERS = {
    "nginx least_conn": lambda at: nginx(at, "least_conn;"),
    "nginx random two least_conn": lambda at: nginx(at, "random two least_conn;"),
    "nginx round robin": lambda at: nginx(at, ""),
    "haproxy leastconn": lambda at: haproxy(at, "leastconn"),
    "haproxy random(2)": lambda at: haproxy(at, "random(2)"),
    "haproxy roundrobin": lambda at: haproxy(at, "roundrobin"),
    "envoy LEAST_REQUEST": lambda at: envoy(at, "LEAST_REQUEST"),
    "envoy ROUND_ROBIN": lambda at: envoy(at, "ROUND_ROBIN"),
}
SIMPLE = {
    "tailcast round_robin": "round_robin",
    "tailcast least_request": "least_request",
    "tailcast peak_ewma": "peak_ewma",
}
PREDICTIVE = "tailcast predictive"
# The same where endpoints send their load with every answer: a help that plain endpoints do not give, so a row of its own
# that no mark is held against.
REPORTED = "tailcast predictive + load reports"
ROUND_ROBIN, PEER_ROUND_ROBINS = "tailcast round_robin", ["nginx round robin", "haproxy roundrobin", "envoy ROUND_ROBIN"]
NAMES = [*PEERS, *SIMPLE, PREDICTIVE, REPORTED]
