"""Child processes that never outlive what waits for them."""

import contextlib
import os
import signal
import subprocess


def run(command, timeout_s=None, patience_s=0, **options):
    """As subprocess.run with text, but the command runs in a process group of its own, and whatever ends the wait ends
    all that it started: a timeout, an interruption, an error.  With `patience_s` the command is asked to end and has so
    long before it is killed."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, text=True, errors="replace",
                          **options) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            if patience_s:
                _signal_group(process, signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(patience_s)
            raise
        finally:
            # A grandchild that outlives its parent would be measured beside whatever runs next.
            _signal_group(process, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _signal_group(process, number):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
