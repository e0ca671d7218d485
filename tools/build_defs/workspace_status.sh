#!/bin/bash
# Printed to Bazel at the start of each command (--workspace_status_command): what build_stamp writes into programs.
# "STABLE_" makes Bazel write the stamp again, and link again, when the value changes; nothing is compiled again.
commit=unknown
tree=unknown
if command -v git >/dev/null && head=$(git rev-parse HEAD 2>/dev/null); then
  commit=$head
  tree=clean
  if [[ -n $(git status --porcelain 2>/dev/null | head -n 1) ]]; then
    tree=dirty
  fi
fi
echo "STABLE_COMMIT $commit"
echo "STABLE_TREE $tree"
