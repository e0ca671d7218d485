"""clang-tidy, which checks the sources of some packages (tools/build_defs/clang_tidy.bzl).

Only version 14, Debian's, because others report other things. Where there is none, the tests that need it are skipped.
"""

def _impl(ctx):
    tool = ctx.which("clang-tidy-14") or ctx.which("clang-tidy")
    version = ctx.execute([tool, "--version"]).stdout if tool else ""
    ctx.file("BUILD.bazel")
    ctx.file("defs.bzl", "CLANG_TIDY = %r\n" % (str(tool) if "version 14." in version else ""))

_clang_tidy = repository_rule(
    implementation = _impl,
    configure = True,
    environ = ["PATH"],
    local = True,
)

def clang_tidy():
    _clang_tidy(name = "clang_tidy")
