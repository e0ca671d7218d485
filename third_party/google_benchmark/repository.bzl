"""Google Benchmark: runs, repeats and reports every benchmark target."""

load("//third_party/system_library:system_library.bzl", "system_library")

def google_benchmark():
    system_library(
        name = "google_benchmark",
        apt_packages = ["libbenchmark-dev"],
        headers = ["benchmark"],
        module = "benchmark",
    )
