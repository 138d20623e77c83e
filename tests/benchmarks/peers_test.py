#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The harness of benchmarks/peers with engines of its own making."""
import json
import struct
import sys
import tempfile
import textwrap
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "benchmarks" / "peers"
sys.path.insert(0, str(PEERS))

import chart  # noqa: E402
import report  # noqa: E402
from gguf_names import expert_of, tensor_name  # noqa: E402
from measure import Row, needed, rounds, tokens_of  # noqa: E402
from process import EngineError, Process  # noqa: E402
from sides import PEERS as ALL_PEERS  # noqa: E402
from sides import SIDES, Side, chosen  # noqa: E402

ENGINE = """
    import os, signal, sys, time
    sys.path.insert(0, {peers!r})
    from child import serve

    class Engine:
        def __init__(self, model, threads, context):
            print("noise of the engine")
            self.seen = []
        def reset(self):
            self.seen = []
        def read(self, tokens):
            self.seen += tokens
            if tokens == [1]: os.kill(os.getpid(), signal.SIGSEGV)
            if tokens == [2]: time.sleep(60)
            if tokens == [3]: raise ValueError("a bad token")
        def logits(self):
            row = [0.0] * 100
            row[len(self.seen)] = float("nan") if self.seen[-1] == 4 else 1.0
            return row

    serve(Engine)
"""


class Fake:
    """A contestant that has only a name."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.closed = False

    def close(self) -> None:
        self.closed = True


class ProcessTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        script = Path(self.folder.name) / "engine.py"
        script.write_text(textwrap.dedent(ENGINE.format(peers=str(PEERS))))
        self.log = Path(self.folder.name) / "log"
        self.process = Process([sys.executable, "-B", str(script)], str(self.log))
        self.addCleanup(self.process.close)
        self.process.call(30, do="open", model="", threads=1, context=8, options={})

    def test_answers(self) -> None:
        self.assertEqual(self.process.call(30, do="prefill", tokens=[5] * 7)["top"], 7)
        answer = self.process.call(30, do="decode", tokens=[6, 7])
        self.assertEqual(answer["top"], 9)
        self.assertGreater(answer["seconds"], 0)
        memory = self.process.call(30, do="memory")
        self.assertGreater(memory["peak"], memory["base"])
        self.assertIn("noise", self.log.read_text())

    def test_error_goes_on(self) -> None:
        with self.assertRaisesRegex(EngineError, "ValueError: a bad token"):
            self.process.call(30, do="decode", tokens=[3])
        with self.assertRaisesRegex(EngineError, "not finite"):
            self.process.call(30, do="decode", tokens=[4])
        self.assertEqual(self.process.call(30, do="prefill", tokens=[5, 5])["top"], 2)

    def test_crash(self) -> None:
        with self.assertRaisesRegex(EngineError, "SIGSEGV"):
            self.process.call(30, do="decode", tokens=[1])
        with self.assertRaisesRegex(EngineError, "SIGSEGV"):
            self.process.call(30, do="memory")

    def test_hang(self) -> None:
        with self.assertRaisesRegex(EngineError, "no answer in 0.2 s"):
            self.process.call(0.2, do="decode", tokens=[2])


class RoundsTest(unittest.TestCase):
    def test_takes_turns_and_drops_who_fails(self) -> None:
        sides = [Side("lfmc", "q4", "q4"), Side("llama_cpp", "q4", "Q4_0"), Side("openvino", "q4", "i4")]
        fakes = [Fake(side) for side in sides]
        asked = []

        def ask(fake: Fake, turn: int) -> float:
            asked.append((turn, fake.side.peer))
            if fake.side.peer == "llama_cpp" and turn == 1:
                raise EngineError("ended: SIGILL")
            return float(turn)

        rows = rounds("decode", fakes, 3, ask)
        everyone = ["lfmc", "llama_cpp", "openvino"]
        self.assertEqual([p for t, p in asked if t < 2], everyone * 3)
        self.assertEqual([p for t, p in asked if t == 2], ["lfmc", "openvino"])
        self.assertEqual(rows["lfmc q4"].samples, [0.0, 1.0, 2.0])
        self.assertEqual(rows["llama.cpp Q4_0"].error, "ended: SIGILL")
        self.assertEqual([f.closed for f in fakes], [False, True, False])

    def test_tokens(self) -> None:
        tokens = tokens_of(64, needed("depth", 5))
        self.assertEqual(len(tokens), 4096 + 6 * 64)
        self.assertEqual(tokens, tokens_of(64, len(tokens)))
        self.assertTrue(all(0 <= token < 64 for token in tokens))


class ReportTest(unittest.TestCase):
    def rows(self, task: str, ours: list[float], slow: list[float], fast: list[float]) -> list[Row]:
        return [
            Row("m", Side("llama_cpp", "q4", "Q4_0", "one"), task, slow),
            Row("m", Side("lfmc", "q4", "q4"), task, ours),
            Row("m", Side("llama_cpp", "q4", "Q4_0", "two"), task, fast),
            Row("m", Side("executorch", "q4", "8da4w"), task, [1.0], error="ended: SIGABRT"),
        ]

    def test_ratio_is_to_the_better_side(self) -> None:
        found = report.compare(self.rows("decode", [30.0, 90.0, 60.0], [10.0], [39.0, 41.0]))
        self.assertEqual(len(found), 1)
        self.assertEqual(found[0].cells["llama_cpp"].row.side.setting, "two")
        self.assertAlmostEqual(found[0].ratio("llama_cpp"), 60 / 40)
        self.assertIsNone(found[0].ratio("executorch"))

    def test_less_time_is_better(self) -> None:
        found = report.compare(self.rows("start", [20.0], [100.0], [300.0]))
        self.assertEqual(found[0].cells["llama_cpp"].row.side.setting, "one")
        self.assertAlmostEqual(found[0].ratio("llama_cpp"), 5.0)

    def test_table(self) -> None:
        found = report.compare(self.rows("decode", [60.0], [10.0], [40.0]))
        text = report.plain(found)
        self.assertIn("1.50×", text)
        self.assertIn("40.0 (40.0–40.0) Q4_0 two", text)
        self.assertIn("ended: SIGABRT", text)
        head, *lines = report.table(found)
        self.assertTrue(all(len(line) == len(head) for line in lines))

    def test_chart(self) -> None:
        found = report.compare(self.rows("decode", [60.0], [10.0], [40.0]))
        root = ElementTree.fromstring(chart.svg(found, "a < b"))
        bars = [r for r in root.iter("{http://www.w3.org/2000/svg}rect") if r.get("fill") in chart.COLOURS.values()]
        lengths = [float(bar.get("width")) for bar in bars]
        self.assertEqual(len(lengths), 3)
        self.assertAlmostEqual(lengths[1] / lengths[0], 40 / 60, places=2)
        self.assertEqual(lengths[2], 0)


class SidesTest(unittest.TestCase):
    def test_chosen(self) -> None:
        found = chosen(["openvino"], ["q4"])
        self.assertEqual({side.peer for side in found}, {"lfmc", "openvino"})
        self.assertEqual({side.weights for side in found}, {"q4"})

    def test_every_peer_can_be_installed_and_run(self) -> None:
        for peer in ALL_PEERS:
            self.assertTrue((PEERS / "requirements" / f"{peer}.txt").exists(), peer)
        for side in SIDES:
            self.assertTrue((PEERS / f"engine_{side.peer}.py").exists(), side.peer)


class NamesTest(unittest.TestCase):
    def test_every_tensor_of_the_bundled_model(self) -> None:
        with open(ROOT / "examples/lfm2-small-dense/model.safetensors", "rb") as stream:
            size = struct.unpack("<Q", stream.read(8))[0]
            names = [n for n in json.loads(stream.read(size)) if n != "__metadata__"]
        found = {tensor_name(name) for name in names}
        self.assertEqual(len(found), len(names))
        self.assertIn("token_embd.weight", found)
        self.assertIn("blk.0.shortconv.in_proj.weight", found)
        self.assertIn("blk.2.attn_k_norm.weight", found)

    def test_unknown(self) -> None:
        self.assertEqual(tensor_name("model.layers.7.feed_forward.w3.weight"), "blk.7.ffn_up.weight")
        with self.assertRaises(KeyError):
            tensor_name("model.layers.7.feed_forward.experts.0.w1.weight")

    def test_experts(self) -> None:
        self.assertEqual(
            expert_of("model.layers.7.feed_forward.experts.12.w2.weight"), ("blk.7.ffn_down_exps.weight", 12)
        )
        self.assertIsNone(expert_of("model.layers.7.feed_forward.w2.weight"))
        self.assertEqual(tensor_name("model.layers.7.feed_forward.gate.weight"), "blk.7.ffn_gate_inp.weight")
        self.assertEqual(tensor_name("model.layers.7.feed_forward.expert_bias"), "blk.7.exp_probs_b.bias")


if __name__ == "__main__":
    unittest.main()
