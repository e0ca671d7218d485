"""OpenBLAS: matrix products on the CPU, in float32 and float64."""

load("//third_party/system_library:system_library.bzl", "system_library")

def openblas():
    system_library(
        name = "openblas",
        apt_packages = ["libopenblas-dev"],
        headers = ["cblas.h"],
        module = "openblas",
    )
