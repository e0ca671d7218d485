"""How the CPU kernels are compiled: loops marked `omp simd` become vector code, without any OpenMP run time."""

VECTOR_COPTS = [
    "-O3",
    "-fopenmp-simd",
    # Lets the square root be one instruction; nobody reads errno.
    "-fno-math-errno",
    # A change of one kernel then leaves the others as they lie in cache lines: moved by a few bytes, some products take
    # 2 % longer.
    "-falign-functions=64",
]
