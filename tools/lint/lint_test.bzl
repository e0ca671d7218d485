"""lint_test: a test over the project's own source tree."""

load("//tools/build_defs:python.bzl", "python_test")

def lint_test(name, module, deps):
    """Passes if `module` finds nothing wrong, or prints why it skips and does.

    Args:
      name: of the test.
      module: the Python module of this package to run.
      deps: the Python files that it imports.
    """
    python_test(
        name = name,
        srcs = [module + ".py"],
        data = ["//:WORKSPACE"],
        module = module,
        # It reads files that are not declared: outside the sandbox, and again each time.
        tags = ["external", "local", "no-sandbox"],
        deps = deps,
    )
