"""The program: parses the command line, runs one command, and turns its outcome into the exit code."""

import os
import signal
import sys
import traceback

try:
    from tools.perf import cli, commands, verdicts
except ModuleNotFoundError as missing:
    # Python's own exit code, 1, would say that a target is SLOWER.
    print(f"perf: {missing}; apt-get install python3-scipy python3-numpy", file=sys.stderr)
    sys.exit(2)
from tools.perf.errors import InputError

_COMMANDS = {
    "ab": commands.ab,
    "record": commands.record,
    "history": commands.history,
    "ir": commands.ir,
    "selftest": commands.selftest,
    "clean": commands.clean,
}

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupted(BaseException):
    pass


def main(arguments):
    _accept_every_character(sys.stdout, sys.stderr)
    for number in _SIGNALS:
        # A signal that was ignored at the start, SIGHUP under nohup, stays ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        # Under `bazel run`, paths are meant from where the user stands.
        os.chdir(os.environ.get("SLUICE_WORKING_DIRECTORY") or os.environ.get("BUILD_WORKING_DIRECTORY", "."))
        flags = cli.parse(arguments)
        return _COMMANDS[flags.command](flags)
    except (InputError, OSError) as error:
        return _fail(str(error))
    except _Interrupted as interruption:
        print("perf: interrupted; nothing was judged", file=sys.stderr)
        return 128 + interruption.args[0]
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        return _fail("this is a fault of perf itself")


def _accept_every_character(*streams):
    """A character that the terminal's encoding lacks is written as an escape, not answered with an exception."""
    for stream in streams:
        if stream is not None:  # the caller may have closed it
            stream.reconfigure(errors="backslashreplace")


def _fail(message):
    print(f"perf: {message}", file=sys.stderr)
    return verdicts.EXIT_BAD_INPUT


def _interrupt(number, _):
    # The first is enough: another would interrupt the ending of children.
    for every in _SIGNALS:
        signal.signal(every, signal.SIG_IGN)
    raise _Interrupted(number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
