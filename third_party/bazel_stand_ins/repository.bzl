"""The rule repositories that Bazel's built-in tools ask for, as local stand-ins."""

def bazel_stand_ins():
    for name in ["bazel_skylib", "remote_coverage_tools", "rules_cc", "rules_java", "rules_python"]:
        if not native.existing_rule(name):
            native.local_repository(
                name = name,
                path = "third_party/bazel_stand_ins/" + name,
            )
