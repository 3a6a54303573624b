"""Runs the NumPy of elsewhere.md against the vectors: python elsewhere.py"""

import json
import pathlib
import re

here = pathlib.Path(__file__).parent
text = (here / "elsewhere.md").read_text(encoding="utf-8")
exec(re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1))

cases = json.loads((here / "../tests/vectors/dropout_v1.json").read_text(encoding="utf-8"))["cases"]
checked = 0
for case in cases:
    if "mask_strides" in case:
        continue
    call = (
        case["p"],
        int(case["seed"], 16),
        int(case["subsequence"], 16),
        int(case["element_offset"], 16),
        case["random_bits"],
    )
    drawn = mask(case["n"], *call)
    assert "".join("01"[int(kept)] for kept in drawn) == case["byte_mask"], case["name"]
    assert threshold(case["p"], case["random_bits"]) == int(case["threshold"], 16), case["name"]
    if case["dtype"] == "f32" and case["scale_mode"] == "inverted":
        # Ordinary numbers; what becomes of NaN's bits is not NumPy's to say.
        x = np.arange(1, case["n"] + 1, dtype=np.float32)
        scale = np.array([int(case["scale_bits"], 16)], dtype=np.uint32).view(np.float32)
        assert np.array_equal(dropout(x, *call), np.where(drawn, x * scale, np.float32(0))), case["name"]
    checked += 1
assert checked > 150
print(f"{checked} vectors")
