"""Validate a kernel on a GPU: the scenarios and the comparison of the emulator, with another thing that runs them.

    suite      which launches
    devices    what GPU there is, and whether it is asked for
    buffers    tensors with redzones; inputs as the wrapper's tensors
    subjects   what is launched: aiter's public function, a plain-Triton kernel file, this project's own kernel
    runner     one scenario: reference on the device, launch, what was written outside
    messages   what parent and child say to one another
    worker     the child process, which alone touches the GPU
    contained  the parent's handle: a child that dies or hangs fails one scenario, the next gets a fresh one
    executor   all of it behind the interface that the emulator has too

A memory access fault ends the process on ROCm and the context on CUDA; therefore the child. The path is the same for
ROCm, CUDA and, through Triton's interpreter, the CPU; only the subject differs.
"""
