"""cuDNN: its attention, beside our own.

@cudnn//:headers are the headers found in CUDNN_HOME, else in the CUDA toolkit, else where Debian's packages put them.
The library is not linked: a program opens it when it is asked for cuDNN's attention (cudnn_library.h in
core/kernels/causal_attention), and runs everything else where there is none. Without the headers, or without CUDA, the
target is a stub that no platform satisfies.
"""

load("//third_party/cuda:repository.bzl", "find_cuda_home")

_STUB = """
cc_library(
    name = "headers",
    target_compatible_with = ["@sluice//third_party/cuda:toolkit_present"],
)
"""

_FOUND = """
cc_library(
    name = "headers",
    hdrs = glob(["include/**"]),
    includes = ["include"],
    linkopts = ["-ldl"],
    deps = ["@cuda//:headers"],
)
"""

def _find_include(ctx):
    cuda_home = find_cuda_home(ctx)
    if not cuda_home:
        return None
    homes = [ctx.os.environ.get("CUDNN_HOME", ""), cuda_home, "/usr"]
    for include in [home + "/include" for home in homes if home] + ["/usr/include/x86_64-linux-gnu"]:
        if ctx.path(include + "/cudnn_graph.h").exists:
            return include
    return None

def _impl(ctx):
    include = _find_include(ctx)
    ctx.file("defs.bzl", "HAS_CUDNN = %r\n" % bool(include))
    if not include:
        ctx.file("BUILD.bazel", "package(default_visibility = [\"//visibility:public\"])\n" + _STUB)
        return
    for entry in ctx.path(include).readdir():
        if entry.basename.startswith("cudnn"):
            ctx.symlink(entry, "include/" + entry.basename)
    ctx.file("BUILD.bazel", "package(default_visibility = [\"//visibility:public\"])\n" + _FOUND)

_cudnn = repository_rule(
    implementation = _impl,
    configure = True,
    environ = ["CUDA_HOME", "CUDNN_HOME", "SLUICE_CUDA"],
    local = True,
)

def cudnn():
    _cudnn(name = "cudnn")
