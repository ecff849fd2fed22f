#!/bin/sh
# Installs what the peers and the plots need, all of it under benchmarks/ (Nchan: the system's packages).
set -eu
cd "$(dirname "$0")"
test -x .venv/bin/python || "${PYTHON:-python3}" -m venv .venv
.venv/bin/pip install --quiet --requirement requirements.txt
npm ci --prefix peers/ai_sdk --no-audit --no-fund
if [ "$(id -u)" = 0 ] && [ ! -e /usr/lib/nginx/modules/ngx_nchan_module.so ]; then
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends nginx libnginx-mod-nchan
fi
