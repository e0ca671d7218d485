"""The program: parses the command line, runs one command, and turns its outcome into the exit code."""

import os
import sys

from tools.perf import cli, commands, verdicts
from tools.perf.errors import InputError

_COMMANDS = {
    "ab": commands.ab,
    "record": commands.record,
    "history": commands.history,
    "ir": commands.ir,
    "selftest": commands.selftest,
}


def main(arguments):
    # Under `bazel run`, paths are meant from where the user stands.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    try:
        flags = cli.parse(arguments)
        return _COMMANDS[flags.command](flags)
    except InputError as error:
        print(f"perf: {error}", file=sys.stderr)
        return verdicts.EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("perf: interrupted; nothing was judged", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
