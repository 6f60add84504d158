#!/usr/bin/env bash
# Installs what proxy/tests/{real_clients,prometheus}.rs run, where it is absent: curl, h2load, Prometheus and Python 3 from Debian,
# websockets and grpcio from PyPI (into tests/clients/venv, which the test then prefers to the system's Python).
# Run as root, or have the Debian packages installed. Without any of them the tests skip and say so, unless
# TAILCAST_REQUIRE_CLIENTS=1 is set, as in CI.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

missing=()
for pair in curl:curl h2load:nghttp2-client python3:python3 prometheus:prometheus; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
# Debian keeps what `python3 -m venv` needs in a package of its own.
python3 -c "import ensurepip" 2>/dev/null || missing+=(python3-venv)
if [ "${#missing[@]}" -gt 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
if ! "$here/venv/bin/python" -c "import grpc, websockets" 2>/dev/null; then
    python3 -m venv "$here/venv"
    # So that the folder is ignored by git without an entry elsewhere.
    echo '*' >"$here/venv/.gitignore"
    "$here/venv/bin/pip" install --quiet grpcio==1.78.0 websockets==15.0.1
fi
