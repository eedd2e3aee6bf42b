"""Write tests/golden/data/python.safetensors: a small file by Python's own safetensors, for tests/test_safetensors.c."""
import os

import torch
from safetensors.torch import save_file

tensors = {
    "f32": torch.tensor([[1.5, -2.25, 3e-40], [1e30, -0.0, 7.0]], dtype=torch.float32),
    "f64": torch.tensor([0.1, -1e300], dtype=torch.float64),
    "f16": torch.tensor([1.0, -0.333251953125, 6.103515625e-05, 5.9604644775390625e-08, 65504.0, float("-inf")], dtype=torch.float16),
    "bf16": torch.tensor([1.0, -3.140625, 1e-38], dtype=torch.bfloat16),
    "i64": torch.tensor(-5, dtype=torch.int64),
    "i32": torch.tensor([-2147483648, 2147483647], dtype=torch.int32),
    "i16": torch.tensor([-32768, 32767], dtype=torch.int16),
    "i8": torch.tensor([-128, 127], dtype=torch.int8),
    "u8": torch.tensor([0, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "empty": torch.zeros(0, 3),
    "gr\u00f6\u00dfe \"q\"\n": torch.tensor([42.0]),
}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "python.safetensors")
save_file(tensors, path, metadata={"format": "pt", "note": "a\tb \u00e4"})
print(os.path.getsize(path), "bytes")
