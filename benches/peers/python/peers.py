"""Dropout of PyTorch, JAX and tinygrad: prints one line a measurement, its fields apart by tabs.

Usage: peers.py ELEMENTS,... P,... [cpu|gpu]

Every peer that is installed and whose device is there is timed; the others are named on standard error.
Times are medians of wall time from the call to the result in memory. `output` says whether the peer
allocates its result ("fresh") or writes into memory that it had before ("reused").
"""

import os
import statistics
import sys
import time

THREADS = os.cpu_count()
BUDGET_S = 4.0
# Calls on a GPU before one wait, as in a training step, where waiting for each is no part of the time.
IN_A_ROW = 16


def median(run):
    """Runs for a while, at least five times after half a second that does not count: a GPU's clocks are low until it has work."""
    start = time.perf_counter()
    run()
    while True:
        run()
        if time.perf_counter() - start > 0.5:
            break
    times = []
    start = time.perf_counter()
    while len(times) < 5 or (time.perf_counter() - start < BUDGET_S and len(times) < 51):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def report(peer, version, device, op, output, elements, p, run, calls=1):
    fields = [peer, version, device, op, output, str(elements), str(p), repr(median(run) / calls)]
    print("\t".join(fields), flush=True)


def report_in_a_row(peer, version, device, output, elements, p, call, wait):
    """The time of one of several forwards with a wait after the last."""

    def run():
        for _ in range(IN_A_ROW):
            call()
        wait()

    report(peer, version, device, f"forward, {IN_A_ROW} a wait", output, elements, p, run, IN_A_ROW)


def kept_share_is_right(kept, elements, p):
    """A peer that drops nothing, or everything, is not timed."""
    deviation = (elements * p * (1 - p)) ** 0.5
    assert abs(kept - elements * (1 - p)) < 10 * deviation + 1, f"{kept} of {elements} kept at p {p}"


def pytorch_cpu(sizes, ps):
    pytorch(sizes, ps, "cpu")


def pytorch_gpu(sizes, ps):
    pytorch(sizes, ps, "cuda")


def pytorch(sizes, ps, device):
    import torch
    import torch.nn.functional as functional

    torch.set_num_threads(THREADS)
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("needs an NVIDIA GPU")
    name = "CPU" if device == "cpu" else torch.cuda.get_device_name()
    wait = (lambda: None) if device == "cpu" else torch.cuda.synchronize
    compiled = torch.compile(lambda x, p: functional.dropout(x, p, True)) if device == "cuda" else None
    for elements in sizes:
        x = torch.rand(elements, device=device) + 0.5
        gradient = torch.rand(elements, device=device)
        leaf = x.clone().requires_grad_()
        for p in ps:
            kept_share_is_right(int((functional.dropout(x, p, True) != 0).sum()), elements, p)

            def forward():
                functional.dropout(x, p, True)
                wait()

            def both():
                leaf.grad = None
                functional.dropout(leaf, p, True).backward(gradient)
                wait()

            def forward_compiled():
                compiled(x, p)
                wait()

            report("PyTorch", torch.__version__, name, "forward", "fresh", elements, p, forward)
            report("PyTorch", torch.__version__, name, "forward + backward", "fresh", elements, p, both)
            if compiled:
                report("torch.compile", torch.__version__, name, "forward", "fresh", elements, p, forward_compiled)
                for peer, dropout in [
                    ("PyTorch", lambda: functional.dropout(x, p, True)),
                    ("torch.compile", lambda: compiled(x, p)),
                ]:
                    report_in_a_row(peer, torch.__version__, name, "fresh", elements, p, dropout, wait)


def triton_low_memory(sizes, ps):
    """Dropout by a seed instead of a stored mask, as a Triton kernel."""
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("needs an NVIDIA GPU")
    import triton
    import triton.language as tl

    @triton.jit
    def kernel(x, y, n, p, seed, BLOCK: tl.constexpr):
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        inside = i < n
        kept = tl.rand(seed, i) >= p
        tl.store(y + i, tl.where(kept, tl.load(x + i, mask=inside) / (1 - p), 0.0), mask=inside)

    for elements in sizes:
        x = torch.rand(elements, device="cuda") + 0.5
        y = torch.empty_like(x)
        for p in ps:

            def launch():
                kernel[(triton.cdiv(elements, 1024),)](x, y, elements, p, 42, BLOCK=1024)

            def forward():
                launch()
                torch.cuda.synchronize()

            forward()
            kept_share_is_right(int((y != 0).sum()), elements, p)
            name = torch.cuda.get_device_name()
            report("Triton", triton.__version__, name, "forward", "reused", elements, p, forward)
            report_in_a_row("Triton", triton.__version__, name, "reused", elements, p, launch, torch.cuda.synchronize)


def jax_cpu(sizes, ps):
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp

    for elements in sizes:
        x = jnp.ones(elements, jnp.float32)
        for p in ps:

            @jax.jit
            def dropout(key, x):
                return jnp.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0)

            @jax.jit
            def both(key, x, gradient):
                y, pull = jax.vjp(lambda x: dropout(key, x), x)
                return y, pull(gradient)[0]

            step = iter(range(1 << 30))

            def forward():
                return dropout(jax.random.key(next(step)), x).block_until_ready()

            def forward_and_backward():
                y, dx = both(jax.random.key(next(step)), x, x)
                y.block_until_ready()
                dx.block_until_ready()

            kept_share_is_right(int((forward() != 0).sum()), elements, p)
            report("JAX", jax.__version__, "CPU", "forward", "fresh", elements, p, forward)
            report("JAX", jax.__version__, "CPU", "forward + backward", "fresh", elements, p, forward_and_backward)


def tinygrad_cpu(sizes, ps):
    os.environ.setdefault("DEV", "CPU")
    os.environ.setdefault("CPU", "1")
    from importlib.metadata import version

    from tinygrad import Context, Device, Tensor, TinyJit

    for elements in sizes:
        x = Tensor.ones(elements).contiguous().realize()
        for p in ps:

            @TinyJit
            def dropout(x):
                with Context(TRAINING=1):
                    return x.dropout(p).realize()

            def forward():
                y = dropout(x)
                Device[x.device].synchronize()
                return y

            # The second call captures, the third replays.
            for _ in range(3):
                y = forward()
            kept_share_is_right(int((y != 0).sum().item()), elements, p)
            report("tinygrad", version("tinygrad"), x.device, "forward", "reused", elements, p, forward)


def main():
    sizes = [int(size) for size in sys.argv[1].split(",")]
    ps = [float(p) for p in sys.argv[2].split(",")]
    peers = {"cpu": (pytorch_cpu, jax_cpu, tinygrad_cpu), "gpu": (pytorch_gpu, triton_low_memory)}
    for peer in [peer for device in sys.argv[3:] or peers for peer in peers[device]]:
        try:
            peer(sizes, ps)
        except Exception as error:  # one peer that is missing or broken leaves the others to be timed
            print(f"peers.py: {peer.__name__} left out: {type(error).__name__}: {error}", file=sys.stderr)


main()
