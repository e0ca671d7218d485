"""OpenBLAS, serial: matrix products in float32 and float64 on CPUs without AVX-512.

On such CPUs it is up to 28 % faster than the own product of core/kernels/cpu compiled for AVX2 (a product of 16 rows;
0 to 8 % on large ones).

Serial, since the threads of a rank are those of its pool (core/device/cpu/thread_pool.h), each of which calls OpenBLAS
on its own. The threaded library starts a thread for each core when it is loaded, before main, also where nothing calls
it; these spin before they sleep, beside the passes that are timed. The serial one of Debian takes a lock around its
buffers, so that many threads may call it at once.
"""

load("//third_party/system_library:system_library.bzl", "system_library")

def openblas():
    system_library(
        name = "openblas",
        apt_packages = ["libopenblas-serial-dev"],
        headers = ["cblas.h"],
        module = "openblas",
        # Debian's variants lie in folders of their own, and its pkg-config knows the one that the administrator chose.
        module_dirs = ["openblas-serial/pkgconfig"],
    )
