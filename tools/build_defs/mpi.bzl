"""sluice_mpi_test: a program run as a test on several processes, under tools/launch."""

def sluice_mpi_test(name, program, ranks, args = [], size = "small", tags = [], **kwargs):
    """Makes a test <name>_np<n> for each number of ranks n, and a suite of them all.

    Args:
      name: of the suite.
      program: a binary that is a rank by RunMpiRank; its exit code is the test's.
      ranks: the numbers of processes.
      args: of the program.
      size: of each test.
      tags: of each test.
      **kwargs: of each test.
    """
    tests = []
    for n in ranks:
        test = "%s_np%d" % (name, n)
        native.sh_test(
            name = test,
            size = size,
            srcs = ["//tools/build_defs:mpi_test.sh"],
            args = [
                "$(location //tools/launch)",
                "--ranks_per_host=%d" % n,
                "--",
                "$(location %s)" % program,
            ] + args,
            data = [program, "//tools/launch"],
            tags = tags + ["mpi", "cpu:%d" % min(n, 2)],
            **kwargs
        )
        tests.append(test)
    native.test_suite(name = name, tests = tests)
