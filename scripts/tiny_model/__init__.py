"""How `builtin:tiny` came to be: its text, its tokenizer and its pre-training.

Kept in the repository so that the shipped weights are no mystery: everything the model ever
read is written by these modules from one seed. `../make_tiny_model.py` runs them in order.
"""
