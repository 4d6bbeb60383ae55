"""The weights that ship, each with its card, and the code that finds and runs them."""
