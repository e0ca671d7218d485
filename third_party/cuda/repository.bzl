"""The CUDA toolkit with cuBLASLt and NCCL: kernels and communication on NVIDIA GPUs.

cuBLASLt and NCCL are not linked: they are large, and most runs of a program that has them need none. Programs open them
when they first call them (core/base/shared_library.h); their targets say where.

@cuda is the toolkit found in CUDA_HOME, else in /usr/local/cuda. Where there is none (or SLUICE_CUDA=0), its targets
are stubs that no platform satisfies, so that `bazel test //...` skips what needs them.
"""

_LIBS = ["cublasLt", "nccl"]

_STUB = """
cc_library(
    name = "{name}",
    target_compatible_with = ["@sluice//third_party/cuda:toolkit_present"],
)
"""

_FOUND = """
cc_library(
    name = "headers",
    hdrs = glob(["include/**"], exclude = ["include/cccl/**"]),
    includes = ["include"],
)

cc_library(
    name = "cudart_static",
    linkopts = ["-L{lib}", "-l:libcudart_static.a", "-lpthread", "-ldl", "-lrt"],
    deps = [":headers"],
)
"""

_LIB = """
cc_library(
    name = "{name}",
    linkopts = ["-ldl", "-Wl,-rpath,{lib}", "-Wl,--enable-new-dtags"],
    deps = [":headers"],
)
"""

def find_cuda_home(ctx):
    """Returns the toolkit's folder, or None."""
    if ctx.os.environ.get("SLUICE_CUDA", "1") == "0":
        return None
    for home in [ctx.os.environ.get("CUDA_HOME", ""), "/usr/local/cuda"]:
        if home and ctx.path(home + "/bin/nvcc").exists:
            return home.rstrip("/")
    return None

def _version(ctx, home):
    for word in ctx.execute([home + "/bin/nvcc", "--version"]).stdout.replace("\n", " ").split(" "):
        if word.startswith("V") and word[1:2].isdigit():
            return word[1:]
    return "unknown"

def _impl(ctx):
    home = find_cuda_home(ctx)
    libs = [name for name in _LIBS if home and ctx.path("%s/lib64/lib%s.so" % (home, name)).exists]
    ctx.file("defs.bzl", "CUDA_HOME = %r\nCUDA_VERSION = %r\nCUDA_LIBS = %r\n" % (
        home or "",
        _version(ctx, home) if home else "",
        libs,
    ))
    build = "package(default_visibility = [\"//visibility:public\"])\n"
    if not home:
        for name in ["headers", "cudart_static"] + _LIBS:
            build += _STUB.format(name = name)
        ctx.file("BUILD.bazel", build)
        return
    for entry in ctx.path(home + "/include").readdir():
        ctx.symlink(entry, "include/" + entry.basename)
    build += _FOUND.format(lib = home + "/lib64")
    for name in _LIBS:
        if name in libs:
            build += _LIB.format(name = name, lib = home + "/lib64")
        else:
            build += _STUB.format(name = name)
    ctx.file("BUILD.bazel", build)

_cuda_toolkit = repository_rule(
    implementation = _impl,
    configure = True,
    environ = ["CUDA_HOME", "SLUICE_CUDA"],
    local = True,
)

def cuda():
    _cuda_toolkit(name = "cuda")
