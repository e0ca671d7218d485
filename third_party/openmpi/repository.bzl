"""Open MPI: ranks as processes, on one host or many."""

load("//third_party/system_library:system_library.bzl", "system_library")

def openmpi():
    system_library(
        name = "openmpi",
        apt_packages = ["libopenmpi-dev", "openmpi-bin"],
        defines = ["OMPI_SKIP_MPICXX=1"],
        module = "ompi-c",
    )
