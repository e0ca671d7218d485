"""The habits of this project that a program can check, over the repository's own text."""

import ast
import os
import re

from tools.lint import build_files, cpp_functions, source_tree

CPP = (".h", ".cc", ".cu", ".cuh", ".inc")
HEADERS = (".h", ".cuh")
TEXT = CPP + (".py", ".sh", ".bzl", ".bazel", ".md")

LONGEST_FUNCTION = 70
LONG_WITH_REASON = re.compile(r"Long because \S+ \S+ \S+")  # in the comment line above the function
LONGEST_CPP_LINE = 100  # as in .clang-format
LONGEST_LINE = 120

# These files contain the words that they forbid.
ABOUT_WORDS = ("tools/lint/tidy.py", "tools/lint/lint_test.py")

FORBIDDEN_WORDS = [
    (re.compile(r"(?<![\w.])/(?:work|home|root)/"), "a path of one machine"),
    (re.compile(r"\bsessions?\b", re.IGNORECASE), "the project speaks of itself alone"),
    (re.compile(r"\bissues? #?\d", re.IGNORECASE), "the project speaks of itself alone"),
    (
        re.compile(r"\b(?:pypi|npmjs|crates|pythonhosted|anaconda|docker|debian|ghcr|quay)\.(?:org|io|com)\b"),
        "the host of a package registry",
    ),
]


def _is_build_or_shell(path):
    return path.endswith((".bazel", ".bzl", ".sh")) or path in ("bazelw", ".ci/run", ".bazelrc", "WORKSPACE")


def file_names(path, text):
    stem = re.split(r"[_./]", path.rsplit("/", 1)[-1])
    for word in ("common", "util", "utils", "helper", "helpers", "misc"):
        if word in stem:
            yield 1, "a file called '%s' says nothing of what is in it" % word
    if path.rsplit("/", 1)[-1] == "BUILD":
        yield 1, "BUILD files are called BUILD.bazel"


def white_space(path, text):
    if not (path.endswith(TEXT) or _is_build_or_shell(path)):
        return
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"
    for number, line in enumerate(text.split("\n"), 1):
        if "\t" in line:
            yield number, "a tab"
        if line != line.rstrip():
            yield number, "space at the end of the line"


def line_length(path, text):
    if not (path.endswith(TEXT) or _is_build_or_shell(path)):
        return
    longest = LONGEST_CPP_LINE if path.endswith(CPP) else LONGEST_LINE
    for number, line in enumerate(text.split("\n"), 1):
        is_table = path.endswith(".md") and line.lstrip().startswith("|")
        is_one_word = len(line.split()) <= 2 and "://" in line
        if len(line) > longest and not is_table and not is_one_word:
            yield number, "%d columns; at most %d" % (len(line), longest)


def todos(path, text):
    if path in ABOUT_WORDS:
        return
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(r"\b(FIXME|HACK)\b", line):
            yield number, "say what is to be done and why, as 'TODO: ...'"
        elif re.search(r"\bTODO\b", line) and not re.search(r"\bTODO: \S+ \S+ \S+", line):
            yield number, "a TODO without its reason"


def forbidden_words(path, text):
    if path in ABOUT_WORDS:
        return
    for number, line in enumerate(text.split("\n"), 1):
        for pattern, reason in FORBIDDEN_WORDS:
            match = pattern.search(line)
            if match:
                yield number, "'%s': %s" % (match.group(), reason)


def leading_comments(path, text):
    if path.endswith(HEADERS):
        if not text.startswith("// "):
            yield 1, "a header begins with a comment that says what it is"
        if not re.search(r"^#pragma once$", text, re.MULTILINE):
            yield 1, "no '#pragma once'"
    elif path.endswith((".py", ".bzl")) and not re.match(r'(#!.*\n)?("""|# )', text):
        yield 1, "a script begins with a docstring or comment that says what it is"
    elif path.endswith(".sh") and not re.match(r"#!.*\n# ", text):
        yield 1, "a script begins with a comment that says what it is"


def function_length(path, text):
    if path.endswith(CPP):
        lengths = [(line, size) for line, size, _ in cpp_functions.functions(text)]
    elif path.endswith(".py"):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        found = [node for node in ast.walk(ast.parse(text, path)) if isinstance(node, kinds)]
        lengths = [(node.lineno, node.end_lineno - node.lineno + 1) for node in found]
    else:
        return
    lines = text.split("\n")
    for line, size in lengths:
        above = lines[line - 2] if line > 1 else ""
        if size > LONGEST_FUNCTION and not LONG_WITH_REASON.search(above):
            yield line, "a function of %d lines; at most %d" % (size, LONGEST_FUNCTION)


def cpp_habits(path, text):
    if not path.endswith(CPP):
        return
    shared = not path.endswith((".cu", ".cuh"))
    for number, line in enumerate(text.split("\n"), 1):
        if shared and re.match(r"\s*#\s*(if|elif).*\b(__CUDACC__|__CUDA_ARCH__|__NVCC__)", line):
            yield number, "CUDA is never an #ifdef in shared code: two targets behind one header"
        if re.match(r"\s*//.*[\w\])]\s*(\([^()]*\)|=\s*[^=;]+);$", line) and not path.endswith(HEADERS):
            yield number, "code in a comment"
    for number, line in enumerate(cpp_functions.without_text(text).split("\n"), 1):
        if re.search(r"(?<![\w.>])assert\s*\(", line):
            yield number, "assert is gone in optimised builds: SLUICE_CHECK"
        if not path.startswith("core/cli/") and re.match(r"DEFINE_(bool|u?int32|u?int64|double|string)\(", line):
            yield number, "declare flags by core/cli/flags.h, with what they allow"


def _slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


# A path or a package in backticks, from the root: `core/base/check.h`, `//core/base:check`, `//core/...`.
NAMED_PATH = re.compile(r"`(?://)?((?:bench|core|correctness|docs|parallel|programs|third_party|tools)/[\w./-]*)[:`]")
# These pages describe earlier commits.
HISTORY = ("docs/notes/", "docs/results/")


def pages(texts):
    """Every relative link of a page leads to a file and heading that exist, and so does every path that it names."""
    folders = {parent for path in texts for parent in _parents(os.path.dirname(path))}
    exists = texts.keys() | folders
    for path, text in sorted(texts.items()):
        if not path.endswith(".md"):
            continue
        for number, line in enumerate(text.split("\n"), 1):
            for target in re.findall(r"\]\(([^)\s]+)\)", line):
                if "://" in target or target.startswith("mailto:"):
                    continue
                name, _, anchor = target.partition("#")
                file = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
                if file not in exists:
                    yield path, number, "the link %s leads nowhere" % target
                elif anchor and anchor not in _slugs(texts.get(file, "")):
                    yield path, number, "no heading for #%s in %s" % (anchor, file)
            for name in [] if path.startswith(HISTORY) else NAMED_PATH.findall(line):
                if name.replace("...", "").rstrip("/") not in exists:
                    yield path, number, "there is no %s" % name


def _slugs(text):
    return {_slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def third_party(texts):
    """Every dependency is named in the one list and in MODULE.bazel, and says in its file what it is for."""
    listed = texts.get("third_party/repositories.bzl", "")
    modules = texts.get("MODULE.bazel", "")
    for path, text in sorted(texts.items()):
        match = re.fullmatch(r"third_party/(\w+)/repository\.bzl", path)
        if not match:
            continue
        docstring = ast.get_docstring(ast.parse(text, path)) or ""
        if len(docstring.split()) < 4:
            yield path, 1, "say in the docstring what the dependency is for"
        if "//third_party/%s:" % match.group(1) not in listed:
            yield path, 1, "not loaded in third_party/repositories.bzl"
        if match.group(1) != "bazel_stand_ins" and '"%s"' % match.group(1) not in modules:
            yield path, 1, "not named in MODULE.bazel"


def libraries(texts):
    """One header a library, and every benchmark program is run by a test."""
    targets = build_files.targets(texts)
    tested = {label for target in targets if "test" in target.rule for label in target.labels()}
    for target in targets:
        path = target.package + "/BUILD.bazel"
        headers = [name for name in target.strings("hdrs") if name.endswith(".h")]
        if target.rule == "sluice_cc_library" and len(headers) > 1:
            yield path, target.line, "%s has more than one header" % target.label()
        is_benchmark = (target.package + "/").startswith("bench/") and target.rule == "sluice_cc_binary"
        if is_benchmark and "testonly" not in target.attributes and target.label() not in tested:
            yield path, target.line, "no test runs %s: a benchmark needs a smoke test" % target.label()


FILE_RULES = [
    file_names,
    white_space,
    line_length,
    todos,
    forbidden_words,
    leading_comments,
    function_length,
    cpp_habits,
]
TREE_RULES = [pages, third_party, libraries]


def findings(texts):
    """Returns "path:line: message" for each habit broken in {path: text}."""
    found = []
    for path, text in sorted(texts.items()):
        for rule in FILE_RULES:
            found += ["%s:%d: %s" % (path, line, message) for line, message in rule(path, text)]
    for rule in TREE_RULES:
        found += ["%s:%d: %s" % finding for finding in rule(texts)]
    return found


def _parents(folder):
    while folder:
        yield folder
        folder = os.path.dirname(folder)


if __name__ == "__main__":
    tree = source_tree.read(source_tree.root())
    source_tree.report("tidy", findings(tree), len(tree))
