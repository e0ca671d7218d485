"""gflags: command line flags (core/cli parses them strictly on top)."""

load("//third_party/system_library:system_library.bzl", "system_library")

def gflags():
    system_library(
        name = "gflags",
        apt_packages = ["libgflags-dev"],
        headers = ["gflags"],
        libs = ["pthread"],
        module = "gflags",
        static = True,
    )
