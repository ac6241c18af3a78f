"""Where ``aiter`` is, which distribution, version and commit, how installed, and which of its files hold kernels.

Nothing here imports ``aiter`` (that would import torch, probe the GPU and may start compiling C++), executes a finder,
a ``.pth`` line or a ``_version.py``, or starts a process for the running interpreter.

    interpreters.find_running()    this interpreter, as it would import aiter or has
    interpreters.find_python(exe)  another one, asked for its path
    given_path.find_path(folder)   an environment, a prefix, a checkout, the package itself
    given_path.find_image(root)    the root file system of an image, or a folder in it
    kernelfiles.PackageText(package).naming(names)   files that mention a kernel
    aot.find_prebuilt(package, folder, variable)     prebuilt (AOT) code objects

``Discovery.doubts`` is what keeps a search from being complete: with doubts and no installation the answer is
"unknown", not "not installed".

``search`` walks an import path in import's order over ``listing`` (what one folder holds) and ``pointers`` (what in it
leads elsewhere); ``editable``, ``metadata`` and ``gitcommit`` are parsers; ``recognise`` tells AMD's package from
others by its contents and ``describe`` states the facts about it. ``given_path`` and ``survey`` turn a folder of any
make into import paths. Nothing but ``view`` opens, lists or looks at a file: with the eyes of the inspected system.
"""
