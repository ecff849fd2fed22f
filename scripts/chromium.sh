#!/bin/sh
# Print the path of a Chromium for the browser tests; install one where there is none.
set -eu
cd -- "$(dirname -- "$0")/.."
. scripts/root.sh

find_chromium() {
    for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable \
        "/Applications/Chromium.app/Contents/MacOS/Chromium" \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
        # Ubuntu's chromium-browser may be a stub that only asks for a snap: it has to run.
        if [ -n "$candidate" ] && "$candidate" --version >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    # Playwright's own, if an earlier run has downloaded it; without its system libraries it does not run.
    candidate=$(.venv/bin/python -c '
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
' 2>/dev/null) && "$candidate" --version >/dev/null 2>&1 && echo "$candidate"
}

install_chromium() {
    if command -v apt-get >/dev/null 2>&1; then
        apt_install chromium
    elif command -v dnf >/dev/null 2>&1; then
        as_root dnf install -y -q chromium
    elif command -v pacman >/dev/null 2>&1; then
        as_root pacman -S --noconfirm --needed chromium
    elif command -v apk >/dev/null 2>&1; then
        as_root apk add --quiet chromium
    elif command -v brew >/dev/null 2>&1; then
        brew install --quiet --cask chromium
    else
        return 1
    fi
}

# Playwright's driver is a Node.js of its own, which wants one library that a minimal Debian lacks.
driver_runs() {
    .venv/bin/python -m playwright --version >/dev/null 2>&1
}
driver_runs || { apt_install libatomic1 >/dev/null 2>&1 && driver_runs; } ||
    fail "Playwright's driver does not run ('.venv/bin/python -m playwright --version' says why): is libatomic installed?"

find_chromium && exit
echo "Installing Chromium for the browser tests" >&2
log=.venv/chromium.log
{ install_chromium >"$log" 2>&1 && find_chromium; } && exit
{ .venv/bin/python -m playwright install chromium >>"$log" 2>&1 && find_chromium; } && exit
fail "no Chromium found, and none could be installed (see $log): install one, or name it: CHROMIUM=/path make test"
