"""{fmt}: text formatting, until std::format is in every compiler that we build with."""

load("//third_party/system_library:system_library.bzl", "system_library")

def fmt():
    system_library(
        name = "fmt",
        apt_packages = ["libfmt-dev"],
        headers = ["fmt"],
        libs = ["fmt"],
        static = True,
    )
