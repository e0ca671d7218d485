"""The libraries of repositories.bzl for MODULE.bazel. Bazel 4 has no extensions, so WORKSPACE cannot load this file."""

load(":repositories.bzl", _libraries = "libraries")

def _impl(_ctx):
    _libraries()

libraries = module_extension(implementation = _impl)
