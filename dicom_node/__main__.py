"""`python -m dicom_node`: the same as `dicom-node`."""

from dicom_node.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
