"""Python programs and tests whose modules import each other by their path from the root of the repository.

They are run by Debian's /usr/bin/python3, whose packages hold SciPy; Bazel's own Python rules start whatever `python`
is first on PATH.
"""

_RUN_MODULE = "//tools/build_defs:run_module.sh"

def python_test(name, srcs, module = None, deps = [], data = [], args = [], size = "small", **kwargs):
    """Runs a module, a unittest or any other that exits with 0 if all is well.

    Args:
      name: of the test.
      srcs: the module's file.
      module: its name, where it is not called like the test.
      deps: files of other modules that it imports.
      data: what else it reads.
      args: given to the module.
      size: of the test.
      **kwargs: as of every test.
    """
    native.sh_test(
        name = name,
        size = size,
        srcs = [_RUN_MODULE],
        args = [_module(module or name)] + args,
        data = srcs + deps + data,
        **kwargs
    )

def python_binary(name, main, data = [], **kwargs):
    """A program that runs the module `main` of this package."""
    native.genrule(
        name = name + "_main",
        outs = [name + ".main"],
        cmd = "echo %s > $@" % _module(main),
    )
    native.sh_binary(
        name = name,
        srcs = [_RUN_MODULE],
        data = data + [name + ".main"],
        **kwargs
    )

def _module(name):
    return "%s.%s" % (native.package_name().replace("/", "."), name)
