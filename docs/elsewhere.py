"""Runs the code of elsewhere.md against the vectors.

python elsewhere.py                    its NumPy, as the test command does
python elsewhere.py curand INCLUDE...  its C++, compiled for the host with cuRAND's headers from those folders
python elsewhere.py triton             its Triton, in Triton's interpreter; needs PyTorch
"""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
TEXT = (HERE / "elsewhere.md").read_text(encoding="utf-8")


def snippet(heading, language):
    section = TEXT.split(f"## {heading}\n")[1]
    return re.search(rf"```{re.escape(language)}\n(.*?)```", section, re.DOTALL).group(1)


def cases():
    vectors = json.loads((HERE / "../tests/vectors/dropout_v1.json").read_text(encoding="utf-8"))
    return [case for case in vectors["cases"] if "mask_strides" not in case]


def number(case, field):
    return int(case[field], 16)


def with_numpy():
    code = {}
    exec(snippet("NumPy", "python"), code)
    np, mask, threshold, dropout = (code[name] for name in ("np", "mask", "threshold", "dropout"))
    for case in cases():
        bits = case["random_bits"]
        call = (case["p"], *(number(case, field) for field in ("seed", "subsequence", "element_offset")), bits)
        drawn = mask(case["n"], *call)
        assert "".join("01"[int(kept)] for kept in drawn) == case["byte_mask"], case["name"]
        assert threshold(case["p"], bits) == number(case, "threshold"), case["name"]
        if case["dtype"] == "f32" and case["scale_mode"] == "inverted":
            # Ordinary numbers; what becomes of NaN's bits is not NumPy's to say.
            x = np.arange(1, case["n"] + 1, dtype=np.float32)
            scale = np.array([number(case, "scale_bits")], dtype=np.uint32).view(np.float32)
            assert np.array_equal(dropout(x, *call), np.where(drawn, x * scale, np.float32(0))), case["name"]
        yield case


HOST = """
#include <cstdio>
int main() {
    unsigned long long seed, subsequence, g, threshold, n;
    while (scanf("%llx %llx %llx %llx %llx", &seed, &subsequence, &g, &threshold, &n) == 5) {
        for (unsigned long long i = 0; i < n; i++) putchar(keeps(seed, subsequence, g + i, threshold) ? '1' : '0');
        putchar('\\n');
    }
}
"""


def with_curand(*includes):
    # Functions of the host: its branch of the header multiplies in C++.
    code = "#include <cuda_runtime.h>\n#define QUALIFIERS static inline\n" + snippet("cuRAND", "c++") + HOST
    chosen = [case for case in cases() if case["random_bits"] == 32]
    calls = [
        " ".join(f"{value:x}" for value in (*(number(case, field) for field in FIELDS), case["n"])) for case in chosen
    ]
    with tempfile.TemporaryDirectory() as folder:
        source, program = f"{folder}/keeps.cpp", f"{folder}/keeps"
        pathlib.Path(source).write_text(code, encoding="utf-8")
        subprocess.run(["g++", "-O1", source, "-o", program, *(f"-I{include}" for include in includes)], check=True)
        masks = subprocess.run([program], input="\n".join(calls), capture_output=True, text=True, check=True).stdout
    for case, drawn in zip(chosen, masks.splitlines(), strict=True):
        assert drawn == case["byte_mask"], case["name"]
        yield case


FIELDS = ("seed", "subsequence", "element_offset", "threshold")

STORE = """
@triton.jit
def store(kept, seed, subsequence, first, threshold, BLOCKS: tl.constexpr):
    n = tl.arange(0, BLOCKS)
    keep = keep_blocks(seed, subsequence, first + n.to(tl.uint64), threshold)
    for lane in tl.static_range(4):
        tl.store(kept + 4 * n + lane, keep[lane].to(tl.int8))
"""


def with_triton():
    os.environ["TRITON_INTERPRET"] = "1"
    import torch
    import triton

    with tempfile.TemporaryDirectory() as folder:
        # Triton reads a kernel's source from its file.
        path = pathlib.Path(folder, "keeps.py")
        imports = "import triton\nimport triton.language as tl\n\n"
        path.write_text(imports + snippet("Triton", "python") + STORE, encoding="utf-8")
        spec = importlib.util.spec_from_file_location("keeps", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for case in cases():
            if case["random_bits"] != 32:
                continue
            seed, subsequence, offset, threshold = (number(case, field) for field in FIELDS)
            # From the block that the first element lies in.
            skipped = offset % 4
            blocks = triton.next_power_of_2((skipped + case["n"] + 3) // 4)
            kept = torch.zeros(4 * blocks, dtype=torch.int8)
            module.store[(1,)](kept, seed, subsequence, offset // 4, threshold, BLOCKS=blocks)
            drawn = kept[skipped : skipped + case["n"]].tolist()
            assert "".join(map(str, drawn)) == case["byte_mask"], case["name"]
            yield case


ways = {"numpy": (with_numpy, 192), "curand": (with_curand, 90), "triton": (with_triton, 90)}
way, *arguments = sys.argv[1:] or ["numpy"]
run, expected = ways[way]
checked = len(list(run(*arguments)))
assert checked == expected, checked
print(f"{way}: {checked} vectors")
