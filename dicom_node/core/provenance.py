"""What a prediction was made with: enough to make it again, or to say what changed."""

from dataclasses import dataclass

from dicom_node.core.ids import SOPInstanceUID


@dataclass(frozen=True, slots=True, kw_only=True)
class InputDigest:
    """One instance that was handed to inference; its `ImageResult` names the frames.

    Args:
        dataset_digest: XXH3-128 of the data set's bytes as received, 32 hex digits;
            "" where the files were not received by this node.
    """

    sop_instance_uid: SOPInstanceUID
    dataset_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machinery:
    """What ran the model.

    Args:
        engine: "eager", "compile", "openvino".
        precision: "fp32", "bf16", "fp16".
        device: as torch names it, e.g. "cpu" or "cuda:0".
        device_name: of the processor or the GPU.
        threads: of torch on the CPU; other numbers may round otherwise.
        libraries: name and version of what scores depend on, torch among them.
    """

    engine: str = ""
    precision: str = ""
    device: str = ""
    device_name: str = ""
    threads: int = 0
    libraries: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The digests of everything that a prediction depends on.

    Args:
        weights_sha256: of weights.safetensors.
        card_sha256: of card.toml and its file of labels.
        code_version: of this program.
        code_sha256: of the sources that lead from a file to a finding.
        preprocessing_sha256: of `settings`.
        settings: input, selection, aggregation, calibration: name and JSON text.
        inputs: every instance, in the order it was handed over.
    """

    weights_sha256: str
    card_sha256: str
    code_version: str
    code_sha256: str
    preprocessing_sha256: str
    settings: tuple[tuple[str, str], ...]
    inputs: tuple[InputDigest, ...]
    machinery: Machinery = Machinery()
