"""What was built and run, from the context of a result: whether two sides may be compared at all."""

import hashlib
import json

# Keys that differ between two runs of one configuration, because they were measured or say when and where it ran, or
# because perf sets them (`ceilings`, which older revisions do not have). Every other key is the configuration.
_NOT_CONFIG = {
    "date", "host_name", "executable", "mhz_per_cpu", "cpu_scaling_enabled", "load_avg", "version", "commit",
    "dirty", "program_bytes", "cpu_affinity", "cpu_quota", "ceilings",
}
_MEASURED_PREFIXES = ("measured_", "sm_clock", "num_throttled", "throttled")
# Facts of the machine and of the libraries on it: checked between two sides, but no part of a configuration's hash,
# since the machine class stands beside it.
_MACHINE_KEYS = {"num_cpus", "caches", "driver", "library_build_type"}
# What a program makes of its command line on the CPUs or GPUs that it is given: the same in every run of one target.
_JOB_KEYS = (
    "device", "world_size", "pipeline_parallel_size", "tensor_parallel_size", "data_parallel_size", "num_threads",
    "batch_size", "num_micro_batches", "slice_lens", "layers_of_stages", "attention", "kernels",
    "small_kernels",
)


def comparable_keys(context):
    """The part of `context` that both sides of a comparison must agree on."""
    return {
        key: value
        for key, value in context.items()
        if key not in _NOT_CONFIG and not key.startswith(_MEASURED_PREFIXES)
    }


def config(context):
    return {key: value for key, value in comparable_keys(context).items() if key not in _MACHINE_KEYS}


def config_hash(context):
    text = json.dumps(config(context), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def mismatches(base, cand, allowed_keys=()):
    """One sentence per key whose value differs, or that only one side has."""
    base, cand = comparable_keys(base), comparable_keys(cand)
    return [
        f"{key} is {_shown(base, key)} in base and {_shown(cand, key)} in cand"
        for key in sorted(base.keys() | cand.keys())
        if key not in allowed_keys and base.get(key) != cand.get(key)
    ]


def changes_of_job(probed, context):
    """One sentence per key of the job that a run does not share with the probe of the same program."""
    return [
        f"{key} is {_shown(context, key)} and was {_shown(probed, key)}"
        for key in _JOB_KEYS if key in probed and context.get(key) != probed[key]
    ]


def is_one_job(context):
    """Whether all benchmarks of the program run one job: where they differ, a key's values are joined by commas."""
    return not any("," in str(context.get(key, "")) for key in _JOB_KEYS)


def unfit_build(context):
    """Why numbers of this build mean nothing, or an empty string."""
    if context.get("build_mode") != "opt":
        return f"build_mode is {_shown(context, 'build_mode')}, not opt"
    if str(context.get("ndebug")).lower() not in ("true", "1"):
        return f"ndebug is {_shown(context, 'ndebug')}: assertions are compiled in"
    return ""


def _shown(context, key):
    return json.dumps(context[key]) if key in context else "absent"
