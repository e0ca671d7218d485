"""//correctness:check accepts references that another program made, and only right ones."""

import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np

from correctness import numpy_reference
from tools.peers import safetensors_file

CHECK = "correctness/check"
PYTHON = sys.executable
SCHEMES = [
    ["--scheme=single"],
    ["--scheme=gpipe", "--world_size=2", "--num_micro_batches=3"],
    ["--scheme=seqpipe", "--world_size=3", "--n_slices=4"],
    ["--scheme=zero_bubble_h1", "--world_size=2", "--num_micro_batches=3"],
    ["--scheme=megatron", "--world_size=3"],
    ["--scheme=seq_one_f_one_b", "--pipeline_parallel_size=2", "--data_parallel_size=3", "--slices=5,3,3"],
]
SIZES = numpy_reference.Sizes(num_layers=3, hidden_size=24, seq_len=11, num_heads=3, batch_size=3)


def bf16_bytes(values):
    bits = values.astype("<f4").view("<u4")
    assert not (bits & 0xFFFF).any(), "a value that bf16 does not hold"
    return (bits >> 16).astype("<u2").tobytes()


TO_BYTES = {
    "F64": lambda values: values.astype("<f8").tobytes(),
    "F32": lambda values: values.astype("<f4").tobytes(),
    "F16": lambda values: values.astype("<f2").tobytes(),
    "BF16": bf16_bytes,
}


def rounded(values, dtype):
    """The nearest values that the type holds (bf16: towards zero)."""
    if dtype == "BF16":
        return (values.astype("<f4").view("<u4") & np.uint32(0xFFFF0000)).view("<f4").astype("f8")
    return values.astype({"F64": "f8", "F32": "f4", "F16": "f2"}[dtype]).astype("f8")


def low_rank(weights):
    """Matrices whose singular values fall fast, as those of trained models do."""
    for layer in weights:
        for name, values in layer.items():
            if values.ndim == 2:
                u, s, vt = np.linalg.svd(values, full_matrices=False)
                layer[name] = (u * (4 * s * 0.7 ** np.arange(s.size))) @ vt
    return weights


class ForeignReference(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "reference.safetensors")

    def write(self, sizes=SIZES, weights=None, loss="projection", types=None, change=None, metadata=None):
        """Writes a reference; `types` are those of tensors whose name begins so, `change` changes the results."""
        rng = np.random.default_rng(5)
        weights = weights or numpy_reference.draw_weights(sizes, rng)
        types = types or {}

        def dtype_of(name):
            return next((dtype for prefix, dtype in types.items() if name.startswith(prefix)), "F64")

        weights = [{name: rounded(values, dtype_of("layers.")) for name, values in layer.items()} for layer in weights]
        shape = (sizes.seq_len, sizes.batch_size, sizes.hidden_size)
        x = rounded(2 * rng.standard_normal(shape), dtype_of("input"))
        projection = 1 + rng.standard_normal(shape) if loss == "projection" else None
        tensors = numpy_reference.step(sizes, weights, x, projection)
        if change:
            change(tensors)
        safetensors_file.write(
            self.path,
            {name: (dtype_of(name), x.shape, TO_BYTES[dtype_of(name)](x)) for name, x in tensors.items()},
            {
                "num_layers": str(sizes.num_layers),
                "hidden_size": str(sizes.hidden_size),
                "seq_len": str(sizes.seq_len),
                "num_heads": str(sizes.num_heads),
                "batch_size": str(sizes.batch_size),
                "loss": loss,
                "dtype": "f64",
                **(metadata or {}),
            },
        )

    def check(self, *flags):
        return subprocess.run([CHECK, "--checkpoint_path=" + self.path, *flags], capture_output=True, text=True)

    def assert_passes(self, *flags):
        done = self.check(*flags)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("initial values from the file", done.stdout)

    def test_passes_under_every_scheme(self):
        for loss in ["projection", "mean"]:
            self.write(loss=loss)
            for scheme in SCHEMES:
                for dtype in ["f64", "f32"]:
                    with self.subTest(scheme=scheme, loss=loss, dtype=dtype):
                        self.assert_passes("--dtype=" + dtype, *scheme)

    def test_passes_with_weights_of_other_sizes(self):
        rng = np.random.default_rng(7)
        cases = {
            "large": numpy_reference.draw_weights(SIZES, rng, scale=10),
            "small": numpy_reference.draw_weights(SIZES, rng, scale=0.01),
            "low rank": low_rank(numpy_reference.draw_weights(SIZES, rng)),
            "zero projections": [
                {name: values * (0 if name in ("fc2.weight", "attn.out_proj.weight") else 1)
                 for name, values in layer.items()}
                for layer in numpy_reference.draw_weights(SIZES, rng)
            ],
            "no biases": [
                {name: values * (0 if name.endswith("bias") else 1) for name, values in layer.items()}
                for layer in numpy_reference.draw_weights(SIZES, rng)
            ],
        }
        for name, weights in cases.items():
            self.write(weights=weights)
            for dtype in ["f64", "f32"]:
                with self.subTest(weights=name, dtype=dtype):
                    self.assert_passes("--scheme=seqpipe", "--world_size=2", "--n_slices=3", "--dtype=" + dtype)

    def test_reads_narrow_types(self):
        for dtype in ["F32", "F16", "BF16"]:
            with self.subTest(dtype=dtype):
                self.write(types={"layers.": dtype, "input": dtype})
                self.assert_passes("--scheme=megatron", "--world_size=3", "--dtype=f64")

    def test_allows_for_results_in_narrow_types(self):
        for dtype in ["F32", "F16"]:
            with self.subTest(dtype=dtype):
                self.write(types={"output": dtype, "loss": dtype, "grad.": dtype})
                self.assert_passes("--scheme=seqpipe", "--world_size=2", "--n_slices=3", "--dtype=f64")

    def test_names_an_initial_value_that_is_not_finite(self):
        for name in ["input", "layers.1.fc1.weight"]:
            def change(tensors, name=name):
                tensors[name] = tensors[name].copy()
                tensors[name].flat[5] = np.inf

            self.write(change=change)
            done = self.check("--scheme=gpipe", "--world_size=2", "--num_micro_batches=3")
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
            self.assertIn(f"element 5 of tensor {name} is inf; initial values must be finite", done.stderr)

    def test_blames_the_file_and_not_the_flags(self):
        self.write(change=lambda tensors: tensors.pop("layers.1.fc1.weight"))
        done = self.check("--scheme=gpipe", "--world_size=2", "--num_micro_batches=3")
        self.assertEqual(done.returncode, 2)
        self.assertIn("tensor layers.1.fc1.weight is missing", done.stderr)
        self.assertNotIn("batch_size", done.stderr)

    def test_sees_a_fault_in_a_deep_stack(self):
        sizes = numpy_reference.Sizes(num_layers=24, hidden_size=32, seq_len=8, num_heads=2, batch_size=1)

        def change(tensors):
            tensors["grad.layers.0.fc1.weight"] = tensors["grad.layers.0.fc1.weight"] * 1.001

        self.write(sizes=sizes)
        self.assert_passes("--dtype=f32")
        self.write(sizes=sizes, change=change)
        self.assertEqual(self.check("--dtype=f32").returncode, 1)

    def test_does_not_pass_where_bounds_see_nothing(self):
        sizes = numpy_reference.Sizes(num_layers=24, hidden_size=64, seq_len=16, num_heads=4, batch_size=2)
        self.write(sizes=sizes, weights=numpy_reference.draw_weights(sizes, np.random.default_rng(7), scale=10))
        done = self.check("--dtype=f32")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("UNPROVEN: ", done.stdout)
        self.assert_passes("--dtype=f64")

    def test_fails_where_a_gradient_is_wrong(self):
        changes = {
            "grad.layers.0.fc1.weight": lambda x: x * 1.001,
            "grad.layers.0.attn.in_proj.bias": lambda x: x * 0,
            "grad.input": lambda x: x[::-1].copy(),
            "output": lambda x: np.where(x == x.max(), x + 1e-2, x),
        }
        for name, change in changes.items():
            self.write(change=lambda tensors, n=name, c=change: tensors.update({n: c(tensors[n])}))
            for dtype in ["f64", "f32"]:
                with self.subTest(tensor=name, dtype=dtype):
                    done = self.check("--dtype=" + dtype)
                    self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                    failed = [line.split()[0] for line in done.stdout.splitlines() if "  FAIL" in line]
                    self.assertEqual(failed, [name])

    def test_fails_where_weights_are_not_those_of_the_results(self):
        def change(tensors):
            tensors["layers.2.fc2.weight"] = tensors["layers.2.fc2.weight"] * 1.01

        self.write(change=change)
        self.assertEqual(self.check("--scheme=gpipe", "--world_size=2").returncode, 1)

    def test_passes_against_pytorch(self):
        program = "tools/peers/write_reference.py"
        if subprocess.run([PYTHON, "-c", "import torch"], capture_output=True).returncode != 0:
            self.skipTest("PyTorch is not installed")
        sizes = ["--num_layers=3", "--hidden_size=24", "--seq_len=11", "--num_heads=3", "--batch_size=3"]
        for dtype in ["f64", "f32"]:
            subprocess.run([PYTHON, program, *sizes, "--dtype=" + dtype, "--out=" + self.path], check=True)
            for scheme in SCHEMES:
                with self.subTest(scheme=scheme, dtype=dtype):
                    self.assert_passes("--dtype=" + dtype, *scheme)

    def test_names_what_metadata_lack(self):
        self.write(metadata={"num_heads": "5"})
        done = self.check()
        self.assertEqual(done.returncode, 2)
        self.assertIn("num_heads 5", done.stderr)
        self.write(metadata={"dtype": "double"})
        done = self.check()
        self.assertEqual(done.returncode, 2)
        self.assertIn("'double'", done.stderr)


if __name__ == "__main__":
    unittest.main()
