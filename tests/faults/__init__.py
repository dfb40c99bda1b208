"""Faults of the machine, the network and the senders, against the real node.

Black boxes: each test runs `dicom-node receive` or `serve` as a process of its own,
sends to it, breaks something, and lets `checker` compare what the senders heard with
what the database and the files hold. FAULT_ROUNDS and DICOM_NODE_TEST_SEED make it
longer and other; `scripts/reliability` writes docs/reliability.md from it.
"""
