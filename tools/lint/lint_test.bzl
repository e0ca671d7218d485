"""lint_test: a test over the project's own source tree, run by the system's Python."""

def lint_test(name, script, srcs):
    """Passes if `script` exits with 0, or prints why it skips and does.

    Args:
      name: of the test.
      script: the Python file to run.
      srcs: the Python files that it imports.
    """
    native.sh_test(
        name = name,
        size = "small",
        srcs = ["run_python.sh"],
        args = ["$(location %s)" % script],
        data = [script, "//:WORKSPACE"] + srcs,
        # It reads files that are not declared: outside the sandbox, and again each time.
        tags = ["external", "local", "no-sandbox"],
    )
