"""clang_tidy_test: clang-tidy finds nothing in the libraries of a package, by the checks in .clang-tidy.

An aspect checks each source file in an action of its own, which Bazel caches.
"""

load("@clang_tidy//:defs.bzl", "CLANG_TIDY")

_Reports = provider("What clang-tidy printed.", fields = {"files": "one file for each source file"})

# clang-tidy prints the findings, and compile errors too, on standard output. Its exit code says no more.
_COMMAND = """
report=$1; shift
%s --quiet "$@" > "$report" 2> "$report.log"
if [[ $? != 0 && ! -s "$report" ]]; then cat "$report.log"; exit 1; fi
""" % CLANG_TIDY

def _check(target, ctx, src, inputs):
    context = target[CcInfo].compilation_context
    report = ctx.actions.declare_file("_tidy/%s/%s.txt" % (target.label.name, src.basename))
    args = ctx.actions.args()
    args.add_all([report, src, "--", "-std=c++20", "-march=x86-64-v3"])
    args.add_all(context.defines, format_each = "-D%s")
    args.add_all(context.quote_includes, before_each = "-iquote")
    args.add_all(context.includes, before_each = "-isystem")
    args.add_all(context.system_includes, before_each = "-isystem")
    ctx.actions.run_shell(
        mnemonic = "ClangTidy",
        progress_message = "Checking with clang-tidy " + src.short_path,
        command = _COMMAND,
        arguments = [args],
        inputs = depset(inputs, transitive = [context.headers]),
        outputs = [report],
    )
    return report

def _aspect_impl(target, ctx):
    files = [file for src in ctx.rule.attr.srcs for file in src.files.to_list()]
    sources = [file for file in files if file.extension == "cc" and file.is_source]
    return [_Reports(files = [_check(target, ctx, src, files + ctx.files._config) for src in sources])]

_clang_tidy_aspect = aspect(
    implementation = _aspect_impl,
    attrs = {"_config": attr.label(allow_single_file = True, default = "//:.clang-tidy")},
)

def _test_impl(ctx):
    reports = [file for dep in ctx.attr.deps for file in dep[_Reports].files]
    if not reports:
        fail("no source file to check")
    test = ctx.actions.declare_file(ctx.label.name + ".sh")
    names = " ".join([file.short_path for file in reports])
    ctx.actions.write(test, "#!/bin/bash\n! cat %s | grep .\n" % names, is_executable = True)
    return [DefaultInfo(executable = test, runfiles = ctx.runfiles(reports))]

_clang_tidy_test = rule(
    implementation = _test_impl,
    attrs = {"deps": attr.label_list(aspects = [_clang_tidy_aspect], providers = [CcInfo])},
    test = True,
)

def clang_tidy_test(name):
    """Checks all C++ libraries that the BUILD file has declared before.

    Args:
      name: of the test.
    """
    rules = native.existing_rules()
    _clang_tidy_test(
        name = name,
        size = "small",
        target_compatible_with = [] if CLANG_TIDY else ["//third_party/clang_tidy:tool_present"],
        deps = [":" + key for key in rules if rules[key]["kind"] == "cc_library" and rules[key]["srcs"]],
    )
