"""Finds the functions of a C++ file and their length, well enough for code that clang-format has laid out."""

import re

# Longest first, so that a quote in a comment opens no string and the other way round.
TEXT_OR_COMMENT = re.compile(
    r'R"(?P<mark>[^()\s\\]{0,16})\(.*?\)(?P=mark)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'"
    r"|//[^\n]*"
    r"|/\*.*?\*/"
    r"|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*",
    re.DOTALL | re.MULTILINE,
)
SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b[^()]*$|^\s*extern\s*$")


def without_text(code):
    """Returns the code with comments, strings and preprocessor lines blanked, its lines where they were."""
    return TEXT_OR_COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), code)


def functions(code):
    """Yields (first line, number of lines, head) of each function body outside other functions."""
    bare = without_text(code)
    scopes = []  # of each open brace: the position where a function's head begins, or None
    head_begin = 0
    for match in re.finditer(r"[{};]", bare):
        position = match.start()
        if match.group() == "{":
            head = bare[head_begin:position]
            inside = any(scope is not None for scope in scopes)
            is_function = not inside and ")" in head and not SCOPE.search(head)
            scopes.append(position - len(head.lstrip()) if is_function else None)
        elif match.group() == "}" and scopes:
            begin = scopes.pop()
            if begin is not None:
                first = bare.count("\n", 0, begin) + 1
                yield first, bare.count("\n", begin, position) + 1, " ".join(bare[begin:position].split("{")[0].split())
        head_begin = match.end()
