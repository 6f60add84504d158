"""How each proxy is configured and started: as its own documentation recommends for a reverse proxy on one core."""

import dataclasses
import pathlib
import subprocess
import textwrap

from processes import file_limit

# Static endpoints behind all proxies, and those that `predictive` chooses from.
ENDPOINTS, PREDICTIVE_ENDPOINTS = 4, 10
# What a client needs in HAProxy's own count, which refuses to start if the system allows fewer files than all of them need.
HAPROXY_FILES_A_CLIENT, HAPROXY_OTHER_FILES = 2, 200


@dataclasses.dataclass(frozen=True)
class Listen:
    """Where and how a proxy listens. Without a certificate HTTP/2 is spoken by prior knowledge."""

    port: int
    http2: bool = False
    # Certificate and key.
    tls: tuple[pathlib.Path, pathlib.Path] | None = None


def certificate(work: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """A self-signed certificate on P-256, which most of today's are, and its key."""
    chain, key = work / "certificate.pem", work / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
               "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", chain, "-keyout", key]
    subprocess.run(command, check=True, capture_output=True)
    return chain, key


def haproxy_clients() -> int:
    """Clients that HAProxy can be set up for here."""
    return min(30_000, (file_limit() - HAPROXY_OTHER_FILES) // HAPROXY_FILES_A_CLIENT)


def nginx(work: pathlib.Path, ports: list[int], listen: Listen) -> list[str]:
    """nginx as a reverse proxy: one worker, upstream keep-alive, no access log."""
    upstream = "\n".join(f"    server 127.0.0.1:{port};" for port in ports)
    tls = f"ssl_certificate {listen.tls[0]}; ssl_certificate_key {listen.tls[1]};" if listen.tls else ""
    how = (" ssl" if listen.tls else "") + (" http2" if listen.http2 else "")
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
            listen 127.0.0.1:{listen.port}{how} backlog=16384;
            {tls}
            location / {{
              proxy_pass http://pool;
              proxy_http_version 1.1;
              proxy_set_header Connection "";
              proxy_set_header Host $host;
              proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
              # By default an answer above 36 kB goes through a file on disk when its client is slower than the endpoint.
              proxy_buffers 16 64k;
              proxy_busy_buffers_size 256k;
              proxy_max_temp_file_size 0;
            }}
          }}
        }}
        """))
    return ["nginx", "-p", str(work), "-c", str(work / "nginx.conf")]


def bare_hyper(ports: list[int], listen: Listen, root: pathlib.Path) -> list[str]:
    """The floor below Tailcast: proxy/examples/bare_hyper.rs. Plain HTTP/1.1 only."""
    program = root / "target/release/examples/bare_hyper"
    return [str(program), f"127.0.0.1:{listen.port}", *(f"127.0.0.1:{port}" for port in ports)]


def haproxy(work: pathlib.Path, ports: list[int], listen: Listen) -> list[str]:
    """HAProxy: one thread, keep-alive on both sides, connections to servers shared."""
    servers = "\n".join(f"  server s{number} 127.0.0.1:{port}" for number, port in enumerate(ports))
    how = " proto h2" if listen.http2 and not listen.tls else ""
    if listen.tls:
        # It takes both from one file.
        (work / "both.pem").write_text(listen.tls[0].read_text() + listen.tls[1].read_text())
        how = f" ssl crt {work}/both.pem alpn {'h2,' if listen.http2 else ''}http/1.1"
    (work / "haproxy.cfg").write_text(f"""\
global
  nbthread 1
  maxconn {haproxy_clients()}
defaults
  mode http
  timeout connect 5s
  timeout client 3600s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend in
  bind 127.0.0.1:{listen.port}{how} backlog 16384
  option forwardfor
  default_backend pool
backend pool
  balance roundrobin
{servers}
""")
    return ["haproxy", "-q", "-f", str(work / "haproxy.cfg")]


def envoy(work: pathlib.Path, ports: list[int], listen: Listen, root: pathlib.Path) -> list[str]:
    """Envoy: one worker, LEAST_REQUEST, no access log."""
    hosts = "\n".join(
        f"          - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}" for port in ports
    )
    tls = ""
    if listen.tls:
        protocols = '"h2", "http/1.1"' if listen.http2 else '"http/1.1"'
        tls = f"""\
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [{protocols}]
            tls_certificates:
            - {{certificate_chain: {{filename: {listen.tls[0]}}}, private_key: {{filename: {listen.tls[1]}}}}}
"""
    (work / "envoy.yaml").write_text(f"""\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {listen.port}}}}}
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
{tls}  clusters:
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


def tailcast(work: pathlib.Path, ports: list[int], listen: Listen, root: pathlib.Path, policy: str, model: pathlib.Path | None, log: bool):
    """Tailcast: one worker; with everything on it logs to disk and has a model."""
    endpoints = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    tls = f'[listener.tls]\ncertificates = [{{ certificate = "{listen.tls[0]}", key = "{listen.tls[1]}" }}]\n' if listen.tls else ""
    text = f"""\
workers = 1
[[listener]]
address = "127.0.0.1:{listen.port}"
{tls}[[pool]]
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


def endpoints_server(work: pathlib.Path, ports: list[int]) -> list[str]:
    """The static endpoints behind every proxy: one nginx worker that answers from memory."""
    listens = "\n".join(f"    listen 127.0.0.1:{port} backlog=16384;" for port in ports)
    (work / "large.bin").write_bytes(b"x" * (1 << 20))
    # Started by root, its worker is somebody else, who has to get at the file.
    work.chmod(0o755)
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
          client_body_timeout 3600s;
          client_body_temp_path {work}/eb; proxy_temp_path {work}/ep; fastcgi_temp_path {work}/ef;
          uwsgi_temp_path {work}/eu; scgi_temp_path {work}/es;
          server {{
        {listens}
            location / {{ default_type text/plain; return 200 "{'x' * 100}"; }}
            location /large.bin {{ root {work}; }}
            # nginx reads a body only where it hands it on, so this hands it to itself.
            location /upload {{ proxy_pass http://127.0.0.1:{ports[0]}/; }}
          }}
        }}
        """))
    return ["nginx", "-p", str(work), "-c", str(work / "endpoints.conf")]
