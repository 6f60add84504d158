"""How each proxy is configured and started: as its own documentation recommends for a reverse proxy on one core."""

import os
import pathlib
import textwrap

ENDPOINTS = 10


def file_limit() -> int:
    """Files that a process may open here."""
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def max_connections() -> int:
    """Clients that every proxy is set up for: HAProxy reserves two files a client and refuses to start without."""
    return min(30_000, file_limit() // 2 - 500)


def nginx(work: pathlib.Path, ports: list[int], listen: int) -> list[str]:
    """nginx as a reverse proxy: one worker, upstream keep-alive, no access log."""
    upstream = "\n".join(f"    server 127.0.0.1:{port};" for port in ports)
    (work / "nginx.conf").write_text(textwrap.dedent(f"""\
        worker_processes 1;
        daemon off;
        pid {work}/nginx.pid;
        error_log {work}/nginx.err crit;
        worker_rlimit_nofile {file_limit()};
        events {{ worker_connections 30000; }}
        http {{
          access_log off;
          keepalive_requests 1000000000;
          keepalive_timeout 3600s;
          client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/f;
          uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
          upstream pool {{
        {upstream}
            keepalive 640;
            keepalive_requests 1000000000;
          }}
          server {{
            listen 127.0.0.1:{listen} backlog=16384;
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
    return ["nginx", "-p", str(work), "-c", str(work / "nginx.conf")]


def haproxy(work: pathlib.Path, ports: list[int], listen: int) -> list[str]:
    """HAProxy: one thread, keep-alive on both sides, connections to servers shared."""
    servers = "\n".join(f"  server s{number} 127.0.0.1:{port}" for number, port in enumerate(ports))
    (work / "haproxy.cfg").write_text(f"""\
global
  nbthread 1
  maxconn {max_connections()}
defaults
  mode http
  timeout connect 5s
  timeout client 3600s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend in
  bind 127.0.0.1:{listen} backlog 16384
  option forwardfor
  default_backend pool
backend pool
  balance roundrobin
{servers}
""")
    return ["haproxy", "-q", "-f", str(work / "haproxy.cfg")]


def envoy(work: pathlib.Path, ports: list[int], listen: int, root: pathlib.Path) -> list[str]:
    """Envoy: one worker, LEAST_REQUEST, no access log."""
    hosts = "\n".join(
        f"          - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}" for port in ports
    )
    (work / "envoy.yaml").write_text(f"""\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {listen}}}}}
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
              routes: [{{match: {{prefix: "/"}}, route: {{cluster: pool}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: pool
    type: STATIC
    lb_policy: LEAST_REQUEST
    circuit_breakers: {{thresholds: [{{max_connections: 30000, max_pending_requests: 30000, max_requests: 30000}}]}}
    load_assignment:
      cluster_name: pool
      endpoints:
      - lb_endpoints:
{hosts}
""")
    binary = root / "benches/peers/venv/bin/envoy"
    return [str(binary), "-c", str(work / "envoy.yaml"), "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"]


def tailcast(work: pathlib.Path, ports: list[int], listen: int, root: pathlib.Path, policy: str, model: str | None, log: bool):
    """Tailcast: one worker; with everything on it logs to disk and has a model."""
    endpoints = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    text = f"""\
workers = 1
[[listener]]
address = "127.0.0.1:{listen}"
[[pool]]
name = "pool"
policy = "{policy}"
endpoints = [{endpoints}]
[admin]
address = "127.0.0.1:0"
"""
    if log:
        text += f'[log]\ndirectory = "{work}/log"\n'
    if model:
        text += f'[model]\npath = "{model}"\n'
    (work / "tailcast.toml").write_text(text)
    return [str(root / "target/release/tailcast"), "run", "--config", str(work / "tailcast.toml")]


def endpoints_server(work: pathlib.Path, ports: list[int], cores: str) -> list[str]:
    """The static endpoints behind every proxy: one nginx worker that answers from memory."""
    listens = "\n".join(f"    listen 127.0.0.1:{port} backlog=16384;" for port in ports)
    (work / "large.bin").write_bytes(b"x" * (1 << 20))
    (work / "endpoints.conf").write_text(textwrap.dedent(f"""\
        worker_processes 1;
        daemon off;
        pid {work}/endpoints.pid;
        error_log {work}/endpoints.err crit;
        worker_rlimit_nofile {file_limit()};
        events {{ worker_connections 30000; }}
        http {{
          access_log off;
          sendfile on;
          keepalive_requests 1000000000;
          keepalive_timeout 3600s;
          client_body_temp_path {work}/eb; proxy_temp_path {work}/ep; fastcgi_temp_path {work}/ef;
          uwsgi_temp_path {work}/eu; scgi_temp_path {work}/es;
          server {{
        {listens}
            location / {{ default_type text/plain; return 200 "{'x' * 100}"; }}
            location /large.bin {{ root {work}; }}
          }}
        }}
        """))
    return ["taskset", "-c", cores, "nginx", "-p", str(work), "-c", str(work / "endpoints.conf")]


def soft_file_limit() -> None:
    """Raises the limit of open files as far as the system allows."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.nice(0)
