"""system_library: a library of this machine (a Debian package) as an external repository.

Found through pkg-config, or, where a package has no pkg-config file, by its headers. The headers are symlinked into the
repository, so that Bazel tracks them and the sandbox sees them. A missing one fails with the apt package to install.
"""

_INCLUDE_DIRS = [
    "/usr/local/include",
    "/usr/include",
    "/usr/include/x86_64-linux-gnu",
    "/usr/include/aarch64-linux-gnu",
]
_LIB_DIRS = ["/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]

def _fail_missing(ctx, what):
    fail("\n\n*** @%s: %s.\n*** Install it with:  apt-get install %s\n*** or run Bazel as ./bazelw, which does.\n" % (
        ctx.name,
        what,
        " ".join(ctx.attr.apt_packages),
    ))

def _find(ctx, relative_path, dirs):
    for d in dirs:
        path = ctx.path(d + "/" + relative_path)
        if path.exists:
            return path
    return None

def _pkg_config(ctx, *args):
    tool = ctx.which("pkg-config")
    if not tool:
        fail("\n\n*** @%s: pkg-config is missing.\n*** Install it with:  apt-get install pkg-config\n" % ctx.name)
    result = ctx.execute([tool] + list(args))
    if result.return_code != 0:
        _fail_missing(ctx, "pkg-config does not know the module " + ctx.attr.module)
    return [word for word in result.stdout.strip().split(" ") if word]

def _find_module(ctx):
    """The file of the module in one of its own folders, else its name, which pkg-config looks up."""
    for folder in ctx.attr.module_dirs:
        path = _find(ctx, "%s/%s.pc" % (folder, ctx.attr.module), _LIB_DIRS)
        if path:
            return str(path)
    return ctx.attr.module

def _query(ctx):
    """Returns include folders, library folders and link options of the library."""
    include_dirs, lib_dirs, link = [], [], ["-l" + lib for lib in ctx.attr.libs]
    if ctx.attr.module:
        module = _find_module(ctx)
        include_dirs = [f[2:].rstrip("/") for f in _pkg_config(ctx, "--cflags-only-I", module)]
        for flag in _pkg_config(ctx, "--libs", module):
            if flag.startswith("-L"):
                lib_dirs.append(flag[2:].rstrip("/"))
            else:
                link.append(flag)
    return include_dirs, lib_dirs, link

def _impl(ctx):
    include_dirs, lib_dirs, link = _query(ctx)

    includes = ["include"]
    for header in ctx.attr.headers:
        path = _find(ctx, header, include_dirs + _INCLUDE_DIRS)
        if not path:
            _fail_missing(ctx, "the header %s was not found" % header)
        ctx.symlink(path, "include/" + header)
    for index, folder in enumerate([d for d in include_dirs if d not in _INCLUDE_DIRS]):
        ctx.symlink(folder, "include_dir_%d" % index)
        includes.append("include_dir_%d" % index)

    imports = ""
    deps = []
    options = []
    for folder in [d for d in lib_dirs if d not in _LIB_DIRS]:
        # Where the linker finds a library, the program is to find it too, not another one of that name.
        options += ["-L" + folder, "-Wl,-rpath," + folder, "-Wl,--enable-new-dtags"]
    for flag in link:
        archive = None
        if ctx.attr.static and flag.startswith("-l"):
            archive = _find(ctx, "lib%s.a" % flag[2:], lib_dirs + _LIB_DIRS)
        if archive and flag != "-lpthread":
            ctx.symlink(archive, "lib/" + archive.basename)
            target = flag[2:] + "_archive"
            imports += "cc_import(name = %r, static_library = %r)\n" % (target, "lib/" + archive.basename)
            deps.append(":" + target)
        else:
            options.append(flag)

    ctx.file("BUILD.bazel", """package(default_visibility = ["//visibility:public"])

{imports}
cc_library(
    name = "{name}",
    hdrs = glob({globs}, allow_empty = True),
    includes = {includes},
    defines = {defines},
    linkopts = {linkopts},
    deps = {deps},
)
""".format(
        imports = imports,
        # As a module's repository, the name is the last part of a longer one.
        name = ctx.name.split("~")[-1].split("+")[-1],
        globs = [i + "/**" for i in includes],
        includes = includes,
        defines = ctx.attr.defines,
        linkopts = options,
        deps = deps,
    ))

system_library = repository_rule(
    implementation = _impl,
    attrs = {
        "apt_packages": attr.string_list(mandatory = True),
        "defines": attr.string_list(),
        "headers": attr.string_list(doc = "files or folders, relative to an include folder"),
        "libs": attr.string_list(doc = "names for -l, in addition to pkg-config's"),
        "module": attr.string(doc = "the pkg-config module, where there is one"),
        "module_dirs": attr.string_list(doc = "folders, relative to a library folder, whose MODULE.pc comes first"),
        "static": attr.bool(doc = "link the archive, so that a binary carried elsewhere needs no shared library"),
    },
    configure = True,
    environ = ["PATH", "PKG_CONFIG_PATH"],
    local = True,
)
