#!/bin/bash
# Runs a script by the system's Python: another python3 on PATH may be too old or lack Debian's modules.
set -euo pipefail
exec /usr/bin/python3 -B "$@"
