"""The on-disk transaction: replace files of an installed package, and take it back.

`disk.apply`, `disk.revert`, `disk.recover` and `status.read_status` are given bytes and know nothing of
kernels. Where things are written, in which order, and why each point of failure is safe stands in
docs/internals/on-disk.md.
"""
