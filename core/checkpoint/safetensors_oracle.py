"""Safetensors by Python's standard library alone: what our reader and writer must agree with.

  safetensors_oracle.py check FILE   confirms a file with the tensors below, wherever they stand in it
  safetensors_oracle.py make FILE    writes one, with its header entries and its data in other orders than ours

Element i of the tensor in row k of the table is ((7 i + k) mod 13 - 6) / 4, truncated for integers: exact in all.
"""

import json
import struct
import sys

# Name, dtype, struct's code for an element, shape.
TENSORS = [
    ("layers.0.fc1.weight", "F32", "f", [3, 5]),
    ("wide", "F64", "d", [2, 1, 4]),
    ("half", "F16", "e", [6]),
    ("scalar", "I64", "q", []),
    ('quote " and \u00e9', "I32", "i", [4]),
    ("nothing", "F32", "f", [0, 3]),
]
METADATA = {"model": "test", "note": 'line\n"two"'}


def values(row, code, shape):
    count = 1
    for extent in shape:
        count *= extent
    exact = [((7 * i + row) % 13 - 6) / 4 for i in range(count)]
    return exact if code in "efd" else [int(value) for value in exact]


def check(path):
    with open(path, "rb") as file:
        content = file.read()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length].decode("utf-8"))
    data = content[8 + length :]
    assert (8 + length) % 8 == 0, "the data is not aligned"
    assert header.pop("__metadata__") == METADATA
    assert set(header) == {name for name, _, _, _ in TENSORS}, sorted(header)
    for row, (name, dtype, code, shape) in enumerate(TENSORS):
        entry = header[name]
        assert entry["dtype"] == dtype and entry["shape"] == shape, (name, entry)
        begin, end = entry["data_offsets"]
        expected = values(row, code, shape)
        found = list(struct.unpack("<%d%s" % (len(expected), code), data[begin:end]))
        assert found == expected, (name, found, expected)


def make(path):
    header, data = {}, b""
    for row in reversed(range(len(TENSORS))):
        name, dtype, code, shape = TENSORS[row]
        packed = [struct.pack("<" + code, value) for value in values(row, code, shape)]
        begin = len(data)
        data += b"".join(packed)
        header[name] = {"shape": shape, "data_offsets": [begin, len(data)], "dtype": dtype}
    text = json.dumps(dict(sorted(header.items()), __metadata__=METADATA), indent=1).encode("utf-8")
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    {"check": check, "make": make}[sys.argv[1]](sys.argv[2])
