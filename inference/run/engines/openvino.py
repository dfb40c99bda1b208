"""OpenVINO on the CPU; an extra of the package."""

import sys
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

from inference.run.engines.engine import EngineSpec, EngineUnavailable

_HINTS = {"fp32": "f32", "bf16": "bf16"}


def import_openvino() -> Any:
    """Import OpenVINO with its telemetry left out.

    The package reports every import to a server of its maker; a node in a hospital
    calls nobody. Without `openvino_telemetry` it uses a stub of its own.

    Raises:
        EngineUnavailable: it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: not to be imported
    try:
        import openvino
    except ImportError as error:
        raise EngineUnavailable(
            "OpenVINO is not installed: pip install 'dicom-node[openvino]'"
        ) from error
    return openvino


class OpenVINOEngine:
    """A network converted to OpenVINO, for batches of any size."""

    def __init__(
        self,
        network: nn.Module,
        *,
        precision: str,
        try_on: torch.Tensor,
        threads: int = 0,
    ) -> None:
        """Convert and compile the network.

        Args:
            network: in float32 on the CPU.
            try_on: a batch of at least two images.
            threads: 0 leaves it to OpenVINO.

        Raises:
            EngineUnavailable: not installed, not this precision, or not this network.
        """
        self.spec = EngineSpec("openvino", precision)
        openvino = import_openvino()
        core = openvino.Core()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision not in _HINTS or (
            precision == "bf16" and "BF16" not in capabilities
        ):
            raise EngineUnavailable(f"OpenVINO has no {precision} on this processor")
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            # Tracing warns of branches on shapes, which do not depend on the batch.
            with warnings.catch_warnings(), torch.inference_mode():
                warnings.simplefilter("ignore")
                model = openvino.convert_model(
                    network, example_input=try_on, input=[-1, *try_on.shape[1:]]
                )
            self._compiled = core.compile_model(model, "CPU", options)
            self._request = self._compiled.create_infer_request()
            self.run(try_on[:1])
        except Exception as error:
            raise EngineUnavailable(
                f"OpenVINO cannot run this network ({type(error).__name__})"
            ) from error

    def run(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        batch = np.ascontiguousarray(images.numpy(), dtype=np.float32)
        results = self._request.infer([batch], share_inputs=True)
        return torch.from_numpy(np.array(results[0], dtype=np.float32))
