#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packages for Hexagon: compiled, linked with the runner, run by qemu-hexagon,
and compared with goldens and with the CPU's packages. usage: hexagon_test.py
BUILD SOURCE COMPILER LD NM OBJDUMP READELF CLANG CMAKE [unittest's arguments].
Without qemu-hexagon the tests that run code fail: scripts/setup installs it."""
import array
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

BUILD, SOURCE, COMPILER, LD, NM, OBJDUMP, READELF, CLANG, CMAKE = sys.argv[1:10]
LFMC = os.path.join(BUILD, "bin", "lfmc")
PARTS = os.path.join(BUILD, "lib", "lfm", "hexagon")
CHECKPOINTS = os.path.join(SOURCE, "tests", "data", "checkpoints")
GOLDENS = os.path.join(SOURCE, "tests", "data", "goldens")
EXAMPLE = os.path.join(SOURCE, "examples", "lfm2-small-dense")
sys.path.insert(0, os.path.join(SOURCE, "benchmarks", "hexagon"))
import bound  # noqa: E402


def run(*command, code=0, input=None):
    # Threads that wait for each other forever are a failure, no hang.
    done = subprocess.run(command, capture_output=True, text=True, input=input,
                          timeout=600)
    if done.returncode != code:
        raise AssertionError(f"{' '.join(command)}: code {done.returncode}\n"
                             f"{done.stdout}{done.stderr}")
    return done


def compile_package(checkpoint, folder, *options, name="npu",
                    target="hexagon-v66"):
    run(LFMC, "compile", checkpoint, "-o", folder, "--name", name, "--target",
        target, "--max-context", "128", "--prefill", "32", "--force", *options)
    return folder


def link_runner(package, name="npu"):
    program = os.path.join(package, "runner")
    run(LD, "-static", "-e", "_start", "-u", "_start",
        f"--defsym=lfm_runner_program={name}_program", "-o", program,
        os.path.join(PARTS, "liblfm_runner.a"),
        os.path.join(package, f"lib{name}.a"))
    return program


def loaded(path, base):
    """The bytes of a shared object as a loader leaves them at address `base`,
    and its exported symbols' addresses there. Its relocations are all of the
    kind that needs no symbol."""
    with open(path, "rb") as file:
        data = file.read()
    offset, count = (struct.unpack_from("<I", data, 28)[0],
                     struct.unpack_from("<H", data, 44)[0])
    segments = [struct.unpack_from("<8I", data, offset + 32 * i)
                for i in range(count)]
    image = bytearray(max(s[2] + s[5] for s in segments if s[0] == 1))
    for kind, at, address, _, size, *_ in segments:
        if kind == 1:  # PT_LOAD
            image[address:address + size] = data[at:at + size]
    for line in run(READELF, "-r", path).stdout.splitlines():
        if match := re.match(r"([0-9a-f]{8}) +[0-9a-f]+ +(R_HEX_\w+) +(\w+)$",
                             line):
            assert match[2] == "R_HEX_RELATIVE", line
            struct.pack_into("<I", image, int(match[1], 16),
                             base + int(match[3], 16))
    return image, {name: base + address
                   for name, address in dynamic_symbols(path)[0].items()}


def dynamic_symbols(path):
    """Addresses of what a shared object exports, and names that it wants."""
    exported, wanted = {}, []
    for line in run(READELF, "--dyn-syms", path).stdout.splitlines():
        if match := re.match(r" *\d+: ([0-9a-f]+) +\d+ \w+ +(?:GLOBAL|WEAK) +"
                             r"\w+ +(\w+) (\w+)$", line):
            if match[2] == "UND":
                wanted.append(match[3])
            else:
                exported[match[3]] = int(match[1], 16)
    return exported, wanted


def link_cpu(package):
    program = os.path.join(package, "logits")
    run(COMPILER, os.path.join(SOURCE, "tests", "e2e", "programs", "logits.c"),
        "-O1", f"-I{package}", f"-L{package}", "-lcpu", "-lpthread", "-lm", "-o",
        program)
    return program


class Golden:
    def __init__(self, name):
        with open(os.path.join(GOLDENS, name + ".safetensors"), "rb") as file:
            size = struct.unpack("<Q", file.read(8))[0]
            self.header = json.loads(file.read(size))
            self.bytes = file.read()

    def __getitem__(self, name):
        entry = self.header[name]
        begin, end = entry["data_offsets"]
        kind = {"F32": "f", "I32": "i", "I64": "q"}[entry["dtype"]]
        return array.array(kind, self.bytes[begin:end])


def largest_error(found, wanted):
    assert len(found) == len(wanted) > 0, (len(found), len(wanted))
    return max(abs(a - b) for a, b in zip(found, wanted))


class HexagonTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="lfmc-hexagon-")
        cls.dense_a = compile_package(
            os.path.join(CHECKPOINTS, "dense-a-bf16"),
            os.path.join(cls.folder, "dense-a-bf16"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def generate(self, program, weights, ids, count, *mode):
        """Greedy ids and the logits after each token, flat."""
        with open(self.path("ids"), "wb") as file:
            file.write(array.array("i", ids).tobytes())
        emulator = ["qemu-hexagon"] if program.endswith("runner") else []
        done = run(*emulator, program, weights, self.path("ids"),
                   self.path("logits"), str(count), *mode)
        with open(self.path("logits"), "rb") as file:
            return ([int(line) for line in done.stdout.split()],
                    array.array("f", file.read()))

    def test_float_goldens(self):
        for name in ("dense-a-bf16", "dense-b-f32", "moe-8e-bf16-biasf32",
                     "moe-32e-bf16"):
            golden = Golden(name)
            package = self.path(name)
            if not os.path.exists(package):
                compile_package(os.path.join(CHECKPOINTS, name), package)
            runner = link_runner(package)
            weights = os.path.join(package, "npu.weights")
            for prompt, mode in (("p2", []), ("p3", []), ("p3", ["decode"])):
                greedy = list(golden[prompt + ".greedy"][:8])
                wanted = golden[prompt + ".logits"]
                ids, logits = self.generate(
                    runner, weights, golden[prompt + ".input_ids"], 8, *mode)
                with self.subTest(name=name, prompt=prompt, mode=mode):
                    self.assertEqual(ids, greedy)
                    self.assertLess(largest_error(logits[:len(wanted)], wanted),
                                    1e-4)

    def test_v67(self):
        """A golden and the quantized tokens of v66's package, by its own
        instructions. qemu-hexagon 7.2 has this processor alone."""
        golden = os.path.join(GOLDENS, "dense-a-bf16.safetensors")
        checkpoint = os.path.join(CHECKPOINTS, "dense-a-bf16")
        package = compile_package(checkpoint, self.path("v67"),
                                  target="hexagon-v67")
        header = run(READELF, "-h", os.path.join(package, "libnpu.so")).stdout
        self.assertRegex(header, r"Flags: +0x67\b")
        done = run(LFMC, "verify", package, golden, "--runner",
                   "qemu-hexagon -cpu v67", "--case", "p0", "--case", "p1")
        self.assertIn("2 cases: passed", done.stdout)
        package = compile_package(checkpoint, package, "--quant", "q8",
                                  "--calibrate", "none", target="hexagon-v67")
        ids, found = [5, 90, 17, 3, 44], []
        for each in package, self.dense_a_q8():
            found.append(self.generate(link_runner(each), os.path.join(
                each, "npu.weights"), ids, 8))
        self.assertEqual(found[0], found[1])

    def test_targets(self):
        """What `lfmc targets` says of each version, and a user's own."""
        rows = {row["name"]: row for row in json.loads(
            run(LFMC, "targets", "--json").stdout)}
        names = [name for name in rows if name.startswith("hexagon-")]
        self.assertEqual(names, ["hexagon-v" + v for v in
                                 "66 67 68 69 73 75 79 81".split()])
        for name in names:
            row, runs = rows[name], name in ("hexagon-v66", "hexagon-v67")
            with self.subTest(name=name):
                self.assertEqual(row["features"],
                                 ["hvx"] if runs else ["hvx", "hvx-qfloat"])
                self.assertEqual(row["state"], "run under qemu-hexagon" if runs
                                 else "checked, not run")
                for fact in "features", "vtcm", "caches":
                    self.assertTrue(row["sources"][fact])
        self.assertIn("vtcm from: ", run(LFMC, "targets").stdout)
        with open(os.path.join(SOURCE, "targets", "devices",
                               "hexagon-v66.json")) as file:
            facts = json.load(file)
        for key, value, message in (
                ("cpu", "hexagon", "unknown cpu 'hexagon'"),
                ("features", ["hvx", "hvx-ieee"], "unknown feature 'hvx-ieee'"),
                ("features", [], "expected the feature hvx"),
                ("features", ["hvx", "hvx-qfloat"],
                 "hvx-qfloat needs hexagonv68, found hexagonv66"),
                ("vtcm_kib", -1, "expected 'vtcm_kib' from 0"),
                ("family", "dsp", "expected arm64 or hexagon")):
            with open(self.path("device.json"), "w") as file:
                json.dump(facts | {key: value}, file)
            done = run(LFMC, "compile", self.dense_a, "-o", self.path("none"),
                       "--target", self.path("device.json"), code=1)
            self.assertIn(message, done.stderr)
        with open(self.path("device.json"), "w") as file:
            json.dump(facts | {"name": "mine", "vtcm_kib": 128}, file)
        package = compile_package(os.path.join(CHECKPOINTS, "dense-a-bf16"),
                                  self.path("mine"),
                                  target=self.path("device.json"))
        with open(os.path.join(package, "npu.json")) as file:
            self.assertEqual(json.load(file)["sizes"]["vtcm_bytes"], 128 << 10)
        done = run(LFMC, "compile", self.dense_a, "-o", self.path("none"),
                   "--target", "hexagon-v66+hvx-qfloat", code=1)
        self.assertIn("target hexagon-v66 lacks the feature 'hvx-qfloat' "
                      "(features: hvx)", done.stderr)

    def test_all_dense_goldens(self):
        """lfmc verify by the emulator: each dense checkpoint, read whole, in
        chunks and token by token. Scalar floats are slow there: short prompts."""
        for name in ("dense-a-bf16", "dense-b-bf16", "dense-b-f32"):
            package = self.path(name)
            if not os.path.exists(package):
                compile_package(os.path.join(CHECKPOINTS, name), package)
            golden = os.path.join(GOLDENS, name + ".safetensors")
            with self.subTest(name=name):
                done = run(LFMC, "verify", package, golden, "--runner",
                           "qemu-hexagon", "--case", "p0", "--case", "p1")
                self.assertIn("2 cases: passed", done.stdout)

    def test_runner(self):
        """bench, and what goes wrong: a runner that fails, another model's
        weights."""
        done = run(LFMC, "bench", self.dense_a_q8(), "--runner", "qemu-hexagon",
                   "--repeat", "1", "--prefill", "8", "--decode", "2", "--depth",
                   "8", "--json")
        self.assertIn("prefill", done.stdout)
        counted = json.loads(run(
            sys.executable, os.path.join(SOURCE, "benchmarks", "hexagon", "count.py"),
            LFMC, self.dense_a_q8(), "--prefill", "8", "--depth", "8",
            "--json").stdout)
        for row in counted["prefill 8"], counted["decode at 9"]:
            packets = row.pop("packets")
            self.assertAlmostEqual(sum(row.values()), packets, delta=1)
            self.assertGreater(row["linear_q"], packets / 10)
        golden = os.path.join(GOLDENS, "dense-a-bf16.safetensors")
        verify = [LFMC, "verify", "--case", "p0", "--runner"]
        done = run(*verify, "false", self.dense_a, golden, code=1)
        self.assertIn("the runner failed", done.stderr)
        done = run(*verify, "qemu-hexagon", "--runner-cc", "no-such-linker",
                   self.dense_a, golden, code=1)
        self.assertIn("no-such-linker", done.stderr)
        other = self.path("other")
        shutil.copytree(self.dense_a, other)
        shutil.copy(os.path.join(self.dense_a_q8(), "npu.weights"), other)
        done = run(*verify, "qemu-hexagon", other, golden, code=1)
        self.assertRegex(done.stderr, "truncated|no weights file of this model")

    def test_weights_above_2_gib(self):
        """Refused before anything is written. The checkpoint's embedding, of
        2.2 million tokens, is a hole in its file."""
        source = os.path.join(CHECKPOINTS, "dense-a-bf16")
        huge = self.path("huge")
        shutil.copytree(source, huge)
        with open(os.path.join(huge, "config.json")) as file:
            config = json.load(file)
        config["vocab_size"] = 1 << 22
        with open(os.path.join(huge, "config.json"), "w") as file:
            json.dump(config, file)
        with open(os.path.join(source, "model.safetensors"), "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
            data = file.read()
        at, parts = 0, []
        embedding = header.pop("model.embed_tokens.weight")
        for entry in header.values():
            if "data_offsets" in entry:
                begin, end = entry["data_offsets"]
                parts.append(data[begin:end])
                entry["data_offsets"] = [at, at + end - begin]
                at += end - begin
        embedding["shape"][0] = config["vocab_size"]
        size = 2 * embedding["shape"][0] * embedding["shape"][1]
        embedding["data_offsets"] = [at, at + size]
        header["model.embed_tokens.weight"] = embedding
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(os.path.join(huge, "model.safetensors"), "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))
            file.truncate(8 + len(text) + at + size)
        refused = self.path("refused")
        done = run(LFMC, "compile", huge, "-o", refused, "--target",
                   "hexagon-v66", "--max-context", "128", code=1)
        self.assertRegex(done.stderr, "target hexagon-v66 addresses 32 bits: "
                         "expected at most 2147483648 bytes of weights, caches "
                         "and scratch, found 21[4-9][0-9]{7};")
        self.assertFalse(os.path.exists(refused))

    def test_bad_input(self):
        runner = link_runner(self.dense_a)
        weights = os.path.join(self.dense_a, "npu.weights")
        with open(weights, "rb") as file:
            data = bytearray(file.read())

        def expect(message, ids, count="1"):
            with open(self.path("ids"), "wb") as file:
                file.write(array.array("i", ids).tobytes())
            done = run("qemu-hexagon", runner, self.path("w"), self.path("ids"),
                       self.path("logits"), count, code=1)
            self.assertIn(message, done.stderr)

        def write(contents):
            with open(self.path("w"), "wb") as file:
                file.write(contents)

        write(data[:-64])
        expect("truncated", [1])
        other = bytearray(data)
        other[9] ^= 1
        write(other)
        expect("no weights file of this model and target", [1])
        write(data)
        expect("expected tokens of the vocabulary", [1, 1 << 20])
        expect("expected tokens of the vocabulary", [-1])
        expect("more tokens than the context holds", [1] * 129)
        expect("expected 1 to 4096 token ids", [])
        expect("expected a number", [1], "x")

    def test_vtcm(self):
        """Scratch in memory that stands for VTCM: for all steps, for decode
        alone, and too small. The runner fails if scratch is written elsewhere
        though all of it would fit."""
        package = self.dense_a_q8()
        runner = link_runner(package)
        weights = os.path.join(package, "npu.weights")
        with open(os.path.join(package, "npu.json")) as file:
            sizes = json.load(file)["sizes"]
        self.assertEqual(sizes["vtcm_bytes"], 256 << 10)
        all_bytes, decode_bytes = sizes["arena_bytes"], sizes["decode_arena_bytes"]
        self.assertLess(0, decode_bytes)
        self.assertLess(decode_bytes, all_bytes)
        self.assertLess(decode_bytes, sizes["vtcm_bytes"])
        ids = [5, 90, 17, 3, 44]
        for mode in "whole", "decode":
            wanted = self.generate(runner, weights, ids, 4, mode)
            for size in all_bytes, all_bytes - 1, decode_bytes:
                with self.subTest(mode=mode, size=size):
                    found = self.generate(runner, weights, ids, 4, mode,
                                          str(size))
                    self.assertEqual(found, wanted)
        done = run("qemu-hexagon", runner, weights, self.path("ids"),
                   self.path("logits"), "1", "decode", str(decode_bytes - 1),
                   code=1)
        self.assertIn("the VTCM is not aligned or smaller than a decode step's "
                      "scratch", done.stderr)

    def test_threads(self):
        """The same bits from one thread and from several, more than there are
        processors and more than some phases have chunks; scratch in VTCM is
        shared by all."""
        mixture = os.path.join(CHECKPOINTS, "moe-8e-bf16-biasf32")
        packages = [self.dense_a, self.dense_a_q8(),
                    compile_package(mixture, self.path("mixture-q4"), "--quant",
                                    "q4", "--calibrate", "none")]
        ids = [5, 90, 17, 3, 44, 8, 100, 61, 7, 2, 33]
        for package in packages:
            runner = link_runner(package)
            weights = os.path.join(package, "npu.weights")
            for mode in "whole", "decode":
                wanted = self.generate(runner, weights, ids, 6, mode)
                self.assertEqual(len(wanted[0]), 6)
                for vtcm, threads in ("0", 2), ("0", 4), ("300000", 3), ("0", 16):
                    with self.subTest(package=package, mode=mode, threads=threads):
                        found = self.generate(runner, weights, ids, 6, mode, vtcm,
                                              str(threads))
                        self.assertEqual(found, wanted)
        for threads in "0", "17":
            done = run("qemu-hexagon", runner, weights, self.path("ids"),
                       self.path("logits"), "1", "whole", "0", threads, code=1)
            self.assertIn(f"{threads}: expected 1 to 16 threads, no more than "
                          "vector contexts", done.stderr)

    def test_threads_of_requests(self):
        package = self.dense_a
        golden = os.path.join(GOLDENS, "dense-a-bf16.safetensors")
        verify = [LFMC, "verify", package, golden, "--runner", "qemu-hexagon",
                  "--case", "p0", "--threads"]
        self.assertIn("1 cases: passed", run(*verify, "3").stdout)
        self.assertIn("expected 1 to 16 threads", run(*verify, "17",
                                                      code=1).stderr)
        report = json.loads(run(
            LFMC, "bench", package, "--runner", "qemu-hexagon", "--threads", "2",
            "--repeat", "1", "--prefill", "4", "--decode", "1", "--depth", "4",
            "--json").stdout)
        self.assertEqual(report["threads"], 2)

    def test_no_memory_for_stacks(self):
        """In the first address space, by steps of 1 MiB, that holds the program
        and one thread."""
        package = self.dense_a_q8()
        command = [link_runner(package), os.path.join(package, "npu.weights"),
                   self.path("ids"), self.path("logits"), "1", "whole", "0"]
        with open(self.path("ids"), "wb") as file:
            file.write(array.array("i", [1]).tobytes())
        for mib in range(18, 64):
            emulator = ["qemu-hexagon", "-R", hex(mib << 20)]
            if subprocess.run([*emulator, *command, "1"], timeout=600,
                              capture_output=True).returncode == 0:
                break
        done = run(*emulator, *command, "16", code=1)
        self.assertIn("16: the system does not start the threads", done.stderr)

    def test_headers(self):
        """Each alone, from the package's folders. lfm_npu_threads.h is the
        skeleton's and needs the SDK (test_device_sources)."""
        with open(os.path.join(self.dense_a, "npu.json")) as file:
            headers = [name for name in json.load(file)["files"]
                       if name.endswith(".h") and "threads" not in name]
        for name in "npu.h", "lfm/npu.h", "device/npu_device.h":
            self.assertIn(name, headers)
        for header in headers:
            for language in ["c", "-std=c99"], ["c++", "-std=c++17"]:
                with self.subTest(header=header, language=language):
                    run(COMPILER, "-x", *language, "-Wall", "-Wextra", "-Werror",
                        "-pedantic", "-fsyntax-only", f"-I{self.dense_a}",
                        f"-I{self.dense_a}/device", "-",
                        input=f'#include "{header}"\n')

    def cpu_to_fall_back_to(self):
        package = self.path("npu_cpu")
        if not os.path.exists(package):
            compile_package(os.path.join(CHECKPOINTS, "dense-a-bf16"), package,
                            name="npu_cpu", target="host")
        return package

    def test_readme(self):
        """It names the package's files, all of them, and the target's version;
        its CMake builds the application's side with stand-ins for the SDK."""
        package = self.path("readme")
        shutil.copytree(self.dense_a, package)
        with open(os.path.join(package, "README.md")) as file:
            text = file.read()
        self.assertNotRegex(text, r"@\w+@")
        with open(os.path.join(package, "npu.json")) as file:
            files = set(json.load(file)["files"])
        rows = re.findall(r"^\| (`.*?`) \|", text, re.M)
        self.assertEqual(set(re.findall(r"`([^`]+)`", " ".join(rows))),
                         files - {"README.md"})
        commands = " ".join(re.findall(r"```sh\n(.*?)```", text, re.S))
        for file in re.findall(r"(?<= )(?:device/\S+|libnpu\.\S+)", commands):
            self.assertIn(file, files)
        for wanted in "-mv66 ", "computev66/", "device/npu_skel.c ", " libnpu.a ":
            self.assertIn(wanted, commands)
        self.assertIn(" 262144 bytes", text)
        os.mkdir(os.path.join(package, "gen"))
        with open(os.path.join(package, "gen", "lfm_npu_rpc_stub.c"), "w") as file:
            file.write('#include "lfm_npu_rpc.h"\n')
        android = compile_package(os.path.join(CHECKPOINTS, "dense-a-bf16"),
                                  self.path("android"), name="npu_cpu",
                                  target="android-arm64")
        os.mkdir(self.path("application"))
        with open(self.path("application/CMakeLists.txt"), "w") as file:
            file.write("cmake_minimum_required(VERSION 3.18)\n"
                       "project(application C CXX)\n"
                       "include_directories(${STANDINS})\n" +
                       re.search(r"```cmake\n(.*?)```", text, re.S).group(1))
        for cpu in android, self.cpu_to_fall_back_to():
            run(CMAKE, "-S", self.path("application"), "-B", cpu + "-build",
                f"-DCMAKE_C_COMPILER={COMPILER}", f"-DNPU={package}",
                f"-DCPU={cpu}", f"-DSTANDINS={SOURCE}/tests/e2e/programs/fastrpc")
        self.assertTrue(os.path.exists(android + "-build/lfm_runtime"))
        run(CMAKE, "--build", cpu + "-build")
        defined = run(NM, "--defined-only", cpu + "-build/libnpu_device.a").stdout
        self.assertIn(" T npu_device_open", defined)

    def test_device_sources(self):
        """The application's side, the DSP's and the CPU to fall back to, in one
        process of this machine: the DSP's has a program for this machine.
        Headers are the packages' own."""
        checkpoint = os.path.join(CHECKPOINTS, "dense-a-bf16")
        here = compile_package(checkpoint, self.path("here"), target="host")
        cpu = self.cpu_to_fall_back_to()
        device = os.path.join(self.dense_a, "device")
        with open(os.path.join(device, "lfm_npu_rpc.idl")) as idl:
            self.assertIn("interface lfm_npu_rpc : remote_handle64", idl.read())
        programs = os.path.join(SOURCE, "tests", "e2e", "programs")
        program = self.path("device")
        run(COMPILER, "-std=gnu11", "-Wall", "-Wextra", "-Werror",
            os.path.join(device, "npu_skel.c"),
            os.path.join(device, "npu_device.c"),
            os.path.join(programs, "device.c"),
            os.path.join(SOURCE, "runtime", "hexagon", "Npu.c"),
            os.path.join(SOURCE, "runtime", "hexagon", "Team.c"),
            f"-I{self.dense_a}", f"-I{device}", f"-I{cpu}",
            f"-I{programs}/fastrpc", f"-L{here}", f"-L{cpu}", "-lnpu",
            "-lnpu_cpu", "-lpthread", "-lm", "-o", program)
        npu_weights = os.path.join(here, "npu.weights")
        cpu_weights = os.path.join(cpu, "npu_cpu.weights")
        npu = run(program, npu_weights, cpu_weights).stdout.split()
        fallback = run(program, cpu_weights + "x", cpu_weights).stdout.split()
        self.assertEqual([npu[0], fallback[0]], ["npu", "cpu"])
        self.assertEqual(npu[1:], fallback[1:])
        self.assertEqual(npu[2], npu[3])
        self.assertEqual(npu[4], "-2")  # a token out of range
        self.assertEqual(run(program, "-", cpu_weights).stdout.split(), fallback)
        # VTCM for all steps, for decode's (one of the four reads), and too
        # little of it; always given back.
        with open(os.path.join(here, "npu.json")) as file:
            sizes = json.load(file)["sizes"]
        for size, report in ((sizes["arena_bytes"], "had 4, used 3, kept 0"),
                             (sizes["decode_arena_bytes"], "had 4, used 1, kept 0"),
                             (sizes["decode_arena_bytes"] - 1, "")):
            done = run("env", f"LFM_TEST_VTCM={size}", program, npu_weights,
                       cpu_weights)
            with self.subTest(size=size):
                self.assertEqual(done.stdout.split(), npu)
                self.assertEqual(done.stderr.strip(),
                                 report and "vtcm: " + report)
        self.check_device_threads(program, npu_weights, npu)
        self.assertIn("the NPU cannot be used: error 6",
                      run(program, "missing", "-", code=1).stderr)

    def check_device_threads(self, program, weights, wanted):
        """As many threads as vector contexts (of 12 hardware threads), fewer
        on demand. Else an error: more, no memory for stacks, threads that the
        system does not start, one that gets no HVX; none is left."""
        def device(threads, code=0, **system):
            done = run("env", *(f"LFM_TEST_{name}={n}" for name, n in
                                system.items()),
                       program, weights, "-", str(threads), code=code)
            return done.stdout.split(), done.stderr.strip()

        for threads, contexts, started in ((0, 1, 0), (0, 4, 3), (0, 15, 11),
                                           (1, 4, 0), (3, 4, 2)):
            with self.subTest(threads=threads, contexts=contexts):
                report = f"threads: started {started}, left 0" if started else ""
                self.assertEqual(device(threads, HVX=contexts), (wanted, report))
        self.assertEqual(device(12, HVX=12, HEAP=11 << 20)[0], wanted)
        for threads, system, error, report in (
                (3, {"HVX": 2}, 8, ""), (-1, {"HVX": 4}, 8, ""),
                (17, {"HVX": 99}, 8, ""),
                (12, {"HVX": 12, "HEAP": (11 << 20) - 1}, 5, ""),
                (4, {"HVX": 4, "THREADS": 0}, 9, ""),
                (4, {"HVX": 4, "THREADS": 2}, 9, "\nthreads: started 2, left 0"),
                (4, {"HVX": 4, "LOCKS": 2}, 9, "\nthreads: started 3, left 0")):
            with self.subTest(threads=threads, **system):
                self.assertEqual(
                    device(threads, code=1, **system),
                    ([], f"error: the NPU cannot be used: error {error}{report}"))

    def test_instructions(self):
        """vrmpy in the q8 loops of whole packages, floats of HVX from v68 on.
        All versions' kernels: lfmc_hvx_test."""
        self.check_products(self.dense_a_q8(), "v66")
        package = self.v73()
        text = self.disassemble(package, "v73")
        self.assertGreater(text.count("qf32"), 100)
        self.assertNotIn("<unknown>", text)
        self.check_products(package, "v73")

    def dense_a_q8(self):
        package = self.path("dense-a-q8")
        if not os.path.exists(package):
            compile_package(os.path.join(CHECKPOINTS, "dense-a-bf16"), package,
                            "--quant", "q8", "--calibrate", "none")
        return package

    def v73(self):
        package = self.path("v73")
        if not os.path.exists(package):
            compile_package(EXAMPLE, package, "--quant", "q8", "--calibrate",
                            "none", target="hexagon-v73")
        return package

    def disassemble(self, package, version):
        return bound.disassemble(OBJDUMP, os.path.join(package, "libnpu.a"),
                                 version)

    def check_products(self, package, version):
        """vrmpy a packet over all loops of a tile, with all that a block takes.
        64: four tokens and 64 rows, 32: two tokens, 16: one, of 17 to 19
        packets."""
        self.assertEqual(bound.version(package), version)
        rows = bound.by_products(bound.product_loops(
            self.disassemble(package, version)))
        for products, least in (64, 1.0), (32, 1.0), (16, 0.88):
            self.assertIn(products, rows)
            print(version, products, rows[products])
            self.assertGreaterEqual(rows[products][3], least)

    def test_team_instructions(self):
        """Threads meet by atomics and barriers, one thread by neither."""
        text = run(OBJDUMP, "-d", "--no-show-raw-insn", "--mcpu=hexagonv66",
                   os.path.join(PARTS, "liblfm_npu.a")).stdout
        functions = dict(re.findall(r"\w+ <(\w+)>:\n(.*?)(?=\n\w+ <|\Z)", text,
                                    re.S))
        for name in "meet", "lfm_npu_work":
            for wanted in "memw_locked", "{ \tbarrier }", "pause(#0xff)":
                self.assertIn(wanted, functions[name])
        self.assertNotRegex(functions["leavePhase"], "locked|barrier|call")

    def test_calls_no_library(self):
        linked = self.path("closed.o")
        library = os.path.join(self.dense_a, "libnpu.a")
        run(LD, "-r", "--whole-archive", library, "-o", linked)
        wanted = run(NM, "-u", linked).stdout.split()
        self.assertEqual([w for w in wanted if w not in
                          ("U", "_GLOBAL_OFFSET_TABLE_")], [])


    def test_shared_object(self):
        """It exports the model and lfm/npu.h, wants nothing and has no
        relocations in code."""
        with open(os.path.join(SOURCE, "runtime", "include", "lfm",
                               "npu.h")) as file:
            functions = re.findall(r"^LFM_API [\w *]+?(lfm_npu_\w+)\(",
                                   file.read(), re.M)
        self.assertGreater(len(functions), 10)
        for package, flags in (self.dense_a, "0x66"), (self.v73(), "0x73"):
            with self.subTest(flags=flags):
                library = os.path.join(package, "libnpu.so")
                header = run(READELF, "-h", library).stdout
                self.assertRegex(header, r"Class: +ELF32\n")
                self.assertRegex(header, r"Type: +DYN ")
                self.assertRegex(header, r"Machine: +Qualcomm Hexagon\n")
                self.assertRegex(header, rf"Flags: +{flags}\b")
                exported, wanted = dynamic_symbols(library)
                self.assertEqual(sorted(exported),
                                 sorted(functions + ["npu_program"]))
                self.assertEqual(wanted, [])
                dynamic = run(READELF, "-d", library).stdout
                self.assertIn("[libnpu.so]", dynamic)
                self.assertRegex(dynamic, r"\(RELA\)")
                self.assertNotIn("TEXTREL", dynamic)
                self.assertNotIn("NEEDED", dynamic)
                self.assertNotRegex(run(READELF, "-lW", library).stdout, "RWE|WE ")
                with open(os.path.join(package, "npu.json")) as file:
                    self.assertIn("libnpu.so", json.load(file)["files"])

    def test_shared_object_runs(self):
        """As a loader of the DSP places it: the runner, which has nothing of
        the package, calls what it exports."""
        package = self.dense_a_q8()
        image, symbols = loaded(os.path.join(package, "libnpu.so"), 0x400000)
        with open(self.path("image"), "wb") as file:
            file.write(image)
        with open(self.path("image.s"), "w") as file:
            file.write('.section .shared,"awx",@progbits\n.globl image\nimage:\n'
                       f'.incbin "{self.path("image")}"\n')
        run(CLANG, "--target=hexagon-unknown-linux-musl", "-mv66", "-c",
            self.path("image.s"), "-o", self.path("image.o"))
        runner = self.path("shared-runner")
        symbols["lfm_runner_program"] = symbols["npu_program"]
        run(LD, "-static", "-e", "_start", "-u", "_start", "-u", "image",
            "--section-start=.shared=0x400000",
            *(f"--defsym={name}={address}" for name, address in symbols.items()),
            os.path.join(PARTS, "liblfm_runner.a"), self.path("image.o"), "-o",
            runner)
        weights = os.path.join(package, "npu.weights")
        for mode in [], ["decode", "300000", "3"]:
            with self.subTest(mode=mode):
                wanted, found = (
                    self.generate(program, weights, [5, 90, 17, 3], 4, *mode)
                    for program in (link_runner(package), runner))
                self.assertEqual(found, wanted)

    def test_no_linker(self):
        folder = self.path("no-linker")
        done = run("env", "PATH=/nowhere", LFMC, "compile",
                   os.path.join(CHECKPOINTS, "dense-a-bf16"), "--target",
                   "hexagon-v66", "-o", folder, code=1)
        self.assertIn("no linker for Hexagon", done.stderr)
        self.assertFalse(os.path.exists(folder))

    def compare_with_cpu(self, checkpoint, quant, ids, count, tolerance,
                         least=0):
        """Packages of the same weights: logits within `tolerance` of the
        largest, the same greedy tokens until the CPU's best two are as close,
        `least` tokens anyway. One level of x86, so that all machines compare
        the same."""
        options = ["--quant", quant, "--calibrate", "none"]
        cpu = compile_package(checkpoint, self.path("cpu"), *options,
                              name="cpu", target="x86-64-v2")
        npu = compile_package(checkpoint, self.path("npu"), *options)
        wanted_ids, wanted = self.generate(
            link_cpu(cpu), os.path.join(cpu, "cpu.weights"), ids, count)
        for mode in [], ["decode"]:
            found_ids, found = self.generate(
                link_runner(npu), os.path.join(npu, "npu.weights"), ids, count,
                *mode)
            same = next((i for i, (a, b) in enumerate(zip(found_ids, wanted_ids))
                         if a != b), count)
            vocab = len(wanted) // (len(ids) + count)
            rows = (len(ids) + same) * vocab
            largest = max(map(abs, wanted))
            error = largest_error(found[:rows], wanted[:rows]) / largest
            print(f"{os.path.basename(checkpoint)} {quant} {mode}: {error:.2g}, "
                  f"{same} of {count} tokens")
            self.assertLess(error, tolerance)
            if same < count:  # only where both were as good
                row = wanted[rows - vocab:rows]
                self.assertLess(row[wanted_ids[same]] - row[found_ids[same]],
                                2 * error * largest)
                self.assertGreaterEqual(same, least)
        return npu

    # Until an activation lies between two codes, logits agree within 1e-6 of
    # the largest (the first token's below); from there on rounding it to the
    # other code makes them differ by what 8 bits are worth. Levels of x86 differ
    # as much (dense-a q8, x86-64-v2 and -v4-vnni: 0.028).
    def test_quantized_checkpoints(self):
        for name in "dense-a-bf16", "dense-b-f32":
            golden = Golden(name)
            for quant in ("q8", "q4") if name == "dense-a-bf16" else ("q6", "q4m"):
                with self.subTest(name=name, quant=quant):
                    self.compare_with_cpu(
                        os.path.join(CHECKPOINTS, name), quant,
                        golden["p2.input_ids"], 16, 0.05, least=8)
        self.compare_with_cpu(os.path.join(CHECKPOINTS, "dense-a-bf16"), "q8",
                              Golden("dense-a-bf16")["p2.input_ids"][:1], 0,
                              1e-6)

    # Both matrices of an expert have blocks here.
    def test_quantized_experts(self):
        checkpoint = self.path("mixture")
        run(LFMC, "synth", "tiny", "--experts", "8", "--experts-per-token", "3",
            "--dtype", "f32", "-o", checkpoint)
        for quant in "q8", "q4":
            with self.subTest(quant=quant):
                self.compare_with_cpu(checkpoint, quant, list(range(9, 40, 3)),
                                      8, 0.05)
                self.compare_with_cpu(checkpoint, quant, [9], 0, 1e-6)

    def test_trained_model(self):
        text = "Why is the sky blue?"
        ids = json.loads(run(LFMC, "tokenize", EXAMPLE, input=text).stdout)
        self.assertGreater(len(ids), 4)
        for quant in "q8", "q4":
            with self.subTest(quant=quant):
                self.compare_with_cpu(EXAMPLE, quant, ids, 32, 0.05, least=32)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[10:])
