# SPDX-License-Identifier: Apache-2.0
"""A package of lfmc, linked to a shared object, by the C functions of
lfm/lfm.h. `model` is NAME.so; NAME.weights lies beside it."""
import ctypes
from pathlib import Path

from child import serve

MESSAGE = 512


class SessionOptions(ctypes.Structure):
    _fields_ = [
        ("threads", ctypes.c_int32),
        ("spin_microseconds", ctypes.c_int32),
        ("reserved", ctypes.c_uint32 * 6),
    ]


class Package:
    def __init__(self, model: str, threads: int, context: int) -> None:
        path = Path(model)
        self.library = library = ctypes.CDLL(model)
        program = ctypes.c_byte.in_dll(library, f"{path.stem}_program")
        library.lfm_session_message.restype = ctypes.c_char_p
        library.lfm_session_last_logits.restype = ctypes.POINTER(ctypes.c_float)
        message = ctypes.create_string_buffer(MESSAGE)
        handle = ctypes.c_void_p()
        weights = str(path.with_suffix(".weights")).encode()
        status = library.lfm_model_open(
            ctypes.byref(program), weights, None, ctypes.byref(handle), message, MESSAGE
        )
        if status != 0:
            raise RuntimeError(message.value.decode())
        self.session = ctypes.c_void_p()
        options = SessionOptions(threads=threads)
        status = library.lfm_session_create(
            handle, ctypes.byref(options), ctypes.byref(self.session), message, MESSAGE
        )
        if status != 0:
            raise RuntimeError(message.value.decode())
        # struct lfm_model_info begins with three pointers and vocab_size,
        # hidden_size, max_context.
        info = (ctypes.c_int32 * 256)()
        library.lfm_model_get_info(handle, ctypes.byref(info))
        self.vocab_size, max_context = info[6], info[8]
        if max_context < context:
            raise RuntimeError(f"expected a context of {context}, found {max_context}")
        self.row = (ctypes.c_float * self.vocab_size)()

    def _check(self, status: int) -> None:
        if status != 0:
            raise RuntimeError(self.library.lfm_session_message(self.session).decode())

    def reset(self) -> None:
        self.library.lfm_session_reset(self.session)

    def read(self, tokens: list[int]) -> None:
        array = (ctypes.c_int32 * len(tokens))(*tokens)
        if len(tokens) == 1:
            self._check(self.library.lfm_session_decode(self.session, tokens[0], None))
        else:
            self._check(
                self.library.lfm_session_prefill(
                    self.session, array, ctypes.c_size_t(len(tokens)), self.row
                )
            )

    def logits(self) -> list[float]:
        return self.library.lfm_session_last_logits(self.session)[: self.vocab_size]


if __name__ == "__main__":
    serve(Package)
