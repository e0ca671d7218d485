"""Reads BUILD.bazel files, whose syntax is Python's."""

import ast


class Target:
    """One call of a rule or macro."""

    def __init__(self, package, call):
        self.package = package
        self.line = call.lineno
        self.rule = call.func.id if isinstance(call.func, ast.Name) else ""
        self.attributes = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        names = self.strings("name")
        self.name = names[0] if names else ""

    def strings(self, attribute):
        """Returns every string in the attribute's value, those inside select() included."""
        value = self.attributes.get(attribute)
        if value is None:
            return []
        constants = [node.value for node in ast.walk(value) if isinstance(node, ast.Constant)]
        return [constant for constant in constants if isinstance(constant, str)]

    def labels(self):
        """Returns the labels that the target uses, as //package:name, outside repositories left out."""
        found = []
        for attribute in self.attributes:
            if attribute not in ("name", "visibility", "default_visibility"):
                found += [self._absolute(text) for text in self.strings(attribute) if text.startswith(("//", ":"))]
        return found

    def label(self):
        return "//%s:%s" % (self.package, self.name)

    def _absolute(self, label):
        if label.startswith(":"):
            return "//" + self.package + label
        package, _, name = label[2:].partition(":")
        return "//%s:%s" % (package, name or package.rsplit("/", 1)[-1])


def targets(texts):
    """Returns the targets of all BUILD.bazel files in {path: text}."""
    found = []
    for path, text in sorted(texts.items()):
        if path.rsplit("/", 1)[-1] != "BUILD.bazel":
            continue
        package = path[: -len("BUILD.bazel")].rstrip("/")
        for node in ast.walk(ast.parse(text, path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id != "load":
                found.append(Target(package, node))
    return found
