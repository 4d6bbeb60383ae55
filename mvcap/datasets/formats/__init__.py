"""Layouts that the loaders of public datasets read: a class a layout, which writes it and reads it back."""
