"""GoogleTest and GoogleMock: the tests."""

load("//third_party/system_library:system_library.bzl", "system_library")

def googletest():
    system_library(
        name = "googletest",
        apt_packages = ["libgtest-dev", "libgmock-dev"],
        headers = ["gtest", "gmock"],
        libs = ["gmock_main"],
        module = "gmock",
        static = True,
    )
