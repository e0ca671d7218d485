#!/bin/bash
# Writes compile_commands.json at the root, for clangd and other tools that ask how a file is compiled:
#   tools/compile_commands/compile_commands.sh
# Build first (./bazelw build //...): the headers of third-party libraries exist only then.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

actions=$(mktemp)
trap 'rm -f "$actions"' EXIT
./bazelw aquery 'mnemonic("CppCompile|CudaCompile", //...)' --output=jsonproto > "$actions"
execution_root=$(./bazelw info execution_root)
/usr/bin/python3 -B tools/compile_commands/compile_commands.py "$actions" "$execution_root" > compile_commands.json.tmp
mv compile_commands.json.tmp compile_commands.json
