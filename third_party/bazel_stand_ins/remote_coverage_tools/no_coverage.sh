#!/bin/bash
# Stands where Bazel looks for its coverage merger, and says that there is none.
echo "bazel coverage is not set up in this workspace" >&2
exit 1
