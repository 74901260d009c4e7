#!/bin/sh
# Prints the path of a Chromium for the browser tests; installs one where there is none.
set -eu
python=${1:?usage: find_chromium.sh PYTHON-WITH-PLAYWRIGHT}

find_chromium() {
    if [ -n "${STEERKIT_CHROMIUM:-}" ]; then
        command -v "$STEERKIT_CHROMIUM" || {
            echo "STEERKIT_CHROMIUM=$STEERKIT_CHROMIUM is not a program that can be run." >&2
            exit 1
        }
        return
    fi
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" && return
    done
    return 1
}

install_debian() {
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
    echo "Installing Chromium with apt-get ..." >&2
    apt-get update -qq >&2 &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            chromium fonts-dejavu-core >&2
}

install_playwright() {
    echo "Installing Playwright's Chromium ..." >&2
    "$python" -m playwright install chromium >&2 &&
        "$python" -c '
from playwright.sync_api import sync_playwright
with sync_playwright() as p:
    print(p.chromium.executable_path)'
}

find_chromium || { install_debian && find_chromium; } || install_playwright || {
    echo "The browser tests need Chromium, and none was found nor could be installed." >&2
    echo "Install one, or name one: make test STEERKIT_CHROMIUM=/path/to/chromium" >&2
    exit 1
}
