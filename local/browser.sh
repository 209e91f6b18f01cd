#!/bin/sh
# Installs what the tests of the pages need, unless it is there: Chromium, and axe-core into .local/axe.
set -eu
cd "$(dirname "$0")/.."

AXE='axe-core@4.14.1'

if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || {
        echo "there is no Chromium: install it (Debian: apt-get install chromium)" >&2
        exit 1
    }
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends chromium >/dev/null
fi
if [ "$(cat .local/axe/.dropbatch 2>/dev/null)" != "$AXE" ]; then
    command -v npm >/dev/null || {
        echo "there is no npm, which installs axe-core" >&2
        exit 1
    }
    rm -rf .local/axe
    mkdir -p .local/axe
    npm install --silent --no-fund --no-audit --prefix .local/axe "$AXE"
    echo "$AXE" > .local/axe/.dropbatch
fi
