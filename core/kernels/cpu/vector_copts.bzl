"""How the CPU kernels are compiled: loops marked `omp simd` become vector code, without any OpenMP run time."""

VECTOR_COPTS = [
    "-O3",
    "-fopenmp-simd",
    # Lets the square root be one instruction; nobody reads errno.
    "-fno-math-errno",
]
