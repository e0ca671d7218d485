"""Who may use what: every #include and every label in a BUILD file is held against the layers of the architecture."""

import re

from tools.lint import build_files, source_tree

# A folder and the folders that it may use besides itself.  The longest matching folder holds.  Where a folder is not
# listed, its parent's line holds; "" is the repository itself.
MAY_USE = {
    "core": ["core"],
    "core/base": [],
    "core/cli": ["core/base"],
    "parallel": ["core", "parallel"],
    "parallel/schedule": ["core/base"],
    "parallel/comm": ["core"],
    "parallel/plan": ["core", "parallel/comm", "parallel/schedule"],
    "programs": ["core", "parallel"],
    "bench": ["core", "parallel", "programs", "bench"],
    "correctness": ["core", "parallel", "programs", "correctness"],
    "third_party": [],
    "tools": ["core", "parallel", "programs", "bench", "correctness", "tools"],
    "": ["core", "parallel", "programs", "bench", "correctness", "tools"],
}

# What a folder may not reach, not even through others: the reference must share no code with what it checks, and
# flags belong to programs.
MAY_NOT_REACH = {
    "core/reference": ["core/kernels"],
    "parallel": ["core/cli"],
    "core/kernels": ["core/cli"],
    "core/model": ["core/cli"],
}

# Names that every folder may use: they hold rules, settings and files of the build, and pages, not code.
BUILD_ONLY = ["tools/build_defs", "third_party", "docs"]

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)
SOURCES = (".h", ".cc", ".cu", ".cuh", ".inc")


def _is_in(path, folder):
    return folder == "" or path == folder or path.startswith(folder + "/")


def _lawful(user, used):
    """Whether the folder `user` may use the folder `used`."""
    layer = max((folder for folder in MAY_USE if _is_in(user, folder)), key=len)
    allowed = MAY_USE[layer] + BUILD_ONLY + ([layer] if layer else [])
    return any(_is_in(used, folder) for folder in allowed)


def _folder(path):
    return path.rpartition("/")[0]


def _includes(texts):
    return {path: INCLUDE.findall(text) for path, text in texts.items() if path.endswith(SOURCES)}


def _check_includes(includes, texts):
    for path, used_paths in sorted(includes.items()):
        for used in used_paths:
            if used not in texts:
                yield '%s: #include "%s": no such file; includes are paths from the root' % (path, used)
            elif not _lawful(_folder(path), _folder(used)):
                yield "%s: may not use %s" % (path, used)


def _check_labels(targets):
    for target in targets:
        for label in target.labels():
            # The root's package holds files only, such as bazelw.
            if label == "//conditions:default" or label.startswith("//:"):
                continue
            used = label[2:].partition(":")[0]
            if not _lawful(target.package, used):
                yield "%s/BUILD.bazel:%d: %s may not use %s" % (target.package, target.line, target.label(), label)


def _check_visibility(texts):
    """core grants each layer what it uses. The packages of kernels are not covered yet."""
    for path, text in sorted(texts.items()):
        if path.endswith("BUILD.bazel") and _is_in(path, "core") and not _is_in(path, "core/kernels"):
            if "//visibility:public" in text:
                yield "%s: a package of core is visible to the layers that use it, not //visibility:public" % path


def _reach(start, edges):
    """Returns {node: the node before it} of all that is reached from `start`."""
    came_from = {start: None}
    todo = [start]
    while todo:
        node = todo.pop()
        for following in edges.get(node, []):
            if following not in came_from:
                came_from[following] = node
                todo.append(following)
    return came_from


def _check_reach(edges, folder_of):
    for start in sorted(edges):
        banned = [far for near, fars in MAY_NOT_REACH.items() if _is_in(folder_of(start), near) for far in fars]
        if not banned:
            continue
        came_from = _reach(start, edges)
        for node in came_from:
            if any(_is_in(folder_of(node), folder) for folder in banned):
                way = [node]
                while came_from[way[-1]] is not None:
                    way.append(came_from[way[-1]])
                yield "%s reaches %s: %s" % (start, node, " <- ".join(way))
                break


def findings(texts):
    """Returns a line for each breach of the law in {path: text}."""
    includes = _includes(texts)
    targets = build_files.targets(texts)
    labels = {target.label(): target.labels() for target in targets}
    return (
        list(_check_includes(includes, texts))
        + list(_check_labels(targets))
        + list(_check_visibility(texts))
        + list(_check_reach(includes, _folder))
        + list(_check_reach(labels, lambda label: label[2:].partition(":")[0]))
    )


if __name__ == "__main__":
    tree = source_tree.read(source_tree.root())
    source_tree.report("dependency law", findings(tree), len(_includes(tree)))
