#!/bin/bash
# Runs two_hosts.sh as a test; where hosts cannot be made, its reason is printed and the test passes.
#   two_hosts_test.sh RANKS_PER_HOST PROGRAM [ARGUMENT...]
set -euo pipefail
unset TMPDIR
status=0
"$(dirname "$0")/two_hosts.sh" "$@" || status=$?
((status == 77)) && exit 0
exit "$status"
