# SPDX-License-Identifier: Apache-2.0
"""llama.cpp; `model` is a GGUF file."""
from child import serve
from llama_session import Session

if __name__ == "__main__":
    serve(Session)
