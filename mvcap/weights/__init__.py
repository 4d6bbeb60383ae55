"""The weights shipped with the package, each with its card, and the code that finds and runs them."""
