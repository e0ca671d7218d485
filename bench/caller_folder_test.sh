#!/bin/bash
# Results go where the user is, not where Bazel starts the program.
set -euo pipefail
here=$PWD
elsewhere=$(mktemp -d "$TEST_TMPDIR/elsewhere.XXXXXX")
user=$(mktemp -d "$TEST_TMPDIR/user.XXXXXX")
for program in "$@"; do
  name=$(basename "$program")
  case $name in
    grid_*) flags=(--out="$name" --seq_lens=8 --hidden_sizes=16 --head_dim=8 --n_steps=1) ;;
    *) flags=(--json_out="$name.json" --n_steps=1) ;;
  esac
  (cd "$elsewhere" && BUILD_WORKING_DIRECTORY=$user "$here/$program" "${flags[@]}") >/dev/null
  if [[ ! -s $user/$name.json && ! -s $user/$name.jsonl ]]; then
    echo "$name wrote no result into the caller's folder"
    exit 1
  fi
done
[[ -z $(ls -A "$elsewhere") ]] || { echo "written elsewhere: $(ls -A "$elsewhere")"; exit 1; }
