"""The one macro that names every external dependency. Each has its folder here, with its reason."""

load("//third_party/bazel_stand_ins:repository.bzl", "bazel_stand_ins")
load("//third_party/clang_tidy:repository.bzl", "clang_tidy")
load("//third_party/cuda:repository.bzl", "cuda")
load("//third_party/cudnn:repository.bzl", "cudnn")
load("//third_party/fmt:repository.bzl", "fmt")
load("//third_party/gflags:repository.bzl", "gflags")
load("//third_party/google_benchmark:repository.bzl", "google_benchmark")
load("//third_party/googletest:repository.bzl", "googletest")
load("//third_party/nlohmann_json:repository.bzl", "nlohmann_json")
load("//third_party/openblas:repository.bzl", "openblas")
load("//third_party/openmpi:repository.bzl", "openmpi")
load("//third_party/zlib:repository.bzl", "zlib")

def libraries():
    """Also used by MODULE.bazel, where Bazel's registry has the modules that WORKSPACE needs stand-ins for."""
    clang_tidy()
    cuda()
    cudnn()
    fmt()
    gflags()
    google_benchmark()
    googletest()
    nlohmann_json()
    openblas()
    openmpi()
    zlib()

def sluice_repositories():
    bazel_stand_ins()
    libraries()
