# SPDX-License-Identifier: Apache-2.0
"""llama.cpp through the C functions that llama-cpp-python binds. Runs in the
llama_cpp environment."""
import ctypes

import llama_cpp

BATCH = 2048  # tokens of one call, llama.cpp's own default
MICRO_BATCH = 512  # tokens that are computed at once, its default
QUIET = llama_cpp.llama_log_callback(lambda level, text, user: None)


class Session:
    """A model and one sequence. `f32_cache` stores keys and values in f32
    instead of f16, the default."""

    def __init__(
        self, path: str, threads: int, context: int, flash_attention: bool, f32_cache: bool = False
    ) -> None:
        llama_cpp.llama_log_set(QUIET, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params()
        )
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = BATCH
        params.n_ubatch = MICRO_BATCH
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = 1 if flash_attention else 0
        if f32_cache:
            params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        if not self.context:
            raise RuntimeError(f"llama.cpp cannot create a context of {context} for {path}")
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(self.vocabulary)
        self.batch = llama_cpp.llama_batch_init(BATCH, 0, 1)

    def reset(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), False)

    def _decode(self, batch: llama_cpp.llama_batch) -> None:
        status = llama_cpp.llama_decode(self.context, batch)
        if status != 0:
            raise RuntimeError(f"llama_decode failed: {status}")

    def read(self, tokens: list[int]) -> None:
        """Reads tokens behind those read before; the last one's logits follow."""
        for begin in range(0, len(tokens), BATCH):
            part = tokens[begin : begin + BATCH]
            array = (llama_cpp.llama_token * len(part))(*part)
            self._decode(llama_cpp.llama_batch_get_one(array, len(part)))
        llama_cpp.llama_synchronize(self.context)

    def logits(self) -> ctypes.Array:
        """Of the last token read, float[vocab_size]."""
        row = llama_cpp.llama_get_logits_ith(self.context, -1)
        return ctypes.cast(row, ctypes.POINTER(ctypes.c_float * self.vocab_size)).contents

    def all_logits(self, tokens: list[int]) -> ctypes.Array:
        """Of every token of a new sequence, float[len(tokens)][vocab_size];
        valid until the next call. At most BATCH tokens."""
        self.reset()
        self.batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            self.batch.token[i] = token
            self.batch.pos[i] = i
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = 0
            self.batch.logits[i] = True
        self._decode(self.batch)
        rows = llama_cpp.llama_get_logits(self.context)
        shape = ctypes.c_float * (len(tokens) * self.vocab_size)
        return ctypes.cast(rows, ctypes.POINTER(shape)).contents

    def tokenize(self, text: bytes) -> list[int]:
        """Without the token that begins a text; special tokens are text."""
        room = (llama_cpp.llama_token * (len(text) + 16))()
        count = llama_cpp.llama_tokenize(
            self.vocabulary, text, len(text), room, len(room), False, False
        )
        return list(room[:count])
