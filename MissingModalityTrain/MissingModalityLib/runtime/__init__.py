"""Processes and machines: devices, distributed training, child processes, the lock of a run."""
