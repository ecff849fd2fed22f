#!/bin/sh
# Run all tests: sh scripts/test.sh PYTHON
# The faults wait most of their time (for leases, time-outs, restarts), so they run side by side; the storm of
# random faults wants the machine for itself, and prints its seed and figures.
set -eu
PYTHON=$1
"$PYTHON" -m pytest -q --ignore=tests/chaos
"$PYTHON" -m pytest -q tests/chaos --ignore=tests/chaos/test_storm.py -n 3
"$PYTHON" -m pytest -q tests/chaos/test_storm.py
