"""Python programs and tests whose modules import each other by their path from the root of the repository.

They are run by Debian's /usr/bin/python3, whose packages hold SciPy; Bazel's own Python rules start whatever `python`
is first on PATH.
"""

def python_test(name, srcs, deps = [], data = [], size = "small", **kwargs):
    """Runs the unittest module that is named like the test."""
    native.sh_test(
        name = name,
        size = size,
        srcs = ["run_module.sh"],
        args = [native.package_name().replace("/", ".") + "." + name],
        data = srcs + deps + data,
        **kwargs
    )

def python_binary(name, main, data = [], **kwargs):
    """A program that runs the module `main` of this package."""
    native.genrule(
        name = name + "_main",
        outs = [name + ".main"],
        cmd = "echo %s.%s > $@" % (native.package_name().replace("/", "."), main),
    )
    native.sh_binary(
        name = name,
        srcs = ["run_module.sh"],
        data = data + [name + ".main"],
        **kwargs
    )
