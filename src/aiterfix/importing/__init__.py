"""Patch ``aiter`` while it is imported, in every process, writing nothing.

    ../startup  the finder on ``sys.meta_path``: one look-up for every other module; what `.pth`, `run` and plugins
              start. Imports nothing, so that an interpreter start costs next to nothing
    settings  ``AITERFIX``, ``AITERFIX_LOG``, ``AITERFIX_KERNEL``
    targets   patches/*.toml -> which modules, which wrappers
    intact    whether this package is whole, for `require`
    watching  the wrapper's loader; which loader takes over; what was imported before the hook stood
    loader    gives the import, `inspect`, `linecache` and tracebacks the patched text
    decision  text -> patched text, or why not; never raises
    kernels   what source a kernel object holds
    late      the module was imported before the hook stood: patch it after all, and verify
    substitute ``AITERFIX_KERNEL=1``: this project's kernel in the place of the wrapper's function
    holders   which modules hold an object, and giving them another
    ledger    what happened in this process, said once
    api       ``install_hook()``, ``status()``
    plugins   entry points of vLLM and SGLang
    run       ``aiterfix run``; ``run_directory/`` is what it puts on the child's PYTHONPATH
    sitefiles ``aiterfix hook enable|disable``: the `.pth` and `.start` files
    processes what can be known of another process

docs/internals/import-hook.md says why it is built so.
"""
