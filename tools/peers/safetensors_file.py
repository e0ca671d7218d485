"""Writes safetensors files of floating-point tensors with the standard library alone."""

import json
import os
import struct


def write(path, tensors, metadata):
    """Writes {name: (dtype, shape, bytes)}, dtype one of F64, F32, BF16, F16, in the order given.

    `metadata` is {str: str}. The file is complete under its name, or not there.
    """
    header = {"__metadata__": metadata}
    offset = 0
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + len(content)]}
        offset += len(content)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for _, _, content in tensors.values():
                file.write(content)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
