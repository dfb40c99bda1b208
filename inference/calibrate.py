"""Logits -> calibrated scores."""

import numpy as np
import torch

from dicom_node.core.errors import ScoreError
from inference.api import Calibration, Image


def calibrate(logits: torch.Tensor, calibration: Calibration, activation: str) -> Image:
    """Turn logits into calibrated scores, in double precision.

    Args:
        logits: (images, classes), on the CPU.
        activation: "sigmoid", "softmax", or "identity" for measured values.

    Raises:
        ScoreError: a logit or a score is not a finite number.
    """
    scaled = calibration.slope * logits.double() + calibration.intercept
    if activation == "softmax":
        scores = torch.softmax(scaled, dim=1)
    elif activation == "sigmoid":
        scores = scaled.sigmoid()
    else:
        scores = scaled
    result: Image = scores.to(torch.float32).numpy()
    if not (bool(torch.isfinite(logits).all()) and bool(np.isfinite(result).all())):
        raise ScoreError(
            "the model gave a score that is not a number: nothing of this "
            "study is reported; check weights, precision and normalisation"
        )
    return result
