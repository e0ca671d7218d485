"""build_stamp: a C++ source file that says from which commit and with which options a program is built."""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "CPP_COMPILE_ACTION_NAME")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

def _compile_flags(ctx):
    """Returns the options of every C++ compilation, without those that cannot change the program."""
    cc_toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = cc_toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = cc_toolchain,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + ctx.attr.copts,
    )
    flags = cc_common.get_memory_inefficient_command_line(
        feature_configuration = features,
        action_name = CPP_COMPILE_ACTION_NAME,
        variables = variables,
    )
    return [f for f in flags if not f.startswith("-W") and not f.startswith("-D__")]

_COMMAND = """
set -eu
value() { sed -n "s/^STABLE_$1 //p" "$STATUS"; }
cat > "$OUT" <<END
#include "core/cli/build_info.h"
namespace sluice::internal {
const char kStampedCommit[] = "$(value COMMIT)";
const char kStampedTree[] = "$(value TREE)";
const char kStampedFlags[] = R"stamp($FLAGS)stamp";
const char kStampedMode[] = "$MODE";
}  // namespace sluice::internal
END
"""

def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".cc")
    ctx.actions.run_shell(
        command = _COMMAND,
        env = {
            "FLAGS": " ".join(_compile_flags(ctx)),
            "MODE": ctx.var["COMPILATION_MODE"],
            "OUT": out.path,
            "STATUS": ctx.info_file.path,
        },
        inputs = [ctx.info_file],
        mnemonic = "BuildStamp",
        outputs = [out],
    )
    return [DefaultInfo(files = depset([out]))]

build_stamp = rule(
    implementation = _impl,
    attrs = {
        "copts": attr.string_list(doc = "The options that the project's rules add."),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    incompatible_use_toolchain_transition = True,
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
