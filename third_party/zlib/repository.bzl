"""zlib: traces are written compressed, since a trace of many ranks is tens of megabytes of text."""

load("//third_party/system_library:system_library.bzl", "system_library")

def zlib():
    system_library(
        name = "zlib",
        apt_packages = ["zlib1g-dev"],
        headers = ["zlib.h", "zconf.h"],
        libs = ["z"],
        static = True,
    )
