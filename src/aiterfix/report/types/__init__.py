"""The JSON of every command as frozen dataclasses, one module a command.

The schemas in ``aiterfix/schemas`` are made from these (`aiterfix.report.schema`). A key is a field, described under
``Attributes`` where its name does not say enough. ``of`` makes a report from what a command worked out.
"""
