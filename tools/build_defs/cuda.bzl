"""Targets that need the CUDA toolkit, .cu files that nvcc compiles among them. Skipped where there is none."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("@cuda//:defs.bzl", "CUDA_HOME", "CUDA_LIBS")
load("@cudnn//:defs.bzl", "HAS_CUDNN")
load("//tools/build_defs:cc.bzl", "sluice_cc_library", "sluice_cc_test")

# Which targets exist only where the toolkit does: give this to target_compatible_with.
NEEDS_CUDA = [] if CUDA_HOME else ["//third_party/cuda:toolkit_present"]

def if_cuda(yes, no = []):
    return yes if CUDA_HOME else no

# NCCL may be missing from a toolkit.
NEEDS_NCCL = [] if "nccl" in CUDA_LIBS else ["//third_party/cuda:toolkit_present"]

def if_nccl(yes, no = []):
    return yes if "nccl" in CUDA_LIBS else no

# cuDNN's headers may be missing too.
NEEDS_CUDNN = [] if HAS_CUDNN else ["//third_party/cuda:toolkit_present"]

def if_cudnn(yes, no = []):
    return yes if HAS_CUDNN else no

# sm_90a for what only Hopper has (wgmma, TMA); sm_80 where the kernel allows it.
HOPPER = ["90a"]
AMPERE_AND_HOPPER = ["80", "90a"]

_HOST_OPTIONS = ["-fPIC", "-Wall", "-Wextra", "-Werror"]

_MODE_OPTIONS = {
    "dbg": ["-g", "-O0"],
    "fastbuild": ["-O1"],
    "opt": ["-O3", "-DNDEBUG"],
}

def _compile(ctx, src, context, cc_toolchain):
    obj = ctx.actions.declare_file("_objs/%s/%s.pic.o" % (ctx.label.name, src.basename[:-len(".cu")]))
    args = ctx.actions.args()
    args.add_all(["--objdir-as-tempdir", "-std=c++20", "-c", "-x", "cu", "-Werror=all-warnings"])
    args.add("-ccbin", cc_toolchain.compiler_executable)
    for arch in ctx.attr.archs:
        args.add("-gencode", "arch=compute_%s,code=sm_%s" % (arch, arch))
    args.add_all(_MODE_OPTIONS[ctx.var["COMPILATION_MODE"]])
    if "CUDA_LINE_INFO" in ctx.var:
        args.add("-lineinfo")
    args.add_all(ctx.attr.copts)
    args.add_all(_HOST_OPTIONS, before_each = "-Xcompiler")
    args.add_all(context.defines, format_each = "-D%s")
    args.add_all([".", ctx.bin_dir.path], format_each = "-I%s")
    args.add_all(context.includes, before_each = "-isystem")
    args.add_all(context.quote_includes, format_each = "-I%s")
    args.add_all(context.system_includes, before_each = "-isystem")
    args.add(src)
    args.add("-o", obj)
    ctx.actions.run(
        mnemonic = "CudaCompile",
        progress_message = "Compiling with nvcc " + src.short_path,
        executable = CUDA_HOME + "/bin/nvcc",
        arguments = [args],
        inputs = depset(ctx.files.srcs, transitive = [context.headers, cc_toolchain.all_files]),
        outputs = [obj],
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": "/tmp"},
    )
    return obj

def _impl(ctx):
    cc_toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = cc_toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    dep_infos = [dep[CcInfo] for dep in ctx.attr.deps]
    own = cc_common.create_compilation_context(headers = depset(ctx.files.hdrs))
    context = cc_common.merge_cc_infos(
        cc_infos = [CcInfo(compilation_context = own)] + dep_infos,
    ).compilation_context
    objs = [_compile(ctx, src, context, cc_toolchain) for src in ctx.files.srcs if src.extension == "cu"]
    linking_context, _ = cc_common.create_linking_context_from_compilation_outputs(
        actions = ctx.actions,
        name = ctx.label.name,
        compilation_outputs = cc_common.create_compilation_outputs(
            objects = depset(objs),
            pic_objects = depset(objs),
        ),
        cc_toolchain = cc_toolchain,
        feature_configuration = features,
        linking_contexts = [info.linking_context for info in dep_infos],
        alwayslink = ctx.attr.alwayslink,
        disallow_dynamic_library = True,
    )
    return [
        DefaultInfo(files = depset(objs)),
        CcInfo(compilation_context = context, linking_context = linking_context),
    ]

_cuda_library = rule(
    implementation = _impl,
    attrs = {
        "alwayslink": attr.bool(),
        "archs": attr.string_list(),
        "copts": attr.string_list(),
        "deps": attr.label_list(providers = [CcInfo]),
        "hdrs": attr.label_list(allow_files = [".cuh", ".h"]),
        "srcs": attr.label_list(allow_files = [".cu", ".cuh", ".h"]),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    incompatible_use_toolchain_transition = True,
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

def sluice_cuda_library(deps = [], archs = AMPERE_AND_HOPPER, **kwargs):
    _cuda_library(
        archs = archs,
        deps = deps + ["@cuda//:cudart_static"],
        target_compatible_with = NEEDS_CUDA,
        **kwargs
    )

def sluice_cuda_cc_library(target_compatible_with = NEEDS_CUDA, **kwargs):
    """A C++ library that calls CUDA and has no device code.

    It is always an archive: the runtime is a static library, of which a program has one copy.

    Args:
      target_compatible_with: what it needs.
      **kwargs: of sluice_cc_library.
    """
    sluice_cc_library(
        linkstatic = True,
        target_compatible_with = target_compatible_with,
        **kwargs
    )

def sluice_gpu_test(target_compatible_with = NEEDS_CUDA, **kwargs):
    """A test that skips itself where there is no GPU, by core/device/cuda/gpu_test.h.

    Args:
      target_compatible_with: what it needs.
      **kwargs: of sluice_cc_test.
    """
    sluice_cc_test(
        tags = ["gpu"],
        target_compatible_with = target_compatible_with,
        **kwargs
    )
