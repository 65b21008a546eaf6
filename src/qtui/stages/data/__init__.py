"""From whatever the user has to the exact tokens that the model will learn from.

load -> shapes -> split -> template -> tokenise -> measure, each a module of plain functions over
rows; `prepare.prepare` is the one path through them, and the only thing the worker calls.
"""
