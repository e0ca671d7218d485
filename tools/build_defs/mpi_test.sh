#!/bin/bash
# Runs a command with a short temporary folder of its own: Open MPI makes sockets there, whose paths must be short.
set -euo pipefail
folder=$(mktemp -d /tmp/sluice.XXXXXX)
trap 'rm -rf "$folder"' EXIT
export HOME=$folder TMPDIR=$folder
"$@"
