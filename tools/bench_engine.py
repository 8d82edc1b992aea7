"""How much the engine costs beside copying and hashing the same file: `python tools/bench_engine.py [ROUNDS]`.

The slice is made from code: 512 by 512 pixels of 16 bits, some 250 elements, nested sequences and private blocks.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent.parent))

from bsti_submit.deid.engine import Engine
from bsti_submit.deid.profile import load_profile
from bsti_submit.deid.pseudonyms import random_scope
from bsti_submit.deid.staged import Refusal
from bsti_submit.deid.words import KnownWords
from tests.deid.slices import ct_slice


def _best(work: object, rounds: int) -> float:
    times = []
    for number in range(rounds):
        start = perf_counter()
        work(number)  # type: ignore[operator]
        times.append(perf_counter() - start)
    return sorted(times)[len(times) // 4] * 1000


def main() -> None:
    """Measure, and print one line a step."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    files = [ct_slice(number) for number in range(rounds)]
    engine, scope, words = Engine(load_profile("bsti-default")), random_scope(), KnownWords()
    for data in files:
        words.add_header(data)

    def copy_and_hash(number: int) -> None:
        hashlib.sha256(bytes(bytearray(files[number]))).digest()

    def deidentify(number: int) -> None:
        staged = engine.deidentify(files[number], scope, words)
        if isinstance(staged, Refusal):
            raise SystemExit(f"refused: {staged}")

    def whole(number: int) -> None:
        staged = engine.deidentify(files[number], scope, words)
        if isinstance(staged, Refusal):
            raise SystemExit(f"refused: {staged}")
        digest = hashlib.sha256()
        for chunk in staged.payload().chunks():
            digest.update(chunk)

    base = _best(copy_and_hash, rounds)
    print(f"{len(files[0])} bytes a slice, {rounds} slices")
    for name, work in (
        ("copy + SHA-256", copy_and_hash),
        ("engine", deidentify),
        ("engine + bytes + SHA-256", whole),
    ):
        taken = _best(work, rounds)
        print(f"{name:28}{taken:8.3f} ms {taken / base:6.2f} x")


if __name__ == "__main__":
    main()
