# SPDX-License-Identifier: Apache-2.0
"""OpenVINO's CPU plugin; `model` is a directory with openvino_model.xml as
optimum-intel exports it. `precision`: the hint "f32" or "bf16", "" for the
plugin's own choice."""
import numpy as np
import openvino
from child import serve


class Model:
    def __init__(self, model: str, threads: int, context: int, precision: str) -> None:
        config = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        if precision:
            config["INFERENCE_PRECISION_HINT"] = precision
        compiled = openvino.Core().compile_model(f"{model}/openvino_model.xml", "CPU", config)
        self.request = compiled.create_infer_request()
        self.inputs = {name for port in compiled.inputs for name in port.names}
        self.position = 0

    def reset(self) -> None:
        self.request.reset_state()
        self.position = 0

    def read(self, tokens: list[int]) -> None:
        end = self.position + len(tokens)
        feeds = {
            "input_ids": np.array([tokens], np.int64),
            "attention_mask": np.ones((1, end), np.int64),
            "position_ids": np.arange(self.position, end, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        self.request.infer({k: v for k, v in feeds.items() if k in self.inputs})
        self.position = end

    def logits(self) -> list[float]:
        return self.request.get_tensor("logits").data[0, -1].astype(np.float32).tolist()


if __name__ == "__main__":
    serve(Model)
