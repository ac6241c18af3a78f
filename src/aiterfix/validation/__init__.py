"""Validate a kernel by running its machine code: against a reference, with sentinels around every row.

    subject  \\
              executor.prepare --> Prepared.run --> ScenarioResult --> Report --> Evidence
    scenarios /                    inputs, launch, reference, comparison

``interface`` says what a subject and an executor are. Subjects: ``source`` (aiter's Gluon kernels), ``own`` (this
project's kernel), ``prebuilt`` (code objects), ``gpu/subjects`` and ``gpu/plain``. Executors: ``emulator``, which
``spread`` spreads over processes, and ``gpu/executor``. ``child`` is one process, for either.

``evidence`` needs the standard library only and may be imported by the core; everything else needs the extra
``validate`` (NumPy).
"""
