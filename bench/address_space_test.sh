#!/bin/bash
# A small run on the cpu needs no more address space than its own memory and its libraries': neither
# cuBLASLt and NCCL, which only GPUs need, nor threads that nothing uses.  And it ends.
set -euo pipefail
kib=400000
output=$(ulimit -v "$kib" && timeout 60 "$@" 2>&1) || {
  echo "with $kib KiB of address space: exit code $?" >&2
  echo "$output" >&2
  exit 1
}
grep -q '^single .*forward' <<<"$output"
