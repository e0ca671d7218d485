#!/bin/bash
# Saves a reference and checks schemes against it on four processes; then what all ranks refuse must be said once.
#   check_processes_test.sh SAVE_REFERENCE CHECK LAUNCH [ARGUMENT...]
# LAUNCH starts a program as four ranks. Where it returns 77, as it cannot, its reason is printed and the test passes.
set -euo pipefail
save=$1
check=$2
shift 2
folder=$(mktemp -d /tmp/sluice.XXXXXX)
trap 'rm -rf "$folder"' EXIT
export HOME=$folder TMPDIR=$folder

model=(--num_layers=5 --hidden_size=40 --seq_len=16 --num_heads=4 --batch_size=4 --loss=projection)
reference=--checkpoint_path=$folder/reference.safetensors
"$save" "${model[@]}" "$reference"

passes() {
  local status=0
  "${launch[@]}" "$check" --comm=mpi "${model[@]}" "$reference" "$@" >"$folder/out" || status=$?
  ((status == 77)) && exit 0
  if ((status != 0)) || ! grep '^PASS: .*/world_size:4/' "$folder/out"; then
    cat "$folder/out"
    echo "exit code $status of: $*"
    exit 1
  fi
}
launch=("$@")
passes --scheme=seqpipe --n_slices=5
passes --scheme=megatron --dtype=f64
passes --scheme=megatron --plan=megatron_sequence_parallel
passes --scheme=zero_bubble_h1 --pipeline_parallel_size=2 --data_parallel_size=2 --num_micro_batches=2
passes --scheme=seq_one_f_one_b --pipeline_parallel_size=2 --tensor_parallel_size=2 --slices=7,5,4

status=0
"${launch[@]}" "$check" --comm=mpi "${model[@]}" "$reference" --scheme=gpipe --seed=9 \
  >/dev/null 2>"$folder/err" || status=$?
if ((status != 2)) || [[ $(grep -c 'error: ' "$folder/err") != 1 ]] ||
  ! grep -q "seed is '0', expected '9'" "$folder/err"; then
  cat "$folder/err"
  echo "exit code $status; expected 2 and one message"
  exit 1
fi
