#!/bin/sh
# Make .venv and install a requirements file into it: venv.sh PYTHON REQUIREMENTS
set -eu
cd -- "$(dirname -- "$0")/.."
. scripts/root.sh

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

python=$1
if ! is_new_enough "$python"; then
    found=
    for candidate in python3.14 python3.13 python3.12 python3.11; do
        if is_new_enough "$candidate"; then
            found=$candidate
            break
        fi
    done
    [ -n "$found" ] || fail "Python 3.11 or newer is needed, and '$python' is not: install one, or name it: make PYTHON=/path/to/python"
    python=$found
fi

# An interrupted venv has no pip, one whose Python was removed or updated does not run: both are made anew.
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        # Debian and Ubuntu keep these two in a package of their own, one per Python version.
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        echo "Installing $package"
        apt_install "$package" || fail "'$python' cannot make virtual environments: install $package, then try again"
    fi
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

echo "Installing $2"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input -r "$2"
