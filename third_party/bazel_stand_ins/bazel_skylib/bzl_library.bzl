"""Stand-in for bazel_skylib's bzl_library."""

def bzl_library(name, srcs = [], deps = [], visibility = None, **_kwargs):
    native.filegroup(name = name, srcs = srcs + deps, visibility = visibility)
