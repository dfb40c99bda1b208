"""Logits -> calibrated scores."""

import numpy as np
import torch

from dicom_node.core.errors import InferenceError
from inference.api import Calibration, Image


def calibrate(logits: torch.Tensor, calibration: Calibration, activation: str) -> Image:
    """Turn logits into calibrated probabilities, in double precision.

    Raises:
        InferenceError: a logit is not a number.
    """
    if not bool(torch.isfinite(logits).all()):
        raise InferenceError("the model gave a score that is not a number")
    scaled = calibration.slope * logits.double() + calibration.intercept
    probabilities = (
        torch.softmax(scaled, dim=1) if activation == "softmax" else scaled.sigmoid()
    )
    result: Image = probabilities.numpy().astype(np.float32)
    return result
